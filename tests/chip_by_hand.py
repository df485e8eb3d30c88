"""A small transformer on `multibit` counted by hand: what every table and file of it must say."""

import json
import math
from types import SimpleNamespace

from chip_cases import lower
from typer.testing import CliRunner

from xbarsim.chips.schedule import schedule
from xbarsim.cli import app as cli
from xbarsim.models.shapes import Shape

SMALL = Shape(layers=2, hidden=200, heads=4, intermediate=300, positions=64)
MATRICES = [(200, 200)] * 4 + [(200, 300), (300, 200)]
TOKENS = 6


def multibit_by_hand(found, batch, copies=1):
    """{"events": {role: actions per sequence}, "area": m², "idle": W, "programming": J} of SMALL on
    `multibit`.

    128 x 128 arrays with 4 cells per weight, 8 arrays in a unit, 12 units in a tile, inputs of 8
    serial bits.
    """
    events = dict.fromkeys(
        (
            "adc",
            "sample-hold",
            "shift-add",
            "output-register",
            "dac",
            "input-register",
            "cell",
            "tile-shift-add",
            "tile-register",
            "softmax",
            "layer-norm",
            "gelu",
            "mac",
        ),
        0,
    )
    bits = dict.fromkeys(("buffer", "bus", "router", "link"), 0)
    arrays = units = 0
    for inputs, outputs in MATRICES * 2:
        rows, columns = math.ceil(inputs / 128), math.ceil(outputs / 32)
        arrays = rows * columns
        units += math.ceil(arrays / 8)
        for role in ("adc", "sample-hold", "shift-add", "output-register"):
            events[role] += 8 * rows * 4 * outputs
        for role in ("dac", "input-register"):
            events[role] += 8 * columns * inputs
        events["cell"] += 8 * arrays
        for role in ("tile-shift-add", "tile-register"):
            events[role] += rows * outputs
        bits["buffer"] += 8 * (2 * inputs + outputs)
        bits["bus"] += 8 * inputs + 16 * rows * outputs
        bits["router"] += 8 * inputs
    for _ in range(2):
        scores = 4 * TOKENS
        events["mac"] += 2 * TOKENS * 200
        events["softmax"] += scores
        events["layer-norm"] += 2 * 200
        events["gelu"] += 300
        products = 2 * (200 + 200 + scores)
        bits["buffer"] += 8 * (products + 2 * scores + 2 * 3 * 200 + 2 * 300)
    bits["link"] = 8 * 2 * 200
    components = {part.role: (part, component) for part, component in found.chip.parts}
    for role, moved in bits.items():
        component = components[role][1]
        events[role] = moved / (component.bits if component.action in ("access", "flit") else 1)
    tiles = math.ceil(units * copies / 12)
    number = {"unit": 12 * tiles, "tile": tiles, "chip": 1}
    own = {"adc": 8, "dac": 1024, "sample-hold": 1024, "cell": 8 * 128 * 128}
    area = idle = 0.0
    for role, (part, component) in components.items():
        count = number[part.level] * (own[role] if role in own else part.count)
        area += count * component.area
        idle += count * component.leakage
        if role != "cell-write" and component.delay is not None:
            idle += count * found.chip.idle_fraction * component.energy / component.delay
    weights = 2 * (4 * 200**2 + 2 * 200 * 300)
    used = weights * 4 / (units * 8 * 128 * 128)
    programming = weights * 4 * 10 * copies * components["cell-write"][1].energy
    return SimpleNamespace(
        events={role: TOKENS * count for role, count in events.items()},
        area=area,
        idle=idle,
        programming=programming,
        used=used,
        tiles=tiles,
        components=components,
    )


def price(found, components, role):
    if role == "cell":
        return 128 * 128 * 20.5e-6 * 0.2**2 * 0.5 * 100e-9
    return components[role][1].energy


def expected_figures(found, batch, copies=1):
    """({heading: text}, joules, hand) as the table of `chip compare` must print them."""
    hand = multibit_by_hand(found, batch, copies)
    latency = schedule(lower(found.chip, SMALL, TOKENS, batch).stages).of(batch)
    joules = sum(count * price(found, hand.components, role) for role, count in hand.events.items())
    joules += hand.idle * latency / batch
    return printed_by_hand(hand.area, latency, batch, joules, multiplications()), joules, hand


def multiplications():
    matrices = 2 * sum(inputs * outputs for inputs, outputs in MATRICES)
    return TOKENS * (matrices + 2 * 2 * TOKENS * 200)


def printed_by_hand(area, latency, batch, joules, macs):
    each = latency / batch
    values = {
        "area (mm²)": area * 1e6,
        "latency (ms)": latency * 1e3,
        "per sequence (ms)": each * 1e3,
        "energy (mJ)": joules * 1e3,
        "per token (µJ)": joules / TOKENS * 1e6,
        "ADP (mm² s)": area * 1e6 * each,
        "TOPS/W": 2 * macs / joules / 1e12,
        "TOPS/mm²": 2 * macs / each / 1e12 / (area * 1e6),
        "power (W)": joules / each,
        "mW/mm²": joules / each * 1e3 / (area * 1e6),
    }
    return {heading: f"{value:.4g}" for heading, value in values.items()}


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def small_checkpoint(directory):
    """A directory whose config.json has the dimensions of SMALL."""
    place = directory / "small"
    place.mkdir()
    (place / "config.json").write_text(
        json.dumps(
            {
                "num_hidden_layers": 2,
                "hidden_size": 200,
                "num_attention_heads": 4,
                "intermediate_size": 300,
                "max_position_embeddings": 64,
            }
        )
    )
    return place


UNITS = {
    "area": "m²",
    "latency": "s",
    "time_per_sequence": "s",
    "energy": "J",
    "energy_per_token": "J",
    "area_delay": "m² s",
    "tops_per_watt": "TOPS/W",
    "tops_per_mm2": "TOPS/mm²",
    "power": "W",
    "power_density": "W/m²",
}
