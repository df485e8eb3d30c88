"""A study: the validated configuration of a run.

A study is a TOML file.  Every key has a default, so an empty file is the chip of the defaults
below; unknown keys are refused.  Keys whose unit is not dimensionless carry it in their name
(`_ohm`, `_ns`).  `[[case]]` tables are variants of the study: each overrides keys of the base and
is run on the same sentences, and names with `row` and `column` its place where a report makes a
table of cases; `[[layer]]` tables override keys for the matrices whose name matches a
pattern.
"""

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field, ValidationError

from xbarsim.base.arguments import shown
from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Content, Presets, describe
from xbarsim.config.array_checks import check_arrays
from xbarsim.config.arrays import Adc, Dac, Device, Effects, Mapping
from xbarsim.config.budget import Budget
from xbarsim.config.converters import check_converters
from xbarsim.config.correction import Correction, check_correction, check_losses
from xbarsim.config.functions import Functions, LayerNorm, Softmax
from xbarsim.config.read_noise import ReadNoise
from xbarsim.config.sweep import Sweep
from xbarsim.config.synergy import Computation, Memory, Products
from xbarsim.config.tables import LONGEST_NAME, Name, Table, is_plain_name
from xbarsim.config.training import Training, check_training
from xbarsim.config.wires import Wires

STUDIES = Presets("study", "studies")
FEWEST_CHIPS = 5  # before an interval over chips may end a case


class Model(Table):
    name: str = Field(
        "all-MiniLM-L6-v2", description="name of a known model, or a checkpoint directory"
    )
    max_length: int = Field(
        128, ge=2, le=512, description="tokens per sentence; longer sentences are truncated"
    )
    convolution: Literal["im2col", "sub_image"] = Field(
        "im2col",
        description="of a network of images: one row of inputs per output position, or per sub-image, whose "
        "output positions have columns of their own, with the kernel in each",
    )
    sub_image_rows: int = Field(
        128,
        ge=1,
        le=4096,
        description="inputs that the pixels of a sub-image may be, with `sub_image`",
    )


class Task(Table):
    name: str = Field(
        "vader-movie",
        description="name of a known task, or a TSV, CSV or JSONL file; of a decoder also a text, of a "
        "network of images a directory or file of images",
    )
    head: Literal["auto", "cosine", "classifier", "probe"] = Field(
        "auto",
        description="what makes predictions of sentence features; auto: cosine of pairs, the checkpoint's own "
        "classifier where it has one of the task's classes, else a fitted probe",
    )
    pooling: Literal["auto", "mean", "cls", "pooler"] = Field(
        "auto", description="how token vectors become a sentence's; auto: as the checkpoint states"
    )
    metric: str = Field(
        "auto",
        description="spearman, pearson, accuracy, f1, matthews, perplexity, accuracy_normalised; auto: "
        "the first that the task has",
    )
    limit: int | None = Field(
        None,
        ge=2,
        description="examples evaluated, evenly spread over the test split; all if absent",
    )
    window: int | None = Field(
        None,
        ge=2,
        description="tokens of a window of a text; 512, or the model's context, if absent",
    )
    stride: int | None = Field(
        None, ge=1, description="tokens from one window to the next; a window if absent"
    )
    windows: int | None = Field(
        None, ge=1, description="windows evaluated, from the start of a text; all if absent"
    )
    probe_examples: int = Field(2000, ge=2, description="training examples behind a logistic head")
    calibration_examples: int = Field(
        64, ge=1, description="examples that set converter ranges and are not scored"
    )
    calibration: str | None = Field(
        None, description="another task whose sentences set them; of the same task if absent"
    )
    calibration_tokens: int = Field(
        1024, ge=2, description="tokens that set converter ranges of a decoder and are not scored"
    )


