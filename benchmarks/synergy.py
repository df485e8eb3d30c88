"""Time of an encoder on computation crossbars in the statistical mode over that of the INT8 digital
reference, one thread.

    python benchmarks/synergy.py [--sentences 16] [--repeats 5] [--case NAME ...] [--layers 6]

A BERT of all-MiniLM's shapes (hidden width 384, 12 heads, 1536 inside) with random weights; one
batch of sentences of 8 to 48 tokens.  Both paths are `bert.encode` alone: neither the float32 path
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

from xbarsim.config.study import validate
from xbarsim.hardware import products
from xbarsim.models import bert
from xbarsim.models import int8 as quantize
from xbarsim.models.checkpoint import BertConfig, BertModel

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
    widths = {"intermediate": (inner, hidden), "output": (hidden, inner)}
    for name in bert.matrix_names(config):
        out, width = widths.get(name.split(".")[-1], (hidden, hidden))
        weights[f"{name}.weight"] = rng.standard_normal(
            (out, width), dtype=np.float32
        ) / np.float32(width**0.5)
        weights[f"{name}.bias"] = np.zeros(out, np.float32)
    norms = [
        f"layer.{i}.{name}" for i in range(layers) for name in ("attention_norm", "output_norm")
    ]
    for name in ("embeddings.norm", *norms):
        weights[f"{name}.weight"], weights[f"{name}.bias"] = (
            np.ones(hidden, np.float32),
            np.zeros(hidden, np.float32),
        )
    return BertModel(config, weights, None, "", None)


def ranges_of(model, token_ids, mask):
    """Largest |input| of every matrix, and largest |a|, |b| of every product of two activations, in
    float32.
    """
    matrices, pairs = {}, {}

    def linear(name, x, *arguments):
        matrices[name] = float(np.abs(x).max())
        return bert.linear(name, x, *arguments)

    def product(name, a, b):
        pairs[name] = float(np.abs(a).max()), float(np.abs(b).max())
        return bert.product(name, a, b)

    bert.encode(model, token_ids, mask, linear, bert.Operations(product=product))
    return matrices, pairs


def counted(model, ranges, study, mask):
    """(linear, Operations) of a chip whose every product is counted."""
    pool, (matrices, pairs) = products.Pool(0), ranges
    arrays = {
        name: products.CountedMatrix.prepare(
            name, index, model.matrix(name)[0], matrices[name], study, pool
        )
        for index, name in enumerate(bert.matrix_names(model.config))
    }
    attention = products.attention_products(study, model, pairs, 0, pool, None)

    def linear(name, x, weight, bias, rows):
        return arrays[name].multiply(x, rows, 0).output + bias

    return linear, bert.Operations(
        product=lambda name, a, b: attention[name].multiply(a, b, mask, 0)[0]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    model = encoder(options.layers, rng)
    token_ids, mask = bert.pad(
        [rng.integers(1000, size=n) for n in rng.integers(8, 49, options.sentences)]
    )
    with threadpool_limits(1):
        ranges = ranges_of(model, token_ids, mask)
        digital = quantize.int8_linear(model, ranges[0])
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
            linear, operations = counted(model, ranges, study, mask)

            def int8():
                bert.encode(model, token_ids, mask, digital)

            def crossbars(linear=linear, operations=operations):
                bert.encode(model, token_ids, mask, linear, operations)

            crossbars()
            first, _ = time.perf_counter() - start, seconds(int8)
            times = (
                np.array(
                    [
                        (seconds(int8) + seconds(int8), 2 * seconds(crossbars))
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
