"""Small runs that pages are made of."""

import numpy as np
from tiny import make_tiny_place, tiny_study
from tiny_decoders import make_tiny_decoder

from xbarsim.config.study import load_study
from xbarsim.studies.run import run_study

HOSTILE = "<img src=x onerror=alert(1)> & “b”"
WIRES = {"word_line_resistance_ohm": 30.0, "bit_line_resistance_ohm": 30.0}
HARD = {"wires": WIRES, "dac": {"bits": 3}, "adc": {"bits": 3}}
CASES = (
    {"name": HOSTILE, "chip": "differential"},
    {"name": "coarse", "adc": {"bits": 3}, "run": {"chips": 2}},
    {"name": "no wires", "effects": {"wires": False}, "device": {"name": "rram-wan2022"}},
)


def run_of_cases(place):
    """The trace of a classifier in three cases: one on a chip, one of two chips, one without wires."""
    make_tiny_place(place)
    study = tiny_study(
        place,
        name="<script>document.title = 1",
        device={"name": "pcm", "time_s": 1e8, "outside_range": "warn"},
        wires=WIRES,
        case=list(CASES),
    )
    return run_study(study, place / "runs", threads=1)


def run_of_a_decoder(place):
    """The trace of a tiny decoder on a text."""
    make_tiny_decoder(place / "decoder", "llama")
    rng = np.random.default_rng(0)
    letters = rng.choice(list("abcdefgh ,."), 400)
    (place / "text.txt").write_text("".join(letters))
    content = {
        "name": "decoder",
        "model": {"name": str(place / "decoder")},
        "task": {
            "name": str(place / "text.txt"),
            "window": 32,
            "windows": 3,
            "calibration_tokens": 64,
        },
        "mapping": {"word_lines": 16, "bit_lines": 16},
        "run": {"batch_examples": 4},
        "case": [{"name": "chip"}, {"name": "exact", "effects": {"converters": False}}],
    }
    return run_study(load_study("default", content), place / "runs", threads=1)
