"""An error budget: the effects of a study and the places of its model, and a directory with the chips that
have some of them.

The directory is that of a sweep, whose points are these chips: it is run by the same processes, and goes on
where it was stopped.
"""

import fnmatch
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from xbarsim.base import fetch
from xbarsim.base.arguments import instance, path_of
from xbarsim.base.errors import ConfigError, IdleSettingWarning
from xbarsim.base.progress import Progress, silent, unsaid
from xbarsim.config.arrays import SWITCHES
from xbarsim.config.budget import FUNCTIONS, GROUPS, Budget
from xbarsim.config.study import Study
from xbarsim.devices.presets import load_device
from xbarsim.hardware import idle
from xbarsim.hardware.build import settings_of
from xbarsim.hardware.place import FUNCTIONS as FUNCTION_STEPS
from xbarsim.hardware.place import Place
from xbarsim.models.architectures import load_network
from xbarsim.models.graph import Graph, Step
from xbarsim.studies.budget_points import plan_budget, remaining, without_remedy
from xbarsim.studies.pieces import Case
from xbarsim.studies.run import find_idle_settings
from xbarsim.studies.sweep import run_sweep
from xbarsim.studies.sweep_directory import open_or_create


def budget_study(
    study: Study,
    directory: str | Path,
    workers: int = 1,
    threads: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], object] = unsaid,
) -> Path:
    """Evaluate the chips of an error budget; a directory that holds the same budget is gone on with.

    Parameters
    ----------
    study : its table `[budget]` says who shares the loss; without one all effects do
    directory : where the traces are written
    workers, threads, progress, say : as of `run_sweep`

    Returns
    -------
    Path of the directory, for `open_budget`

    Raises
    ------
    ConfigError : nothing that could share a loss, a budget of another study in the directory
    OutputError : the directory cannot be written
    """
    instance("study", study, Study, "what load_study returns")
    directory = path_of("directory", directory)
    opened = open_or_create(resolve(study), directory)
    run_sweep(opened, workers, threads, progress, say)
    return opened.path


def resolve(study: Study) -> Study:
    """The study with a `[budget]` that states its effects and places, and without `[sweep]`.

    Raises
    ------
    ConfigError : no effect acts in the case, or one that was asked for does not
    """
    graph = load_network(fetch.locate(study.model.name, "model")).model.graph
    budget = study.budget or Budget()
    if budget.case is None:
        budget = budget.model_copy(update={"case": _fullest_case(study, graph)})
    case = remaining(study, budget)
    device = load_device(case.device.name)
    places = idle.places(settings_of(case, graph), device, graph)
    for sentence in find_idle_settings([Case("budget", case, device)], graph):
        warnings.warn(IdleSettingWarning(sentence), stacklevel=2)
    for name in budget.remedies:
        if without_remedy(case, name) == case:
            raise ConfigError(
                f"budget.remedies: the study does not have {name}; leave it out, or set it"
            )
    effects = _effects(budget, places)
    on_hardware = [place.step for place in places if _acts(place, "+".join(effects))]
    stated = budget.places
    if stated is None:
        stated = places_of(graph, on_hardware, budget.layers)
    else:
        _check_partition(stated, on_hardware)
    update = {"effects": effects, "places": stated}
    resolved = budget.model_copy(update=update)
    found = study.model_copy(update={"budget": resolved, "sweep": None})
    plan_budget(found)
    return found


def _fullest_case(study: Study, graph: Graph) -> str:
    """The case in which most effects act, the first of several."""
    counts = {}
    for name, case in study.cases():
        device = load_device(case.device.name)
        places = idle.places(settings_of(case, graph), device, graph)
        counts[name] = sum(_acts_somewhere(places, switch) for switch in SWITCHES)
    return max(counts, key=lambda name: counts[name])


def _effects(budget: Budget, places: Sequence[Place]) -> tuple[str, ...]:
    """The effects that share the loss: those that are asked for, or all that act, in their groups."""
    if budget.effects is not None:
        idle_ones = [name for name in budget.effects if not _acts_somewhere(places, name)]
        if idle_ones:
            raise ConfigError(
                f"budget.effects: {', '.join(idle_ones)} does nothing in this study; leave it out"
            )
        return budget.effects
    found = []
    for group in GROUPS:
        acting = [name for name in group if _acts_somewhere(places, name)]
        if acting:
            found.append("+".join(acting))
    if not found:
        raise ConfigError(
            "no effect acts in this case: its arrays are ideal, or nothing lies on them; name another "
            "--case"
        )
    return tuple(found)


def _acts_somewhere(places: Sequence[Place], effect: str) -> bool:
    return any(_acts(place, effect) for place in places)


def _acts(place: Place, effect: str) -> bool:
    """Whether an effect, or one of those joined in it, acts on a step."""
    for name in effect.split("+"):
        if name == FUNCTIONS:
            if any(place.function(function) is not None for function in FUNCTION_STEPS):
                return True
        elif place.acts(name):
            return True
    return False


# ---------------------------------------------------------------- places


def places_of(graph: Graph, steps: Sequence[Step], layers: str) -> dict[str, tuple[str, ...]]:
    """{name: patterns} of the steps on hardware: by layer, or by role; none with "none".

    A pattern is that of the step's layer or role where it matches nothing else, else a name.
    """
    groups: dict[str, list[str]] = {}
    for step in steps:
        if layers == "layer":
            name = step.name if step.layer is None else f"layer {step.layer}"
        elif layers == "role":
            name = str(step.role)
        else:
            continue
        groups.setdefault(name, []).append(step.name)
    if len(groups) < 2:
        return {}
    names = [step.name for step in steps]
    return {name: _patterns(found, names) for name, found in groups.items()}


def _patterns(found: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """One pattern that matches these names and no other, or the names."""
    head, _, _ = found[0].rpartition(".")
    tail = found[0].rpartition(".")[2]
    for pattern in (f"{head}.*", f"*.{tail}"):
        if len(found) > 1 and fnmatch.filter(names, pattern) == list(found):
            return (pattern,)
    return tuple(found)


def _check_partition(places: dict[str, tuple[str, ...]], steps: Sequence[Step]) -> None:
    """Refuse places that leave out a step on hardware, or have one twice."""
    for step in steps:
        count = sum(_has(patterns, step.name) for patterns in places.values())
        if count != 1:
            raise ConfigError(
                f"budget.places: {step.name} is in {count or 'none'} of them; allowed: in one"
            )


def _has(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
