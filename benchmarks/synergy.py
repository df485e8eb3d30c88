"""Time of an encoder on computation crossbars in the statistical mode over that of the INT8 digital
reference, one thread.

    python benchmarks/synergy.py [--sentences 16] [--repeats 5] [--case NAME ...] [--layers 6]

A BERT of all-MiniLM's shapes (hidden width 384, 12 heads, 1536 inside) with random weights; one
batch of sentences of 8 to 48 tokens.  Both paths are `forward` alone: neither the float32 path
beside it nor the trace of a run is counted. A ratio is the median over repeats of neighbours in
time; `first` is what preparing the weights and the first pass take longer: statistics of the
crossbars, the weights' side of the sums, and compilation where the cache has none.
"""

import argparse
import time
from functools import partial
from timeit import timeit

import numpy as np
from threadpoolctl import threadpool_limits

from xbarsim.base.workers import worker_threads
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device
from xbarsim.hardware.build import Design, HeldOut, build_chip
from xbarsim.hardware.steps import Tokens
from xbarsim.models import int8
from xbarsim.models.batches import pad
from xbarsim.models.bert import BertConfig, BertModel
from xbarsim.models.graph import Kind

seconds = partial(timeit, number=1)
IDEAL, FULL = dict.fromkeys(("wires", "programming", "read_noise"), False), {}
CASES = {
    "ideal": (IDEAL, {}),
    "telegraph (paper)": (IDEAL | {"read_noise": True}, {}),
    "full": (FULL, {}),
    "full, stuck cells": (FULL, {"stuck_closed_rate": 1e-4, "stuck_open_rate": 1e-4}),
    "full, 8x": (FULL | {"telegraph_multiplier": 8.0}, {}),
    "full, 18x": (FULL | {"telegraph_multiplier": 18.0}, {}),
    "full, 18x, magnitude": (FULL | {"telegraph_multiplier": 18.0}, {"sign": "magnitude"}),
    "4 rows": (IDEAL, {"rows_per_conversion": 4}),
    "6 rows": (IDEAL, {"rows_per_conversion": 6}),
    "8 rows": (IDEAL, {"rows_per_conversion": 8}),
    "full, 6 rows": (FULL, {"rows_per_conversion": 6}),
    "full, 8 rows": (FULL, {"rows_per_conversion": 8}),
}


def encoder(layers, rng, hidden=384, inner=1536, vocabulary=1000, positions=64):
    """A BertModel of random float32 weights, normalised such that every layer sees values of order
    1.
    """
    config = BertConfig(
        "bert",
        layers,
        hidden,
        hidden // 32,
        inner,
        vocabulary,
        positions,
        2,
        "gelu",
        1e-12,
        0,
        0,
        "mean",
        True,
        positions,
        (),
    )
    shapes = {
        "embeddings.word": (vocabulary, hidden),
        "embeddings.position": (positions, hidden),
        "embeddings.token_type": (2, hidden),
    }
    weights = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    model = BertModel(config, weights, head=None, sha256="", path=None)
    for step in model.graph.matrices:
        values = rng.standard_normal((step.outputs, step.inputs), dtype=np.float32)
        weights[f"{step.name}.weight"] = values / np.float32(step.inputs**0.5)
        weights[f"{step.name}.bias"] = np.zeros(step.outputs, np.float32)
    for step in model.graph.functions:
        if step.kind is Kind.NORM:
            weights[f"{step.name}.weight"] = np.ones(hidden, np.float32)
            weights[f"{step.name}.bias"] = np.zeros(hidden, np.float32)
    return model


def ranges_of(model, token_ids, mask):
    """Largest |input| of every matrix, and largest |a|, |b| of every product of two activations, in
    float32.
    """
    matrices, pairs = {}, {}

    def note(step, reference, *operands, rows):
        if step.kind is Kind.MATRIX:
            matrices[step.name] = float(np.abs(operands[0]).max())
        elif step.kind is Kind.PRODUCT:
            a, b = operands
            pairs[step.name] = float(np.abs(a).max()), float(np.abs(b).max())
        return reference(*operands)

    model.forward(token_ids, mask, note)
    return matrices, pairs


def counted(model, ranges, study, mask):
    """The hook of a chip whose every product is counted."""
    matrices, pairs = ranges
    functions = {step.name: (1.0, 1.0) for step in model.graph.functions}  # left in float
    design = Design.of(
        model, study, load_device(study.device.name), HeldOut({}, pairs | functions, matrices)
    )
    with worker_threads(1) as pool:
        chip = build_chip(design, 0, pool)

    def hook(step, reference, *operands, rows):
        if step.kind is Kind.MATRIX:
            x, _, bias = operands
            return chip.matrices[step.name].multiply(x, rows, 0).output + bias
        if step.kind is Kind.PRODUCT:
            return chip.products[step.name].multiply(*operands, Tokens(mask, 0))[0]
        return reference(*operands)

    return hook


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    model = encoder(options.layers, rng)
    token_ids, mask = pad(
        [rng.integers(1000, size=n) for n in rng.integers(8, 49, options.sentences)]
    )
    with threadpool_limits(1):
        ranges = ranges_of(model, token_ids, mask)
        digital = int8.int8_hook(model, ranges[0])
        print(f"{options.sentences} sentences, {mask.sum()} tokens, {options.layers} layers")
        print(f"{'case':<24}{'INT8':>9}{'counted':>11}{'ratio':>8}{'first':>9}")
        for name in options.case:
            effects, computation = CASES[name]
            study = validate(
                {
                    "products": {"weights": "computation", "attention": "computation"},
                    "effects": effects,
                    "computation": computation,
                },
                name,
            )
            start = time.perf_counter()
            hook = counted(model, ranges, study, mask)

            def in_int8():
                model.forward(token_ids, mask, digital)

            def crossbars(hook=hook):
                model.forward(token_ids, mask, hook)

            crossbars()
            first, _ = time.perf_counter() - start, seconds(in_int8)
            times = (
                np.array(
                    [
                        (seconds(in_int8) + seconds(in_int8), 2 * seconds(crossbars))
                        for _ in range(options.repeats)
                    ]
                )
                / 2
            )
            reference, own = np.median(times, axis=0)
            print(
                f"{name:<24}{reference * 1e3:>6.0f} ms{own * 1e3:>8.0f} ms{np.median(times[:, 1] / times[:, 0]):>8.2f}"
                f"{first - own:>7.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
