"""A checkpoint of any supported architecture, with its tokenizer."""

import json
from dataclasses import dataclass
from pathlib import Path

from xbarsim.base.errors import CheckpointError
from xbarsim.models import checkpoint
from xbarsim.models.decoder import DecoderModel
from xbarsim.models.decoder_checkpoint import load_decoder, load_decoder_tokenizer
from xbarsim.models.families import FAMILIES
from xbarsim.models.gguf_file import load_gguf, load_gguf_tokenizer, open_gguf


@dataclass(frozen=True)
class Network:
    """A model and what makes its tokens."""

    model: checkpoint.BertModel | DecoderModel
    tokenizer: object

    @property
    def generates(self):
        """Whether the model predicts the next token."""
        return isinstance(self.model, DecoderModel)


def load_network(path: str | Path) -> Network:
    """Read a Hugging Face directory, a GGUF file, or a directory that holds one GGUF file.

    Parameters
    ----------
    path : of a BERT or MPNet encoder, or of a decoder of the families of docs/decoders.md

    Returns
    -------
    Network : `model`, weights in float32; `tokenizer`; `generates`, True of a decoder

    Raises
    ------
    CheckpointError : nothing of that kind, or what the reader of its kind says
    """
    path = Path(path)
    gguf = _gguf_file(path)
    if gguf is not None:
        opened = open_gguf(gguf)
        return Network(load_gguf(gguf, opened), _gguf_tokenizer(gguf, opened))
    if _model_type(path) in FAMILIES:
        return Network(load_decoder(path), load_decoder_tokenizer(path))
    return Network(checkpoint.load_bert(path), checkpoint.load_tokenizer(path))


def is_decoder(path):
    """Whether a path is, or holds, a model that predicts the next token; reads no weights."""
    path = Path(path)
    return _gguf_file(path) is not None or _model_type(path) in FAMILIES


def _gguf_file(path):
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


def _gguf_tokenizer(path, opened):
    if (path.parent / "tokenizer.json").is_file():
        return load_decoder_tokenizer(path.parent)
    return load_gguf_tokenizer(path, opened)


def _model_type(directory):
    """model_type of a config.json; None where it cannot be read, which the reader then says."""
    try:
        return json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
