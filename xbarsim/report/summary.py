"""Traces to figures: accuracy with intervals, errors per layer, counted events, energy.  Imports no
kernel.
"""

import math
import tomllib
from dataclasses import dataclass, field

import numpy as np

from xbarsim.base.errors import TraceError
from xbarsim.chips.components import adc, dac, load_component
from xbarsim.studies.trace import MAY_BE_INFINITE, Trace
from xbarsim.tasks import metrics
from xbarsim.tasks.task import Task

BROKEN = (
    "no figure can be made of it: look at the study's wires and converters there, and run it again"
)
REFERENCES = {
    "float32": "float32",
    "int8": "INT8 digital",
}  # digital paths as tables and pictures name them


@dataclass(frozen=True)
class LayerSummary:
    """One matrix over all examples of a case.  SNR in dB; attenuation is the mean over its tiles
    (1: no IR drop), None on computation crossbars; counts of cells are those of the first chip;
    write_energy is in joule, None where the device states none; array_energy_per_token, in joule,
    is what the drivers of its word lines deliver into cells and wires."""

    matrix: str
    local_snr_db: float
    accumulated_snr_db: float
    adc_saturated: float
    dac_saturated: float
    attenuation: float | None
    attenuation_spread: float | None
    clipped_weights: int
    stuck_cells: int
    bounded_cells: int
    tiles: int
    cells: int
    write_pulses: int
    write_energy: float | None
    inputs: int
    outputs: int
    array_energy_per_token: float


@dataclass(frozen=True)
class OperationSummary:
    """One step without weight matrix over all examples of a case; saturations : codes held at their
    range, per example.
    """

    operation: str
    local_snr_db: float
    accumulated_snr_db: float
    saturations: float


@dataclass(frozen=True)
class ProductSummary:
    """One product of two activations over all examples of a case, on hardware.

    adc_saturated, dac_saturated : share of the conversions, inputs per example that left their
        range
    cells_set, write_energy : per example, cells written or switches set for the second operand,
        and joule of writes, None
        where it is not known: the device states no energy of a pulse, or switches are set, whose
        energy none states
    """

    product: str
    local_snr_db: float
    accumulated_snr_db: float
    adc_saturated: float
    dac_saturated: float
    cells_set: float
    write_energy: float | None


@dataclass(frozen=True)
class PathSummary:
    """A digital reference or a case: metric with its 95 % interval in natural units, and how many
    examples it has.

    chips : metric of every simulated chip; of several, value, low and high are their means (the
        interval is that of the sampled examples), and chips_low, chips_high the 95 % interval of
        the mean over chips by Student's t
    change : metric minus that of float32 on the same examples, with the paired 95 % interval of the
        sampled examples (`metrics.change`); None for a digital reference, and where float32 is lost

    energy : {part: joule per example}, None for a digital reference; assumed : parts priced without
        a sourced figure
    study : TOML of a case
    """

    name: str
    value: float
    low: float
    high: float
    examples: int
    layers: tuple[LayerSummary, ...] = ()
    events: dict | None = None
    energy: dict | None = None
    assumed: tuple[str, ...] = ()
    operations: tuple[OperationSummary, ...] = ()
    study: str = ""
    products: tuple[ProductSummary, ...] = ()
    chips: tuple[float, ...] = ()
    chips_low: float | None = None
    chips_high: float | None = None
    change: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Summary:
    """What a trace says.

    heads : of the model's attention, None where an older trace does not say it
    notes : how the examples were chosen, where a reader of the score must know it
    idle_settings : sentences on settings of the study that had no effect
    damage : what of the trace cannot be read, one line each
    chip_texts : {name: text} of the chip files of its cases, as they were when it ran
    """

    path: str
    study: str
    model: str
    task: str
    metric: str
    head: str
    examples: int
    tokens: int
    sentences: int
    seed: int
    complete: bool
    created: str
    software_version: str
    truncated_sentences: int
    heads: int | None
    references: tuple[PathSummary, ...]
    cases: tuple[PathSummary, ...]
    notes: tuple[str, ...] = ()
    idle_settings: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    chip_texts: dict = field(default_factory=dict)


