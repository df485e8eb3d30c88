"""Tiny decoders on simulated chips, for tests."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xbarsim.config.study import Study, merge, validate
from xbarsim.devices.presets import load_device
from xbarsim.hardware.build import Design, build_chip
from xbarsim.hardware.hook import HardwareHook
from xbarsim.models.attention import Cache
from xbarsim.studies.examples import Examples
from xbarsim.studies.held_out import held_out

IDEAL = {
    "device": {"name": "ideal"},
    "effects": dict.fromkeys(("wires", "programming", "converters", "read_noise"), False),
    "mapping": {"clip": "maximum"},
}
SMALL = {
    "mapping": {"word_lines": 16, "bit_lines": 16},
    "computation": {"word_lines": 16, "bit_lines": 16},
}


def study_of(*tables) -> Study:
    """A study of small tiles with tables laid over each other."""
    content = dict(SMALL)
    for table in tables:
        content = merge(content, table)
    return validate(content, "test")


def sequences(count=3, length=20, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 96, length - 3 * k) for k in range(count)]


def chip_of(model, study, seed=7, threads=1, calibration=None):
    """A chip of a study, its ranges from random sequences."""
    examples = Examples(calibration or sequences(4, 24, seed=9))
    with ThreadPoolExecutor(threads) as pool:
        found = held_out(model, examples, 2, pool, threads=threads)
        design = Design.of(model, study, load_device(study.device.name), found)
        return build_chip(design, seed, pool)


def prefill(model, hook, ids):
    """(states (s, h), logits (s, v)) of a sequence that is read at once."""
    token_ids = np.array([ids])
    states = model.forward(token_ids, np.ones(token_ids.shape, bool), hook)[0]
    rows = np.column_stack([np.zeros(len(ids), int), np.arange(len(ids))])
    return states, model.logits(states, rows, hook)


def decode(model, hook, ids, first=1):
    """The same, read in pieces of one token after the `first`."""
    cache = Cache()
    states = []
    logits = []
    pieces = [ids[:first], *([token] for token in ids[first:])]
    for piece in pieces:
        start = cache.length
        token_ids = np.array([piece])
        found = model.forward(token_ids, np.ones(token_ids.shape, bool), hook, cache)[0]
        rows = np.column_stack([np.zeros(len(piece), int), start + np.arange(len(piece))])
        states.append(found)
        logits.append(model.logits(found, rows, hook))
    return np.concatenate(states), np.concatenate(logits)


def on_chip(chip, first_sentence=0):
    return HardwareHook(chip, first_sentence)
