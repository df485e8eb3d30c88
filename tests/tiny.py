"""A tiny random BERT directory: everything a real checkpoint has, at a size that runs in
milliseconds.
"""

import json

import numpy as np

SENTENCES = [
    "the film was good .",
    "a bad movie , dull acting",
    "great plot and fine story",
    "the cat eats it",
    "awful , awful film !",
    "the woman sees a dog in the story",
    "poor acting",
    "it was not great",
    "a man runs",
    "the dog plays with it",
]
WORDS = (
    "the a an it is was not very film movie story plot acting good great fine bad dull poor awful man woman dog "
    "cat plays runs eats sees with and of in on , . ! ##s ##ed ##ing"
).split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def tiny_tensors(config, rng, classes=0):
    """Random float32 tensors under the names that Hugging Face's BertForSequenceClassification
    writes.
    """
    h, f = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "bert.embeddings.word_embeddings.weight": (config["vocab_size"], h),
        "bert.embeddings.position_embeddings.weight": (config["max_position_embeddings"], h),
        "bert.embeddings.token_type_embeddings.weight": (config["type_vocab_size"], h),
    }
    dense, norms = {"bert.pooler.dense": (h, h)}, ["bert.embeddings.LayerNorm"]
    for i in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{i}"
        dense |= {f"{layer}.attention.self.{name}": (h, h) for name in ("query", "key", "value")}
        dense |= {
            f"{layer}.attention.output.dense": (h, h),
            f"{layer}.intermediate.dense": (f, h),
            f"{layer}.output.dense": (h, f),
        }
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    if classes:
        dense["classifier"] = (classes, h)
    tensors = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    for name, (out, width) in dense.items():
        tensors[f"{name}.weight"] = rng.standard_normal((out, width)) / np.sqrt(width)
        tensors[f"{name}.bias"] = 0.1 * rng.standard_normal(out)
    for name in norms:
        tensors[f"{name}.weight"] = 1 + 0.1 * rng.standard_normal(h)
        tensors[f"{name}.bias"] = 0.1 * rng.standard_normal(h)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def make_tiny_bert(
    directory,
    *,
    layers=2,
    hidden=16,
    heads=4,
    intermediate=32,
    positions=32,
    classes=0,
    seed=0,
    **config,
):
    """Write config.json, model.safetensors, tokenizer.json and vocab.txt; returns the directory.

    `classes` > 0 adds a classifier; further keywords go to config.json (for example
    ``pooling="mean"``).
    """
    from safetensors.numpy import save_file
    from tokenizers.implementations import BertWordPieceTokenizer

    directory.mkdir(parents=True, exist_ok=True)
    content = (
        {
            "model_type": "bert",
            "architectures": ["BertForSequenceClassification" if classes else "BertModel"],
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": intermediate,
            "hidden_act": "gelu",
            "vocab_size": len(VOCABULARY),
            "max_position_embeddings": positions,
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "pad_token_id": 0,
        }
        | ({"num_labels": classes} if classes else {})
        | config
    )
    (directory / "config.json").write_text(json.dumps(content))
    save_file(
        tiny_tensors(content, np.random.default_rng(seed), classes), directory / "model.safetensors"
    )
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    BertWordPieceTokenizer(str(directory / "vocab.txt")).save(str(directory / "tokenizer.json"))
    return directory


def tiny_mpnet_tensors(config, rng):
    """Random float32 tensors under the names that Hugging Face's MPNetModel writes."""
    hidden = config["hidden_size"]
    inner = config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "encoder.relative_attention_bias.weight": (
            config["relative_attention_num_buckets"],
            config["num_attention_heads"],
        ),
    }
    tensors = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    dense = {"pooler.dense": (hidden, hidden)}
    norms = ["embeddings.LayerNorm"]
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        for name in ("q", "k", "v", "o"):
            dense[f"{layer}.attention.attn.{name}"] = (hidden, hidden)
        dense[f"{layer}.intermediate.dense"] = (inner, hidden)
        dense[f"{layer}.output.dense"] = (hidden, inner)
        norms += [f"{layer}.attention.LayerNorm", f"{layer}.output.LayerNorm"]
    for name, (outputs, width) in dense.items():
        tensors[f"{name}.weight"] = rng.standard_normal((outputs, width)) / np.sqrt(width)
        tensors[f"{name}.bias"] = 0.1 * rng.standard_normal(outputs)
    for name in norms:
        tensors[f"{name}.weight"] = 1 + 0.1 * rng.standard_normal(hidden)
        tensors[f"{name}.bias"] = 0.1 * rng.standard_normal(hidden)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


TINY_MPNET = {
    "model_type": "mpnet",
    "architectures": ["MPNetModel"],
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "hidden_act": "gelu",
    "vocab_size": len(VOCABULARY),
    "max_position_embeddings": 204,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "relative_attention_num_buckets": 32,
}


def make_tiny_mpnet(directory, seed=0):
    """Write config.json, model.safetensors, vocab.txt and tokenizer.json; returns the directory."""
    from safetensors.numpy import save_file
    from tokenizers.implementations import BertWordPieceTokenizer

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(TINY_MPNET))
    tensors = tiny_mpnet_tensors(TINY_MPNET, np.random.default_rng(seed))
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    BertWordPieceTokenizer(str(directory / "vocab.txt")).save(str(directory / "tokenizer.json"))
    return directory


def make_tiny_place(directory):
    """A tiny classifier, and a task file with 4 training and 26 test sentences; returns the
    directory."""
    make_tiny_bert(directory / "model", classes=2)
    lines = ["sentence\tlabel\tsplit"]
    for k, sentence in enumerate(SENTENCES * 3):
        lines.append(f"{sentence}\t{k % 2}\t{'train' if k < 4 else 'test'}")
    (directory / "task.tsv").write_text("\n".join(lines) + "\n")
    return directory


def tiny_study(place, **tables):
    """A study of 16 x 16 tiles in place/study.toml; `tables` replace those of the file."""
    import tomli_w

    from xbarsim.config.study import load_study

    content = {
        "name": "tiny",
        "model": {"name": str(place / "model")},
        "task": {"name": str(place / "task.tsv")},
        "mapping": {"word_lines": 16, "bit_lines": 16},
        "run": {"batch_examples": 4},
    }
    (place / "study.toml").write_text(tomli_w.dumps(content | tables))
    return load_study(place / "study.toml")