def summarise(trace: Trace) -> Summary:
    """Summary of a Trace; paths without a finished example are left out.

    Parameters
    ----------
    trace : Trace of `read_trace`

    Returns
    -------
    Summary : of every path the metric with its 95 % interval, SNR per layer in dB, events, energy
        in joule per example

    Raises
    ------
    TraceError : no path has two examples, so nothing can be said; a number of the trace that is
        none
    """
    check_finite(trace)
    attributes = trace.attributes
    references = [
        PathSummary(name, *_metric(trace, path))
        for name, path in trace.reference.items()
        if path.done.sum() > 1
    ]
    cases = [
        _case(trace, name, case) for name, case in trace.cases.items() if any(_evaluated(case))
    ]
    if not references and not cases:
        raise TraceError(
            f"{trace.path} holds no evaluated examples: the run stopped before its first batch; "
            "run it again"
        )
    study = tomllib.loads(attributes["study"])
    return Summary(
        str(trace.path),
        study["name"],
        attributes["model"],
        attributes["task"],
        attributes["metric"],
        attributes["head"],
        len(trace.label),
        int(trace.tokens.sum()),
        len(trace.label) * (2 if attributes["task_kind"] == "pairs" else 1),
        int(attributes["seed"]),
        bool(attributes["complete"]),
        attributes["created"],
        attributes["software_version"],
        int(attributes["truncated_sentences"]),
        attributes.get("heads"),
        tuple(references),
        tuple(cases),
        tuple(attributes.get("notes", "").splitlines()),
        tuple(attributes.get("idle_settings", "").splitlines()),
        trace.damage,
        trace.sources.chips,
    )


def check_finite(trace):
    """Refuse a trace in which a number that a figure is made of is NaN, or infinite where it is no
    error ratio.

    Raises
    ------
    TraceError : with the place of the first
    """
    for name, path in trace.reference.items():
        _check_outputs(trace, f"reference {name}", path)
    for name, case in trace.cases.items():
        for number, chip in enumerate(case.chips, 1):
            where = f"chip {number} of case {name!r}"
            _check_outputs(trace, where, chip)
            for layers in (chip.layers, chip.products, chip.operations):
                for layer, found in layers.items():
                    _check_layer(trace, f"{where}, {layer}", found)


def _check_outputs(trace, where, path):
    if not np.isfinite(path.output[path.done]).all():
        raise TraceError(f"{trace.path}: an output of {where} is not finite; {BROKEN}")


def _check_layer(trace, where, layer):
    for name, values in (layer.attributes | layer.data).items():
        values = np.asarray(values)
        if values.dtype.kind != "f":
            continue
        wrong = np.isnan(values) if name.endswith(MAY_BE_INFINITE) else ~np.isfinite(values)
        if wrong.any():
            raise TraceError(f"{trace.path}: {name} of {where} is not finite; {BROKEN}")


def _metric(trace, path):
    """(value, low, high, examples) of the examples of a path that are done."""
    scored, predicted = _scored(trace, path.done), _predicted(trace, path, path.done)
    metric = next(
        found
        for found in metrics.metrics(scored, predicted, trace.attributes["seed"])
        if found.metric == trace.attributes["metric"]
    )
    return metric.value, metric.low, metric.high, len(predicted)


def _change(trace, chips):
    """(value, low, high) of what the metric changes from float32 to a case, on the examples of its
    chips; None where float32 does not have them all."""
    done = chips[0].done
    if "float32" not in trace.reference or not trace.reference["float32"].done[done].all():
        return None
    reference = _predicted(trace, trace.reference["float32"], done)
    found = metrics.change(
        _scored(trace, done),
        [_predicted(trace, chip, done) for chip in chips],
        reference,
        trace.attributes["metric"],
        trace.attributes["seed"],
    )
    return found.value, found.low, found.high


def _scored(trace, done):
    """The task of the examples `done` (n,) bool."""
    attributes, target = trace.attributes, trace.label[done]
    return Task(
        attributes["task"],
        attributes["task_kind"],
        (None,) * len(target),
        target,
        tuple(str(k) for k in range(attributes["classes"])),
        None,
        attributes["task_sha256"],
    )


def _predicted(trace, path, done):
    output = path.output[done]
    return output[:, 0] if trace.attributes["task_kind"] == "pairs" else output.argmax(axis=1)


def _evaluated(case):
    """The chips of a case of which something can be said: all with the same examples, those of the
    first.
    """
    done = [chip for chip in case.chips if chip.done.sum() > 1]
    return [chip for chip in done if np.array_equal(chip.done, done[0].done)]


