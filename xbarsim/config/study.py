"""A study: the validated configuration of a run.

A study is a TOML file.  Every key has a default, so an empty file is the chip of the defaults
below; unknown keys are refused.  Keys whose unit is not dimensionless carry it in their name
(`_ohm`, `_ns`).  `[[case]]` tables are variants of the study: each overrides keys of the base and
is run on the same sentences; `[[layer]]` tables override keys for the matrices whose name matches a
pattern.
"""

import fnmatch
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field, ValidationError

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Presets, describe
from xbarsim.config.arrays import Adc, Dac, Device, Effects, Mapping, Wires
from xbarsim.config.functions import Functions
from xbarsim.config.sweep import Sweep
from xbarsim.config.synergy import Computation, Memory, Products
from xbarsim.config.tables import Table

STUDIES = Presets("study", "studies")


class Model(Table):
    name: str = Field(
        "all-MiniLM-L6-v2", description="name of a known model, or a checkpoint directory"
    )
    max_length: int = Field(
        128, ge=2, le=512, description="tokens per sentence; longer sentences are truncated"
    )


class Task(Table):
    name: str = Field(
        "vader-movie", description="name of a known task, or a TSV, CSV or JSONL file"
    )
    head: Literal["auto", "cosine", "classifier", "probe"] = "auto"
    pooling: Literal["auto", "mean", "cls", "pooler"] = "auto"
    metric: str = Field(
        "auto", description="spearman, pearson, accuracy, f1, matthews; auto: spearman or accuracy"
    )
    limit: int | None = Field(
        None,
        ge=2,
        description="examples evaluated, evenly spread over the test split; all if absent",
    )
    probe_examples: int = Field(2000, ge=2, description="training examples behind a logistic head")
    calibration_examples: int = Field(
        64, ge=1, description="examples that set converter ranges and are not scored"
    )
    calibration: str | None = Field(
        None, description="another task whose sentences set them; of the same task if absent"
    )


class Run(Table):
    batch_examples: int = Field(
        16, ge=1, description="examples that travel together; part of the result's definition"
    )
    chips: int = Field(
        1, ge=1, le=1000, description="simulated chips per case, each with seeds of its own"
    )


class LayerOverride(Table):
    match: str = Field(description="pattern of names of matrices and products, such as `layer.0.*`")
    mapping: dict[str, Any] = {}
    dac: dict[str, Any] = {}
    adc: dict[str, Any] = {}
    wires: dict[str, Any] = {}
    effects: dict[str, Any] = {}
    functions: dict[str, Any] = {}
    memory: dict[str, Any] = {}
    products: dict[str, Any] = {}
    computation: dict[str, Any] = {}