class Run(Table):
    batch_examples: int = Field(
        16, ge=1, description="examples that travel together; part of the result's definition"
    )
    chips: int = Field(
        1, ge=1, le=1000, description="simulated chips per case, each with seeds of its own"
    )
    chips_half_width: float | None = Field(
        None,
        gt=0,
        description="chips are simulated until the interval of a case's metric over chips reaches no "
        "farther to each side, at most `chips`; in the metric's own unit: 0.01 is a point of an accuracy",
    )
    cache_gb: float = Field(
        0.0, ge=0.0, description="programmed arrays kept on disk for later runs, GB; 0: none"
    )
    cache_eviction: Literal["least_recently_used", "none"] = Field(
        "least_recently_used",
        description="what makes room for new arrays; none: what finds no room is not kept",
    )
    memory_gb: float | None = Field(
        None,
        gt=0.0,
        description="of the process, GB: in-situ arrays beyond it wait in files; no bound if absent",
    )


class LayerOverride(Table):
    match: str = Field(description="pattern of names of matrices and products, such as `layer.0.*`")
    mapping: dict[str, Any] = Field({}, description="keys of [mapping]")
    dac: dict[str, Any] = Field({}, description="keys of [dac]")
    adc: dict[str, Any] = Field({}, description="keys of [adc]")
    wires: dict[str, Any] = Field({}, description="keys of [wires]")
    read_noise: dict[str, Any] = Field({}, description="keys of [read_noise]")
    effects: dict[str, Any] = Field({}, description="keys of [effects]")
    functions: dict[str, Any] = Field({}, description="keys of [functions]")
    memory: dict[str, Any] = Field({}, description="keys of [memory]")
    products: dict[str, Any] = Field({}, description="keys of [products]")
    computation: dict[str, Any] = Field({}, description="keys of [computation]")
    correction: dict[str, Any] = Field({}, description="keys of [correction]")