def _case(trace, name, case):
    chips = _evaluated(case)
    found = [_metric(trace, chip) for chip in chips]
    value, low, high = np.mean([metric[:3] for metric in found], axis=0).tolist()
    values = tuple(metric[0] for metric in found)
    chips_low, chips_high = metrics.over_chips(values)
    examples = found[0][3]
    tokens = np.tile(trace.tokens[chips[0].done], len(chips))
    layers, products, operations = (
        _joined([getattr(chip, kind) for chip in chips])
        for kind in ("layers", "products", "operations")
    )
    measured = [*layers.values(), *products.values()]
    energy, assumed = _energy(measured, examples * len(chips))
    events = {
        event: sum(int(layer.data[event].sum()) for layer in measured) / (examples * len(chips))
        for event in ("tile_reads", "adc_conversions", "dac_drives", "shift_adds")
    }
    return PathSummary(
        name,
        value,
        low,
        high,
        examples,
        tuple(_layer(matrix, layer, tokens) for matrix, layer in layers.items()),
        events,
        energy,
        assumed,
        tuple(
            OperationSummary(
                operation, *_snr(found, tokens), float(found.data["saturations"].mean())
            )
            for operation, found in operations.items()
        ),
        case.study,
        tuple(_product(product, found, tokens) for product, found in products.items()),
        values,
        chips_low,
        chips_high,
        _change(trace, chips),
    )


def _joined(chips):
    """{name: Layer} of several chips with their data one after the other; attributes are those of
    the first chip, counts of cells and joules among them."""
    return {
        name: type(first)(
            first.attributes,
            {key: np.concatenate([chip[name].data[key] for chip in chips]) for key in first.data},
        )
        for name, first in chips[0].items()
    }


def _snr(layer, tokens):
    return snr_db(layer.data, "local", tokens), snr_db(layer.data, "accumulated", tokens)


def _product(name, layer, tokens):
    data = layer.data
    return ProductSummary(
        name,
        *_snr(layer, tokens),
        _share(data["adc_saturations"], data["adc_conversions"]),
        float(data["dac_saturations"].mean()),
        float(data["cells_set"].mean()),
        float(data["write_energy"].mean()) or None,
    )


def _layer(matrix, layer, tokens):
    data, attributes = layer.data, layer.attributes
    return LayerSummary(
        matrix,
        *_snr(layer, tokens),
        _share(data["adc_saturations"], data["adc_conversions"]),
        _share(data["dac_saturations"], tokens * attributes["inputs"]),
        *(
            float(data[key].mean()) if key in data else None
            for key in ("attenuation_mean", "attenuation_std")
        ),
        attributes["clipped_weights"],
        attributes["stuck_on"] + attributes["stuck_off"],
        attributes["bounded_cells"],
        attributes["tiles"],
        attributes["cells"],
        attributes.get("write_pulses", 0),
        attributes.get("write_energy"),
        attributes["inputs"],
        attributes["outputs"],
        float(data["array_energy"].sum() / tokens.sum()),
    )


def _share(part, whole):
    return float(part.sum() / max(whole.sum(), 1))


def snr_db(data, kind, tokens):
    """Signal over error power of all examples together, in dB; kind "local" or "accumulated".

    Without any error it is infinite, with an error and no signal minus infinity.
    """
    signal = float((data[f"{kind}_signal_rms"] ** 2 * tokens).sum())
    error = float((data[f"{kind}_error_rms"] ** 2 * tokens).sum())
    if error == 0:
        return math.inf
    return 10 * math.log10(signal / error) if signal else -math.inf


def _energy(layers, examples):
    """({part: joule per example}, parts with an assumed price): counted events times the component
    library's energy per action, and the array energy of the circuit solve."""
    shift_add = load_component("shift-and-add-32nm")
    energy = {"ADC": 0.0, "DAC": 0.0, "array (cells and wires)": 0.0, "shift-and-add": 0.0}
    assumed = set()
    for layer in layers:
        data = layer.data
        energy["array (cells and wires)"] += data["array_energy"].sum()
        priced = [("shift-and-add", "shift_adds", shift_add)]
        if layer.attributes["adc_bits"]:
            priced.append(("ADC", "adc_conversions", adc(layer.attributes["adc_bits"])))
        if layer.attributes["dac_bits"]:
            priced.append(("DAC", "dac_drives", dac(layer.attributes["dac_bits"])))
        for part, event, component in priced:
            energy[part] += data[event].sum() * component.energy
            if component.assumed:
                assumed.add(part)
    return {part: float(total / examples) for part, total in energy.items()}, tuple(sorted(assumed))