class Study(Table):
    name: str = "study"
    seed: int = Field(20261123, ge=0)
    model: Model = Model()
    task: Task = Task()
    device: Device = Device()
    mapping: Mapping = Mapping()
    wires: Wires = Wires()
    dac: Dac = Dac()
    adc: Adc = Adc()
    products: Products = Products()
    computation: Computation = Computation()
    effects: Effects = Effects()
    functions: Functions = Functions()
    memory: Memory = Memory()
    run: Run = Run()
    chip: str | None = Field(
        None, description="chip, or chip file, whose energy, area and latency the report joins"
    )
    layer: tuple[LayerOverride, ...] = ()
    sweep: Sweep | None = Field(None, description="keys that `xbarsim sweep` varies")
    case: tuple[dict[str, Any], ...] = ({"name": "chip"},)

    def to_toml(self):
        """The whole study, defaults included, as TOML."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def cases(self):
        """[(name, study)]: the variants to run, each a complete study without cases.

        A case `like` one before it starts from that one's keys.
        """
        base = self.model_dump(exclude={"case", "sweep"}, exclude_unset=True)
        result, overrides = [], {}
        for number, override in enumerate(self.case):
            override = dict(override)
            name = override.pop("name", f"case {number + 1}")
            if not isinstance(name, str) or not name.strip() or "/" in name or name.startswith("."):
                raise ConfigError(
                    f"case name {name!r} must be a string without '/', not empty, not starting with '.'"
                )
            like = override.pop("like", None)
            if like is not None:
                if like not in list(overrides):
                    raise ConfigError(
                        f"case {name!r} is like {like!r}; allowed: the name of a [[case]] before it"
                    )
                override = merge(overrides[like], override)
            overrides[name] = override
            fixed = override.keys() & {"model", "task", "run", "case", "sweep"}
            if fixed == {"run"} and isinstance(override["run"], dict):
                fixed = {f"run.{key}" for key in override["run"].keys() - {"chips"}}
            if fixed:
                raise ConfigError(
                    f"case {name!r} overrides {', '.join(sorted(fixed))}, but all cases of a study share "
                    "model, task and batches; write a second study instead"
                )
            result.append((name, validate(merge(base, override), f"case {name!r}")))
        names = [name for name, _ in result]
        if len(set(names)) < len(names):
            raise ConfigError(f"two cases have the same name: {names}; give each [[case]] its own")
        return result

    def check_layers(self):
        """Refuse a `[[layer]]` table with a wrong key or value, whether or not it matches a matrix."""
        content = self.model_dump(exclude={"layer", "case"}, exclude_unset=True)
        for entry in self.layer:
            override = entry.model_dump(exclude={"match"}, exclude_unset=True)
            try:
                Study.model_validate(merge(content, override))
            except ValidationError as error:
                raise ConfigError(f"[[layer]] {entry.match!r}: {describe(error)}") from None

    def for_layer(self, matrix):
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


def merge(base, override):
    """`override` laid over `base`, table by table."""
    result = dict(base)
    for key, value in override.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if nested else value
    return result


def validate(content, where):
    """Study of a dictionary; `where` names its origin in the error."""
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + describe(error)) from None
    study.wires.resistances()
    if study.mapping.sign == "offset" and study.mapping.encoding != "slices":
        raise ConfigError(f'{where}: mapping.sign = "offset" needs mapping.encoding = "slices"')
    if study.dac.encoding == "bit_serial" and study.dac.bits == "ideal":
        raise ConfigError(
            f'{where}: dac.encoding = "bit_serial" needs a number of dac.bits, not "ideal"'
        )
    if study.dac.encoding == "bit_serial" and study.dac.bits == 1:
        raise ConfigError(
            f'{where}: dac.bits = 1 is a sign without a digit for dac.encoding = "bit_serial"; allowed: 2 or '
            "more bits, or another encoding"
        )
    if study.adc.range == "unit" and (
        study.mapping.encoding != "slices" or study.dac.encoding != "bit_serial"
    ):
        raise ConfigError(
            f'{where}: adc.range = "unit" counts unit currents, which only encoding = "slices" with '
            'dac.encoding = "bit_serial" has'
        )
    for name in ("softmax", "layer_norm"):
        function = getattr(study.functions, name)
        if function.seed_bits > function.reciprocal_bits:
            raise ConfigError(
                f"{where}: functions.{name}.seed_bits = {function.seed_bits} is more than reciprocal_bits = "
                f"{function.reciprocal_bits}; allowed: at most as many"
            )
    accumulator_bits = study.functions.softmax.accumulator_bits
    if accumulator_bits is not None and study.functions.softmax.entry_bits > accumulator_bits:
        raise ConfigError(
            f"{where}: functions.softmax.accumulator_bits = {accumulator_bits} do not "
            f"hold one exponential of entry_bits = {study.functions.softmax.entry_bits}; allowed: at least as "
            "many"
        )
    return study


def study_names():
    """Names of the studies that come with xbarsim."""
    return STUDIES.names()


def study_text(name_or_path):
    """The TOML text of an embedded study or of a file."""
    return STUDIES.text(name_or_path)


def load_study(
    name_or_path: str | Path = "default", overrides: dict[str, Any] | None = None
) -> Study:
    """Study of a TOML file or of an embedded name, with a nested dictionary of overrides laid over
    it.

    Parameters
    ----------
    name_or_path : one of those that `xbarsim study` lists, or a TOML file
    overrides : {table: {key: value}}, units as the names of the keys say

    Returns
    -------
    Study

    Raises
    ------
    ConfigError : no such file or name, not TOML, unknown key, value out of range
    """
    content = STUDIES.content(name_or_path)
    study = validate(merge(content, overrides or {}), str(name_or_path))
    for _, case in study.cases():
        case.check_layers()
    return study
