"""What training leaves: an ordinary checkpoint, and states that `--resume` goes on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xbarsim.base.errors import ConfigError, OutputError
from xbarsim.models.architectures import load_generator
from xbarsim.models.encoder_families import ENCODER_FAMILIES
from xbarsim.torch.training.foreign_words import without_foreign_words
from xbarsim.torch.training.material import LanguageMaterial, Material, SentenceMaterial

# Files of a checkpoint that say how sentences become tokens and vectors.
BESIDE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)


def save_checkpoint(material: Material, directory: Path) -> None:
    """Write the model as it is now as a directory that `xbarsim run` and transformers read.

    Raises
    ------
    OutputError : it cannot be written
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if isinstance(material, SentenceMaterial):
            _save_classifier(material, directory)
        elif isinstance(material, LanguageMaterial):
            _save_decoder(material, directory)
    except OSError as error:
        raise OutputError(f"{directory} cannot be written: {error}") from None


def _save_classifier(material: SentenceMaterial, directory: Path) -> None:
    from safetensors.torch import save_file

    model = material.model
    network = _merged(model.network)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    family = ENCODER_FAMILIES[network.config.model_type]
    last = family.classifier.last
    weights[f"{last}.weight"] = model.head.weight.detach().contiguous()
    weights[f"{last}.bias"] = model.head.bias.detach().contiguous()
    save_file(weights, str(directory / "model.safetensors"), metadata={"format": "pt"})
    config = json.loads((material.directory / "config.json").read_text(encoding="utf-8"))
    classes = material.classes
    config |= {
        "pooling": model.pooling,
        "id2label": {str(number): name for number, name in enumerate(classes)},
        "label2id": {name: number for number, name in enumerate(classes)},
        "dtype": "float32",
    }
    config.pop("torch_dtype", None)
    (directory / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    _copy_beside(material.directory, directory)


def _save_decoder(material: LanguageMaterial, directory: Path) -> None:
    with without_foreign_words():
        merged = _merged(material.model)
        merged.save_pretrained(directory)
    if material.directory.is_dir() and (material.directory / "tokenizer.json").is_file():
        _copy_beside(material.directory, directory)
    else:
        tokenizer = load_generator(material.directory).tokenizer
        tokenizer.save(str(directory / "tokenizer.json"))


def _merged(model: nn.Module) -> Any:
    """The model with what LoRA adds to its weights in them."""
    if hasattr(model, "merge_and_unload"):
        return model.merge_and_unload()
    return model


def _copy_beside(source: Path, directory: Path) -> None:
    for name in BESIDE:
        if (source / name).is_file():
            (directory / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, directory / name)


# ---------------------------------------------------------------- states


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state beside and rename it.

    Raises
    ------
    OutputError : it cannot be written
    """
    beside = path.with_suffix(".new")
    try:
        torch.save(state, beside)
        beside.replace(path)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path} cannot be written: {error}") from None


def load_state(path: Path, fingerprint: str) -> dict[str, Any]:
    """A state of the same study.

    Raises
    ------
    ConfigError : damaged, or of another study
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        of_study = state["fingerprint"]
    except Exception as error:  # torch raises many kinds
        raise ConfigError(
            f"{path} cannot be read ({error}); remove it to begin training anew"
        ) from None
    if of_study != fingerprint:
        raise ConfigError(
            f"{path} is of another study, model or task; give another --out, or the study as it was"
        )
    return state
