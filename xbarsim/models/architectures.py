"""Checkpoints of every architecture that is built: the one list, and what reads each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xbarsim.base.arguments import path_of
from xbarsim.base.errors import CheckpointError
from xbarsim.base.given_files import read_json
from xbarsim.models.bert_checkpoint import load_bert
from xbarsim.models.checkpoint import load_tokenizer, model_type
from xbarsim.models.decoder_checkpoint import load_decoder, load_decoder_tokenizer
from xbarsim.models.families import FAMILIES
from xbarsim.models.gguf_file import load_gguf, load_gguf_tokenizer, open_gguf
from xbarsim.models.image_config import MODEL_TYPE
from xbarsim.models.network import Decoder, Encoder
from xbarsim.models.network_check import check_encoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class LoadedEncoder:
    """A network that makes vectors of sentences, and what makes its tokens."""

    model: Encoder
    tokenizer: "Tokenizer"
    generates: bool = False


@dataclass(frozen=True)
class LoadedDecoder:
    """A network that predicts the next token, and what makes its tokens."""

    model: Decoder
    tokenizer: "Tokenizer"
    generates: bool = True


def _bert(directory: Path) -> LoadedEncoder:
    return LoadedEncoder(load_bert(directory), load_tokenizer(directory))


# By model_type of config.json.
ENCODERS: dict[str, Callable[[Path], LoadedEncoder]] = {
    "albert": _bert,
    "bert": _bert,
    "distilbert": _bert,
    "mpnet": _bert,
    "roberta": _bert,
    "xlm-roberta": _bert,
}

DECODERS = tuple(FAMILIES)  # likewise; a GGUF file states its own


def load_network(path: str | Path) -> LoadedEncoder | LoadedDecoder:
    """Read a Hugging Face directory, a GGUF file, or a directory that holds one GGUF file.

    Parameters
    ----------
    path : of an encoder of `ENCODERS`, or of a decoder of the families of docs/decoders.md

    Returns
    -------
    `model`, weights in float32; `tokenizer`; `generates`, True of a decoder

    Raises
    ------
    CheckpointError : nothing of that kind, or what the reader of its kind says
    """
    path = path_of("path of a model", path, CheckpointError)
    return load_generator(path) if is_decoder(path) else load_encoder(path)


def load_encoder(path: str | Path) -> LoadedEncoder:
    """Read a directory of one of `ENCODERS`, and check that the network is what its graph says
    (`network_check.check_encoder`).

    Raises
    ------
    CheckpointError : of another architecture, or what its reader says
    """
    directory = Path(path)
    loaded = ENCODERS[model_type(directory, ENCODERS)](directory)
    check_encoder(loaded.model)
    return loaded


def load_generator(path: str | Path) -> LoadedDecoder:
    """Read a decoder: a directory of one of `DECODERS`, a GGUF file, or a directory with one.

    Raises
    ------
    CheckpointError : nothing of that kind, or what its reader says
    """
    path = Path(path)
    gguf = _gguf_file(path)
    if gguf is None:
        return LoadedDecoder(load_decoder(path), load_decoder_tokenizer(path))
    opened = open_gguf(gguf)
    if (gguf.parent / "tokenizer.json").is_file():
        tokenizer = load_decoder_tokenizer(gguf.parent)
    else:
        tokenizer = load_gguf_tokenizer(gguf, opened)
    return LoadedDecoder(load_gguf(gguf, opened), tokenizer)


def is_image_network(path: str | Path) -> bool:
    """Whether a directory holds a network that classifies images; reads no weights."""
    return _model_type(Path(path)) == MODEL_TYPE


def is_decoder(path: str | Path) -> bool:
    """Whether a path is, or holds, a model that predicts the next token; reads no weights."""
    path = Path(path)
    return _gguf_file(path) is not None or _model_type(path) in DECODERS


def _gguf_file(path: Path) -> Path | None:
    """The GGUF file that a path is or holds, or None."""
    if path.suffix.lower() == ".gguf":
        return path
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    found = sorted(path.glob("*.gguf"))
    if len(found) > 1:
        raise CheckpointError(
            f"{path} holds {len(found)} GGUF files; name one of them, {found[0].name} for example"
        )
    return found[0] if found else None


def _model_type(directory: Path) -> str | None:
    """model_type of a config.json; None where it cannot be read, which the reader then says."""
    try:
        content = read_json(directory / "config.json", CheckpointError)
    except (OSError, ValueError, CheckpointError):
        return None
    stated = content.get("model_type") if isinstance(content, dict) else None
    return stated if isinstance(stated, str) else None
