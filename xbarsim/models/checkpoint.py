"""Files of a checkpoint directory: JSON, tokenizers, and the hashes of what decides a result."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xbarsim.base import given_files
from xbarsim.base.arguments import shown
from xbarsim.base.errors import CheckpointError

MOST_CLASSES = 1_000_000  # of a classifier
LARGEST_TOKENIZER = 200_000_000  # bytes of tokenizer.json or vocab.txt
FILES = (
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "1_Pooling/config.json",
    "modules.json",
    "sentence_bert_config.json",
    "model.safetensors.index.json",
)


def file_hashes(path: str | Path) -> dict[str, str]:
    """{file: sha256} of the files of a checkpoint that decide what is computed: of a directory, or
    of one file and the tokenizer beside it.
    """
    path = Path(path)
    directory = path.parent if path.is_file() else path
    names = [path.name, "tokenizer.json"] if path.is_file() else _names_in(path)
    hashes = {}
    for name in names:
        file_path = directory / name
        if file_path.is_file():
            with file_path.open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _names_in(directory: Path) -> list[str]:
    """Names of `FILES`, of shards, and of GGUF files where there is no config."""
    names = list(FILES)
    names += sorted(found.name for found in directory.glob("model-*.safetensors"))
    if not (directory / "config.json").is_file():
        names += sorted(found.name for found in directory.glob("*.gguf"))
    return names


def read_table(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """The content of a JSON file that is an object; {} where an optional one is not there.

    Raises
    ------
    CheckpointError : missing, no JSON, or no object
    """
    content = read_json(path, optional=optional)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: holds a {type(content).__name__}; allowed: a JSON object; fetch the file again"
        )
    return content


def read_json(path: Path, *, optional: bool = False) -> Any:
    """The content of a JSON file; {} where an optional one is not there.

    Raises
    ------
    CheckpointError : missing, or no JSON
    """
    try:
        return given_files.read_json(path, CheckpointError)
    except FileNotFoundError:
        if optional:
            return {}
        raise CheckpointError(
            f"{path}: file is missing; a checkpoint directory holds config.json, "
            "model.safetensors and tokenizer.json or vocab.txt"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error


def model_type(directory: Path, supported: Iterable[str]) -> str:
    """model_type of the config.json of a directory.

    Raises
    ------
    CheckpointError : no directory, no readable config.json, or a type that is not supported
    """
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory}: not a directory; give a Hugging Face directory with config.json and "
            "model.safetensors, or a name that `xbarsim fetch --list` shows"
        )
    config_file = directory / "config.json"
    stated = read_table(config_file).get("model_type")
    names = sorted(supported)
    if stated not in names:
        raise CheckpointError(
            f"{config_file}: model_type is {shown(stated)}, supported encoders are {', '.join(names)}; "
            "choose a checkpoint of one of these"
        )
    return str(stated)


def class_names(path: Path, raw: dict[str, Any]) -> tuple[str, ...]:
    """Names of the classes of a checkpoint's classifier, by the `raw` content of its config.json at
    `path`.

    Raises
    ------
    CheckpointError : a classifier of another kind than one class a sentence
    """
    kind = raw.get("problem_type")
    if kind not in (None, "single_label_classification"):
        raise CheckpointError(
            f"{path}: problem_type is {kind!r}; supported are classifiers that give a sentence one "
            "class (single_label_classification)"
        )
    names = raw.get("id2label") or {}
    if not isinstance(names, dict) or len(names) > MOST_CLASSES:
        raise CheckpointError(
            f"{path}: id2label is {shown(names)}; allowed: an object with a name of every class"
        )
    count = len(names) or raw.get("num_labels", 2)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_CLASSES:
        raise CheckpointError(
            f"{path}: num_labels is {shown(count)}; allowed: 1 to {MOST_CLASSES:,} classes"
        )
    return tuple(_class_name(path, names, number) for number in range(count))


def _class_name(path: Path, names: dict[str, Any], number: int) -> str:
    name = names.get(str(number), number)
    if not isinstance(name, str | int):
        raise CheckpointError(f"{path}: id2label names class {number} {shown(name)}, no text")
    return str(name)


def load_tokenizer(directory: str | Path, *, start_and_end: bool = True) -> Any:
    """The `tokenizers.Tokenizer` of an encoder's directory, from `tokenizer.json` or else
    `vocab.txt`, without padding.

    start_and_end : whether the model needs a start and an end token around every sentence, which
        the tokenizer must then make; False for a model of plain words

    Raises
    ------
    CheckpointError : neither is there, or it makes no start and end tokens
    """
    directory = Path(directory)
    source, tokenizer = _tokenizer_of(directory)
    tokenizer.no_padding()
    _lower_case(directory, tokenizer)
    empty = tokenizer.encode("")
    if start_and_end and len(empty.ids) != 2:
        raise CheckpointError(
            f"{source}: an empty sentence becomes {empty.tokens}, where a start and an end token "
            "are needed; its post_processor is missing or another one: save the tokenizer again "
            "with the model's own class"
        )
    return tokenizer


def _tokenizer_of(directory: Path) -> tuple[Path, Any]:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise CheckpointError(
            "tokenizers of models need tokenizers: pip install 'xbarsim[bert]'"
        ) from None
    whole = directory / "tokenizer.json"
    vocabulary = directory / "vocab.txt"
    source = whole if whole.is_file() else vocabulary
    if not source.is_file():
        raise CheckpointError(
            f"{directory}: neither tokenizer.json nor vocab.txt is there; copy the tokenizer "
            "files of the model next to its weights"
        )
    given_files.check_file(source, CheckpointError, LARGEST_TOKENIZER)
    try:
        if source is whole:
            return source, Tokenizer.from_file(str(whole))
        return source, _word_pieces(directory, vocabulary)
    except CheckpointError:
        raise
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(
            f"{source}: not a tokenizer that can be read ({error}); fetch the file again"
        ) from error


def _word_pieces(directory: Path, vocabulary: Path) -> Any:
    """BERT's word pieces of a list of them, as tokenizer_config.json states."""
    from tokenizers.implementations import BertWordPieceTokenizer

    path = directory / "tokenizer_config.json"
    stated = read_table(path, optional=True)
    for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars"):
        if not isinstance(stated.get(key), bool | None):
            raise CheckpointError(
                f"{path}: {key} is {shown(stated[key])}; allowed: true, false and null"
            )
    return BertWordPieceTokenizer(
        str(vocabulary),
        lowercase=stated.get("do_lower_case", True) is True,
        strip_accents=stated.get("strip_accents"),
        handle_chinese_chars=stated.get("tokenize_chinese_chars", True) is True,
    )


def _lower_case(directory: Path, tokenizer: Any) -> None:
    """Sentences in lower case first, where sentence-transformers asks for it."""
    from tokenizers import normalizers

    sentences = read_table(directory / "sentence_bert_config.json", optional=True)
    if sentences.get("do_lower_case") is not True:
        return
    then = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *then])
