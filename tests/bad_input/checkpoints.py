"""Checkpoint directories: `xbarsim.load_network`."""

import functools
import json
import os
import pickle
import shutil
import struct
import tempfile
from pathlib import Path

from bad_input.attack import Attack, of_call
from tiny import make_tiny_bert

from xbarsim import load_network


@functools.cache
def whole():
    """A tiny classifier with the files of sentence-transformers."""
    directory = Path(tempfile.mkdtemp()) / "model"
    make_tiny_bert(directory, layers=1, hidden=8, heads=2, intermediate=8, classes=2)
    return directory


def copy_to(place):
    directory = place / "model"
    shutil.copytree(whole(), directory)
    return directory


def config(**keys):
    """config.json with other keys; None takes one away."""

    def do(place):
        directory = copy_to(place)
        content = json.loads((directory / "config.json").read_text())
        content |= keys
        for key in [key for key, value in keys.items() if value is None]:
            del content[key]
        (directory / "config.json").write_text(json.dumps(content))
        return load_network(directory)

    return do


def file(name, content):
    """A file of another content; None takes it away."""

    def do(place):
        directory = copy_to(place)
        path = directory / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_network(directory)

    return do


def in_place_of(name, make):
    """Something else in the place of a file."""

    def do(place):
        directory = copy_to(place)
        (directory / name).unlink()
        make(directory / name)
        return load_network(directory)

    return do


def words(name, content):
    """Another file where only the word list tells of tokens."""

    def do(place):
        directory = copy_to(place)
        (directory / "tokenizer.json").unlink()
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_network(directory)

    return do


def shards(weight_map):
    def do(place):
        directory = copy_to(place)
        (directory / "model.safetensors").rename(directory / "other.safetensors")
        index = json.dumps({"weight_map": weight_map})
        (directory / "model.safetensors.index.json").write_text(index)
        return load_network(directory)

    return do


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return file("model.safetensors", struct.pack("<Q", len(text)) + text + data)


def pickled(place):
    directory = copy_to(place)
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    return load_network(directory)


def gguf(content):
    def do(place):
        path = place / "model.gguf"
        path.write_bytes(content)
        return load_network(path)

    return do


