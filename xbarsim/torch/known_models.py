"""The structure of transformers' models that `xbarsim run` reads too: the same steps by the same
names, so that a study, its `[[layer]]` tables and its random numbers mean the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from xbarsim.models.bert import BertConfig, transformer_of
from xbarsim.models.decoder import graph_of_decoder
from xbarsim.models.encoder_families import ENCODER_FAMILIES, EncoderFamily
from xbarsim.models.families import FAMILIES, Family
from xbarsim.models.graph import Graph, Kind, Role, Step, graph_of, short_name
from xbarsim.models.operations import Norm
from xbarsim.torch.module_kinds import activation_of, form_of
from xbarsim.torch.structure import (
    AttentionSite,
    Form,
    FunctionSite,
    MatrixSite,
    ModelFacts,
    Structure,
)

# Layers of ALBERT share modules, which take their places by the calls of a pass: see `any_tree`.
ENCODERS = tuple(name for name in ENCODER_FAMILIES if name != "albert")


def known_structure(model: nn.Module) -> Structure | None:
    """Of a model of one of the families of `xbarsim run`; None of any other."""
    config = getattr(model, "config", None)
    kind = getattr(config, "model_type", None)
    if config is None or kind is None:
        return None
    raw = config.to_dict()
    if kind in ENCODERS:
        return _encoder(model, ENCODER_FAMILIES[kind], raw)
    if kind in FAMILIES:
        return _decoder(model, FAMILIES[kind], raw)
    return None


# ---------------------------------------------------------------- encoders


def _encoder(model: nn.Module, family: EncoderFamily, raw: dict[str, Any]) -> Structure | None:
    first = f"{family.layers.format(i=0)}.{family.layer[Role.QUERY]}"
    prefix = _prefix(model, first)
    if prefix is None:
        return None
    config = _encoder_config(family, raw)
    graph = graph_of(transformer_of(config), config.max_tokens)
    paths: dict[str, str] = {}
    for step in graph.steps:
        if step.layer is not None and step.role in family.layer:
            start = family.layers.format(i=step.layer)
            paths[step.name] = f"{prefix}{start}.{family.layer[step.role]}"
    norm = family.embeddings["embeddings.norm.weight"].removesuffix(".weight")
    paths["embeddings.norm"] = prefix + norm
    facts = ModelFacts(
        hidden=config.hidden,
        heads=config.heads,
        activation=config.activation,
        norm=Norm.LAYER,
        max_tokens=config.max_tokens,
    )
    layers = prefix + family.layers
    return _structure(model, graph, facts, paths, layers)


def _encoder_config(family: EncoderFamily, raw: dict[str, Any]) -> BertConfig:
    keys = family.keys
    positions = raw["max_position_embeddings"]
    offset = 0
    if family.padding is not None:
        padding = raw.get("pad_token_id") if family.states_padding else family.padding
        offset = (family.padding if padding is None else padding) + 1
    return BertConfig(
        architecture=raw["model_type"],
        layers=raw[keys.layers],
        hidden=raw[keys.hidden],
        heads=raw[keys.heads],
        intermediate=raw[keys.intermediate],
        vocabulary=raw["vocab_size"],
        positions=positions,
        token_types=0,
        activation=raw[keys.activation],
        norm_epsilon=1e-12,
        position_offset=offset,
        relative_buckets=family.relative_buckets,
        pooling="mean",
        normalize=False,
        max_tokens=positions - offset,
        labels=(),
    )


# ---------------------------------------------------------------- decoders


def _decoder(model: nn.Module, family: Family, raw: dict[str, Any]) -> Structure | None:
    first = f"{family.layers.format(i=0)}.{family.layer['output']}"
    prefix = _prefix(model, first)
    if prefix is None:
        return None
    config = family.config(Path("config.json"), raw)
    graph = graph_of_decoder(config)
    paths: dict[str, str] = {}
    for step in graph.steps:
        found = _path_of(family, step)
        if found is not None:
            paths[step.name] = prefix + found
    modules = dict(model.named_modules())
    logits = family.whole["logits"]
    outer = [name for name in modules if name == logits or name.endswith(f".{logits}")]
    if outer:
        paths["logits"] = outer[0]
    facts = ModelFacts(
        hidden=config.hidden,
        heads=config.heads,
        activation=config.activation,
        norm=config.norm,
        max_tokens=config.max_tokens,
    )
    return _structure(model, graph, facts, paths, prefix + family.layers)


def _path_of(family: Family, step: Step) -> str | None:
    """Of a step's weights within the base model."""
    if step.layer is None:
        return family.whole.get(step.name)
    start = family.layers.format(i=step.layer)
    short = short_name(step.name, step.layer)
    if short in family.layer:
        return f"{start}.{family.layer[short]}"
    for theirs, parts in family.fused:
        if short in parts:
            return f"{start}.{theirs}"
    return None


# ---------------------------------------------------------------- both


def _prefix(model: nn.Module, path: str) -> str | None:
    """What stands before the paths of a family; None of a tree that has no such module."""
    names: list[str] = [name for name, _ in model.named_modules()]
    for name in names:
        if name == path or name.endswith(f".{path}"):
            return name.removesuffix(path)
    return None


def _structure(
    model: nn.Module, graph: Graph, facts: ModelFacts, paths: dict[str, str], layers: str
) -> Structure | None:
    """paths : {step: module of its weights};  layers : path of layer {i}"""
    modules = dict(model.named_modules())
    steps_of: dict[str, list[str]] = {}
    functions = []
    for step in graph.steps:
        path = paths.get(step.name, "")
        if not path or path not in modules:
            continue
        if step.kind is Kind.MATRIX:
            steps_of.setdefault(path, []).append(step.name)
        elif step.kind is Kind.NORM:
            functions.append(FunctionSite(path, step.name))
    matrices = []
    for path, names in steps_of.items():
        form = form_of(modules[path])
        if form is None or form is Form.CONVOLUTION:
            return None  # another model under a known name
        matrices.append(MatrixSite(path, form, tuple(names)))
    attention = []
    for layer in sorted({step.layer for step in graph.steps if step.layer is not None}):
        attention.append(_attention(graph, layer, paths))
        functions += _activation(graph, layer, modules, layers.format(i=layer))
    return Structure(graph, facts, tuple(matrices), tuple(attention), tuple(functions))


def _attention(graph: Graph, layer: int, paths: dict[str, str]) -> AttentionSite:
    steps = graph.of_layer(layer)
    query = paths[steps[Role.QUERY].name]
    return AttentionSite(
        path=query.rpartition(".")[0],
        scores=steps[Role.ATTENTION_SCORES].name,
        softmax=steps[Role.ATTENTION_SOFTMAX].name,
        context=steps[Role.ATTENTION_CONTEXT].name,
    )


def _activation(
    graph: Graph, layer: int, modules: dict[str, nn.Module], start: str
) -> list[FunctionSite]:
    """The module of a layer that is its activation, if there is one."""
    step = graph.of_layer(layer)[Role.ACTIVATION]
    for path, module in modules.items():
        if path.startswith(f"{start}.") and activation_of(module) is not None:
            return [FunctionSite(path, step.name)]
    return []