class Study(Table):
    name: Name = Field("study", description="names the trace; the file's without `.toml` if absent")
    seed: int = Field(
        20261123, ge=0, le=2**63 - 1, description="of programming, noise and intervals"
    )
    model: Model = Field(Model(), description="the network that is run")
    task: Task = Field(Task(), description="what it is evaluated on")
    device: Device = Field(
        Device(), description="the memory cell, and the conditions it is read in"
    )
    mapping: Mapping = Field(Mapping(), description="weights on in-situ tiles")
    wires: Wires = Field(Wires(), description="resistances of a tile")
    dac: Dac = Field(Dac(), description="inputs of a tile")
    adc: Adc = Field(Adc(), description="outputs of a tile")
    read_noise: ReadNoise = Field(
        ReadNoise(), description="how the noise of cells reaches the bit lines"
    )
    products: Products = Field(Products(), description="what multiplies")
    computation: Computation = Field(Computation(), description="crossbars that count")
    effects: Effects = Field(Effects(), description="what is simulated")
    correction: Correction = Field(
        Correction(), description="when ranges and gains are fitted, and what follows drift"
    )
    functions: Functions = Field(
        Functions(), description="softmax, layer norm and GELU in integers"
    )
    memory: Memory = Field(
        Memory(), description="the dense crossbar that stores the weights of counting crossbars"
    )
    run: Run = Field(Run(), description="how it is run")
    row: Name | None = Field(
        None,
        min_length=1,
        description="of a case: its row in the report's table of cases, its curve against a key",
    )
    column: Name | None = Field(
        None, min_length=1, description="of a case: its column in the report's table of cases"
    )
    chip: str | None = Field(
        None, description="chip, or chip file, whose energy, area and latency the report joins"
    )
    layer: tuple[LayerOverride, ...] = Field(
        (), description="[[layer]] tables: other keys for the matrices of some names"
    )
    sweep: Sweep | None = Field(None, description="keys that `xbarsim sweep` varies")
    budget: Budget | None = Field(None, description="who shares the loss in `xbarsim budget`")
    training: Training | None = Field(None, description="how `xbarsim train` fine-tunes the model")
    case: tuple[dict[str, Any], ...] = Field(
        ({"name": "chip"},),
        description="[[case]] tables: variants of the study, each with a name, any keys but those of model and task, "
        "and perhaps `like`, the name of an earlier one that it starts from",
    )

    def to_toml(self) -> str:
        """The whole study, defaults included, as TOML."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def cases(self) -> list[tuple[str, "Study"]]:
        """[(name, study)]: the variants to run, each a complete study without cases.

        A case `like` one before it starts from that one's keys.

        Raises
        ------
        ConfigError : a case that cannot be run, or two that cannot be told apart
        """
        base = self.model_dump(exclude={"case", "sweep", "budget", "training"}, exclude_unset=True)
        overrides: dict[str, Content] = {}
        cases = []
        for number, stated in enumerate(self.case, 1):
            override = dict(stated)
            name = _case_name(override.pop("name", f"case {number}"))
            if name in overrides:
                raise ConfigError(f"two cases have the same name: {name!r}; give each its own")
            like = override.pop("like", None)
            if like is not None:
                if like not in list(overrides):
                    raise ConfigError(
                        f"case {name!r} is like {like!r}; allowed: the name of a [[case]] before it"
                    )
                override = merge(overrides[like], override)
            overrides[name] = override
            _check_shared_keys(name, override)
            cases.append((name, validate(merge(base, override), f"case {name!r}")))
        _check_places(cases)
        return cases

    def conductance_directories(self) -> list[str]:
        """Every `mapping.conductances` of its cases and their `[[layer]]` tables."""
        found = []
        for _, case in self.cases():
            found.append(case.mapping.conductances)
            found += [entry.mapping.get("conductances") for entry in case.layer]
        return list(dict.fromkeys(name for name in found if name is not None))

    def check_layers(self) -> None:
        """Refuse a `[[layer]]` table with a wrong key or value, whether or not it matches a
        matrix.
        """
        content = self.model_dump(exclude={"layer", "case"}, exclude_unset=True)
        for entry in self.layer:
            override = entry.model_dump(exclude={"match"}, exclude_unset=True)
            try:
                Study.model_validate(merge(content, override))
            except ValidationError as error:
                raise ConfigError(f"[[layer]] {entry.match!r}: {describe(error, Study)}") from None

    def for_layer(self, matrix: str) -> "Study":
        """The study as it applies to one matrix: `[[layer]]` tables that match are merged in, in
        their order.
        """
        matching = [entry for entry in self.layer if fnmatch.fnmatch(matrix, entry.match)]
        if not matching:
            return self
        content = self.model_dump(exclude={"layer", "case"}, exclude_unset=True)
        for entry in matching:
            content = merge(content, entry.model_dump(exclude={"match"}, exclude_unset=True))
        return validate(content, f"[[layer]] tables for {matrix!r}")


# ---------------------------------------------------------------- cases


def _case_name(name: object) -> str:
    """The name of a case, which names a group of the trace."""
    if isinstance(name, str) and name.strip() and "/" not in name and not name.startswith("."):
        if is_plain_name(name):
            return name
    raise ConfigError(
        f"case name {shown(name)} must be a string without '/', not empty, not starting with '.', "
        f"without control characters, of at most {LONGEST_NAME} characters"
    )


def _check_shared_keys(name: str, override: Content) -> None:
    """Refuse a case that overrides what all cases of a study share."""
    fixed = set(override) & {"model", "task", "run", "case", "sweep", "budget", "training"}
    if fixed == {"run"} and isinstance(override["run"], dict):
        fixed = {f"run.{key}" for key in override["run"].keys() - {"chips"}}
    if fixed:
        raise ConfigError(
            f"case {name!r} overrides {', '.join(sorted(fixed))}, but all cases of a study share "
            "model, task and batches; write a second study instead"
        )


def _check_places(cases: Iterable[tuple[str, Study]]) -> None:
    """Refuse a column without a row, and two cases at one place of the table."""
    taken: dict[tuple[str, str], str] = {}
    for name, case in cases:
        if case.column is None:
            continue
        if case.row is None:
            raise ConfigError(
                f"case {name!r} has column = {case.column!r} but no row; give it both, or neither"
            )
        place = (case.row, case.column)
        if place in taken:
            raise ConfigError(
                f"cases {taken[place]!r} and {name!r} have the same row = {case.row!r} and "
                f"column = {case.column!r}; give each a place of its own"
            )
        taken[place] = name


def merge(base: Content, override: Content) -> Content:
    """`override` laid over `base`, table by table."""
    result = dict(base)
    for key, value in override.items():
        below = result.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            result[key] = merge(below, value)
        else:
            result[key] = value
    return result


# ---------------------------------------------------------------- validation


def validate(content: Content, where: str) -> Study:
    """Study of a dictionary; `where` names its origin in the error.

    Raises
    ------
    ConfigError : unknown key, value out of range, keys that do not go together
    """
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + describe(error, Study)) from None
    study.wires.resistances()
    check_arrays(study.mapping, study.dac, study.adc, study.effects, where)
    check_converters(study.mapping, study.dac, study.adc, study.effects.with_dac, where)
    check_correction(study.correction, study.device, study.mapping, where)
    check_losses(
        study.correction,
        study.mapping,
        study.dac,
        study.read_noise,
        with_dac=study.effects.with_dac,
        where=where,
    )
    _check_functions(study.functions, where)
    _check_run(study.run, where)
    check_training(study.training, study.mapping, where)
    return study


def _check_run(run: Run, where: str) -> None:
    """Refuse a width of an interval that has nothing to decide."""
    if run.chips_half_width is not None and run.chips <= FEWEST_CHIPS:
        raise ConfigError(
            f"{where}: run.chips_half_width = {run.chips_half_width:g} ends a case after {FEWEST_CHIPS} "
            f"chips or more, but run.chips = {run.chips}; allowed: {FEWEST_CHIPS + 1} chips or more, "
            "the most that are simulated"
        )


def _check_functions(functions: Functions, where: str) -> None:
    """Refuse bits of the function unit that do not go together."""
    softmax = functions.softmax
    _check_seed("softmax", softmax, where)
    _check_seed("layer_norm", functions.layer_norm, where)
    if softmax.accumulator_bits is not None and softmax.entry_bits > softmax.accumulator_bits:
        raise ConfigError(
            f"{where}: functions.softmax.accumulator_bits = {softmax.accumulator_bits} do not "
            f"hold one exponential of entry_bits = {softmax.entry_bits}; allowed: at least as many"
        )


def _check_seed(name: str, function: Softmax | LayerNorm, where: str) -> None:
    if function.seed_bits > function.reciprocal_bits:
        raise ConfigError(
            f"{where}: functions.{name}.seed_bits = {function.seed_bits} is more than "
            f"reciprocal_bits = {function.reciprocal_bits}; allowed: at most as many"
        )


# ---------------------------------------------------------------- studies by name


def study_names() -> list[str]:
    """Names of the studies that come with xbarsim."""
    return STUDIES.names()


def study_text(name_or_path: str | Path) -> str:
    """The TOML text of an embedded study or of a file."""
    return STUDIES.text(name_or_path)


def load_study(
    name_or_path: str | Path = "default", overrides: dict[str, Any] | None = None
) -> Study:
    """Study of a TOML file or of an embedded name, with a nested dictionary of overrides laid over
    it.

    Parameters
    ----------
    name_or_path : one of those that `xbarsim study` lists, or a TOML file, whose name without `.toml` is
        that of a study that states none
    overrides : {table: {key: value}}, units as the names of the keys say

    Returns
    -------
    Study

    Raises
    ------
    ConfigError : no such file or name, not TOML, unknown key, value out of range
    """
    content = {"name": STUDIES.label(name_or_path)} | STUDIES.content(name_or_path)
    study = validate(merge(content, overrides or {}), str(name_or_path))
    for _, case in study.cases():
        case.check_layers()
    return study