SIZES = "a positive integer is needed"
TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
ROWS = {
    "no directory": (lambda place: load_network(place / "no"), "not a directory"),
    "an empty directory": (load_network, "config.json: file is missing"),
    "None": (lambda place: load_network(None), "model is None; allowed: a path"),
    "a NUL": (lambda place: load_network("a\0b"), "path without NUL"),
    "an empty config": (file("config.json", ""), "not readable as JSON"),
    "a config of a list": (file("config.json", "[]"), "holds a list; allowed: a JSON object"),
    "a config of lists in lists": (file("config.json", "[" * 9000), "nested too deep"),
    "a config of objects in objects": (
        file("config.json", '{"a":' * 60 + "1" + "}" * 60),
        "nested more than 32 deep",
    ),
    "a config of 5000 digits": (file("config.json", '{"a": ' + "9" * 5000 + "}"), "4300"),
    "a config of 11 MB": (file("config.json", " " * 11_000_000), "allowed: at most 10,000,000"),
    "a config that is not UTF-8": (file("config.json", b"\xff\xfe"), "not readable as JSON"),
    "another model_type": (config(model_type="magic"), "model_type is 'magic', supported"),
    "a model_type of a list": (config(model_type=["bert"]), r"model_type is \['bert'\]"),
    "a model_type of escapes": (config(model_type="\x1b[2J"), r"x1b\[2J"),
    "a width of text": (config(hidden_size="8"), f"hidden_size is '8', {SIZES}"),
    "a width of none": (config(hidden_size=0), SIZES),
    "a negative width": (config(hidden_size=-8), SIZES),
    "a width of a float": (config(hidden_size=8.0), SIZES),
    "a width of true": (config(hidden_size=True), SIZES),
    "a width of 10^18": (config(hidden_size=10**18), "hidden_size is 1000.*at most 100,000,000"),
    "another width": (config(hidden_size=16), "has shape .* config.json asks for"),
    "no layers": (config(num_hidden_layers=None), SIZES),
    "10^9 layers": (config(num_hidden_layers=10**9), "at most 10,000"),
    "more layers": (config(num_hidden_layers=2), "is missing"),
    "heads that do not divide": (config(num_attention_heads=3), "not a multiple"),
    "an activation of a list": (config(hidden_act=[]), r"hidden_act is \[\], supported are"),
    "another activation": (config(hidden_act="magic"), "hidden_act is 'magic'"),
    "an epsilon of text": (config(layer_norm_eps="x"), "layer_norm_eps is 'x'; allowed"),
    "an epsilon of NaN": (config(layer_norm_eps=float("nan")), "layer_norm_eps is nan"),
    "a billion classes": (
        config(num_labels=10**9),
        "num_labels is 1000000000; allowed: 1 to 1,000,000",
    ),
    "classes of text": (config(num_labels="x"), "num_labels is 'x'; allowed: 1 to"),
    "classes below 0": (config(num_labels=-1), "num_labels is -1"),
    "names of a list": (config(id2label=["a", "b"]), "id2label is .*allowed: an object"),
    "names of lists": (config(id2label={"0": [], "1": {}}), "id2label names class 0"),
    "another problem": (config(problem_type="regression"), "problem_type is 'regression'"),
    "pooling of a list": (config(pooling=["mean"]), r"pooling is \['mean'\], supported"),
    "a length of text": (
        file("tokenizer_config.json", '{"model_max_length": "x"}'),
        "model_max_length is 'x'; allowed: a number of tokens",
    ),
    "a length of a list": (
        file("tokenizer_config.json", '{"model_max_length": [9]}'),
        r"model_max_length is \[9\]",
    ),
    "a length below 0": (
        file("tokenizer_config.json", '{"model_max_length": -5}'),
        "model_max_length is -5",
    ),
    "a length of NaN": (
        file("sentence_bert_config.json", '{"max_seq_length": NaN}'),
        "max_seq_length is nan",
    ),
    "a tokenizer_config of a list": (
        file("tokenizer_config.json", "[1]"),
        "allowed: a JSON object",
    ),
    "lower case of text": (
        words("tokenizer_config.json", '{"do_lower_case": "x"}'),
        "do_lower_case is 'x'; allowed: true, false and null",
    ),
    "modules of text": (file("modules.json", '"x"'), "not a list of modules"),
    "modules of numbers": (file("modules.json", "[1]"), "not a list of modules"),
    "a module that is not known": (
        file("modules.json", '[{"type": "a.Magic", "path": ""}]'),
        "Magic in '' would change every embedding",
    ),
    "a module elsewhere": (
        file("modules.json", '[{"type": "a.Pooling", "path": "../../etc"}]'),
        "leaves the directory; allowed: a folder in it",
    ),
    "a pooling of a list": (file("1_Pooling/config.json", "[1]"), "allowed: a JSON object"),
    "a prompt": (
        file("modules.json", '[{"type": "a.Transformer", "path": ""}]'),
        "nothing",
    ),
    "no tokenizer": (file("tokenizer.json", "{}"), "not a tokenizer that can be read"),
    "a tokenizer of lists in lists": (
        file("tokenizer.json", "[" * 9000),
        "not a tokenizer that can be read",
    ),
    "words that are not UTF-8": (words("vocab.txt", b"\xff\xfe"), "vocab.txt"),
    "no words": (words("vocab.txt", ""), "vocab.txt"),
    "no weights": (file("model.safetensors", None), "neither model.safetensors nor"),
    "a pickle": (pickled, "a pickle, which is not loaded"),
    "empty weights": (file("model.safetensors", b""), "not a complete safetensors file"),
    "a header of terabytes": (
        file("model.safetensors", struct.pack("<Q", 2**50) + b"{}"),
        "not a complete safetensors file",
    ),
    "a header that is no JSON": (safetensors(b"{{{{"), "not a complete safetensors file"),
    "a header of lists in lists": (safetensors(b"[" * 9000), "not a complete safetensors file"),
    "a tensor beyond the file": (
        safetensors({"a": TENSOR | {"data_offsets": [0, 2**40]}}),
        "not a complete safetensors file",
    ),
    "a tensor of another size": (
        safetensors({"a": TENSOR | {"shape": [2**40]}}, bytes(8)),
        "not a complete safetensors file",
    ),
    "a tensor of bytes": (safetensors({"a": TENSOR | {"dtype": "U8"}}, bytes(8)), "safetensors"),
    "other tensors": (safetensors({"a": TENSOR}, bytes(8)), "is missing"),
    "shards elsewhere": (shards({"a": "../other.safetensors"}), "no file of this directory"),
    "shards at the root": (shards({"a": "/etc/passwd"}), "no file of this directory"),
    "shards of numbers": (shards({"a": 3}), "the shard 3 is no file"),
    "shards of a list": (shards(["a"]), "it has no weight_map"),
    "no shards": (shards({}), "it has no weight_map"),
    "a shard that is missing": (shards({"a": "gone.safetensors"}), "gone.safetensors is missing"),
    "an empty GGUF": (gguf(b""), "not a whole GGUF file"),
    "a GGUF of noise": (gguf(b"GGUF" + bytes(range(200))), "GGUF"),
    "a GGUF of 2^60 fields": (
        gguf(b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60)),
        "not a whole GGUF file",
    ),
    "a GGUF of 2^60 tensors": (
        gguf(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0)),
        "not a whole GGUF file",
    ),
    "a config that is a pipe": (in_place_of("config.json", os.mkfifo), "is a pipe"),
    "weights that are a pipe": (
        in_place_of("model.safetensors", os.mkfifo),
        "neither model.safetensors nor|is a pipe",
    ),
    "a config without end": (
        in_place_of("config.json", lambda path: path.symlink_to("/dev/zero")),
        "is a device",
    ),
    "a config that is a directory": (in_place_of("config.json", Path.mkdir), "is a directory"),
}
del ROWS["a prompt"]
ATTACKS: list[Attack] = of_call(ROWS)
