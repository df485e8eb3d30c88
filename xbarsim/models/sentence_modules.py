"""What sentence-transformers states beside a checkpoint: how sentences are pooled and normalised."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarsim.base.arguments import shown
from xbarsim.base.errors import CheckpointError
from xbarsim.base.given_files import lies_below
from xbarsim.models.checkpoint import read_json, read_table

POOLINGS = ("mean", "cls", "pooler")

# Modules that this reads, by the end of their type.
MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class Module:
    """kind : end of its type, one of `MODULES`;  folder : where its files lie"""

    kind: str
    folder: str


@dataclass(frozen=True)
class Sentences:
    """How hidden states become a sentence's vector.

    pooling : one of `POOLINGS`;  normalize : whether the vector is of length 1
    """

    pooling: str
    normalize: bool


def sentences_of(
    directory: Path, raw: dict[str, Any], *, classifies: bool, has_pooler: bool
) -> Sentences:
    """What the files state, else the pooler for a classifier and the mean for the rest.

    raw : content of config.json, whose key `pooling` counts before everything else

    Raises
    ------
    CheckpointError : something that would change every vector and is not understood
    """
    modules = _modules(directory)
    pooling = raw.get("pooling")
    if pooling is None:
        pooling = _pooling_of_module(directory, modules)
    if pooling is None and classifies and not has_pooler:
        named = shown(raw.get("architectures") or "no architectures")
        raise CheckpointError(
            f"{directory}: a classifier without the pooler that it reads (config.json names "
            f"{named}); a classifier of sentences has both: choose one, or write what it was "
            'trained on into config.json as "pooling": "mean" or "cls"'
        )
    if pooling is None:
        pooling = "pooler" if classifies else "mean"
    if pooling not in POOLINGS:
        raise CheckpointError(
            f"{directory / 'config.json'}: pooling is {shown(pooling)}, supported are "
            f"{', '.join(POOLINGS)}"
        )
    if pooling == "pooler" and not has_pooler:
        raise CheckpointError(
            f"{directory / 'config.json'}: pooling is 'pooler', but the checkpoint has no pooler; "
            "use 'mean' or 'cls'"
        )
    normalize = any(module.kind == "Normalize" for module in modules)
    return Sentences(pooling, normalize)


def _modules(directory: Path) -> list[Module]:
    """Modules of sentence-transformers in their order, [] without any."""
    path = directory / "modules.json"
    found = read_json(path, optional=True) or []
    if not isinstance(found, list) or not all(isinstance(module, dict) for module in found):
        raise CheckpointError(f"{path}: not a list of modules; fetch the file again")
    modules = []
    for stated in found:
        kind = str(stated.get("type")).rpartition(".")[2]
        folder = stated.get("path", "")
        if not isinstance(folder, str) or not lies_below(folder):
            raise CheckpointError(
                f"{path}: the path {shown(folder)} of {kind} leaves the directory; allowed: a folder "
                "in it"
            )
        modules.append(Module(kind, folder))
    unknown = [
        f"{module.kind} in {module.folder!r}" for module in modules if module.kind not in MODULES
    ]
    if unknown:
        raise CheckpointError(
            f"{path}: {', '.join(unknown)} would change every embedding and is not supported; "
            f"supported are {', '.join(MODULES)}: choose a checkpoint of these"
        )
    _refuse_prompt(directory / "config_sentence_transformers.json")
    return modules


def _refuse_prompt(settings: Path) -> None:
    prompt = read_table(settings, optional=True).get("default_prompt_name")
    if prompt is not None:
        raise CheckpointError(
            f"{settings}: default_prompt_name is {prompt!r}, a text before every sentence, which "
            "is not supported; put it into the sentences and set the key to null"
        )


def _pooling_of_module(directory: Path, modules: list[Module]) -> str | None:
    """What the module of pooling states; None where there is none."""
    folders = [module.folder for module in modules if module.kind == "Pooling"]
    folder = folders[0] if folders else "1_Pooling"
    path = directory / folder / "config.json"
    modes = read_table(path, optional=not folders)
    if not modes:
        return None
    stated = [key for key, on in modes.items() if key.startswith("pooling_mode_") and on is True]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(stated) != 1 or stated[0] not in known:
        raise CheckpointError(
            f"{path}: pooling {' + '.join(stated) or 'none'} is not supported; supported are "
            f"{', '.join(known)}"
        )
    return known[stated[0]]
