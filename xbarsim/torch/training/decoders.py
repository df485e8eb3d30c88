"""Decoders of `models` as models of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from xbarsim.base.errors import ConfigError
from xbarsim.models.decoder import DecoderConfig, DecoderModel
from xbarsim.models.families import FAMILIES
from xbarsim.models.rotary import Rotary
from xbarsim.torch.training.foreign_words import without_foreign_words


def torch_decoder(model: DecoderModel, directory: Path) -> nn.Module:
    """The model of a directory of transformers, or of a GGUF file of the Llama architecture.

    Raises
    ------
    ConfigError : a GGUF file of another architecture
    """
    if directory.is_dir() and (directory / "config.json").is_file():
        with without_foreign_words():
            found: nn.Module = transformers.AutoModelForCausalLM.from_pretrained(
                directory, dtype=torch.float32, local_files_only=True
            )
        return found
    if model.config.architecture != "llama":
        raise ConfigError(
            f"{directory}: a GGUF file of {model.config.architecture}; training reads those of llama, "
            "and directories of transformers of every family"
        )
    return _llama(model)


def _llama(model: DecoderModel) -> nn.Module:
    found = transformers.LlamaForCausalLM(_llama_config(model.config))
    weights = {name: torch.from_numpy(np.array(tensor)) for name, tensor in _named(model).items()}
    missing = found.load_state_dict(weights, strict=False)
    wrong = [name for name in missing.missing_keys if name != "lm_head.weight"]
    if wrong or missing.unexpected_keys:
        raise ConfigError(f"weights without a place: {[*wrong, *missing.unexpected_keys]}")
    return found


def _llama_config(config: DecoderConfig) -> Any:
    stated: dict[str, Any] = {}
    if config.rotary is not None:
        base = _base_of(config.rotary)
        stated["rope_parameters"] = {"rope_type": "default", "rope_theta": base}
    return transformers.LlamaConfig(
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.key_value_heads,
        head_dim=config.head_width,
        intermediate_size=config.intermediate,
        vocab_size=config.vocabulary,
        max_position_embeddings=config.positions,
        rms_norm_eps=config.norm_epsilon,
        hidden_act=config.activation,
        tie_word_embeddings=config.tied,
        bos_token_id=config.beginning,
        eos_token_id=list(config.ends) or None,
        **stated,
    )


def _base_of(rotary: Rotary) -> float:
    """The base of rotary positions, a whole number.

    Raises
    ------
    ConfigError : frequencies that are stretched for longer texts
    """
    half = rotary.width // 2
    base = round(float(rotary.frequencies[1]) ** -half)
    even = float(base) ** (-np.arange(half) / half)
    if not np.allclose(rotary.frequencies, even, rtol=1e-5, atol=0):
        raise ConfigError(
            "rotary positions of this GGUF file are scaled for longer texts, which training does not "
            "read; give the directory of transformers"
        )
    return float(base)


def _named(model: DecoderModel) -> dict[str, Any]:
    """Weights by the names of transformers."""
    family = FAMILIES["llama"]
    found = {}
    for name, tensor in model.weights.items():
        if name == "embeddings.word":
            found["model.embed_tokens.weight"] = tensor
            continue
        ours, _, part = name.rpartition(".")
        if ours == "logits":
            if not model.config.tied:
                found[f"lm_head.{part}"] = tensor
        elif ours.startswith("layer."):
            _, number, short = ours.split(".", 2)
            start = family.layers.format(i=number)
            found[f"model.{start}.{family.layer[short]}.{part}"] = tensor
        else:
            found[f"model.{family.whole[ours]}.{part}"] = tensor
    return found
