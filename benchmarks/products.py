"""Speed of matrix products on in-situ arrays against NumPy's GEMM, one thread.

    python benchmarks/products.py [--tokens 256] [--repeats 7]

The arrays have the shapes of all-MiniLM's matrices and random weights: 8-bit weights in 4 slices of
2 bits with an offset, 8 input bits one after the other, an 8-bit ADC on every conversion of 128
word lines.  A product of t tokens so has t x 8 x 4 x in x out multiply-adds.  `rate` is their
number over the time of `Array.multiply`; GEMM is NumPy's float32 product of two 1024 x 1024
matrices, timed before and after each product for about as long.  Medians; the ratio is the median
of the ratios of neighbours in time.  Compile time is the first call's excess over the median.
"""

import argparse
from functools import partial
from timeit import timeit

import numpy as np
from threadpoolctl import threadpool_limits

from xbarsim.arrays.in_situ.programmed import program_matrix
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.settings import InSituSettings
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device

SHAPES = {"query": (384, 384), "intermediate": (1536, 384), "output": (384, 1536)}
SIDE = 1024
seconds = partial(timeit, number=1)


def multibit(sign):
    """The study of a multi-bit in-situ chip; wires are left out, their solution costs nothing per
    token.
    """
    return validate(
        {
            "mapping": {"encoding": "slices", "sign": sign, "bits_per_cell": 2, "weight_bits": 8},
            "dac": {"encoding": "bit_serial", "bits": 8},
            "adc": {"bits": 8},
            "effects": {"wires": False, "programming": False, "read_noise": False},
        },
        "benchmark",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    rng, device = np.random.default_rng(0), load_device("isaac")
    a, b = rng.standard_normal((2, SIDE, SIDE), dtype=np.float32)
    rows = np.column_stack([np.zeros(options.tokens, np.int64), np.arange(options.tokens)])
    print(
        f"{'matrix':<14}{'weights':<8}{'multiply-adds':>14}{'time':>10}{'rate':>10}{'GEMM':>10}"
        f"{'rate / GEMM':>13}{'compile':>10}"
    )
    with threadpool_limits(1):
        for sign in ("offset", "pair"):
            for name, (out, width) in SHAPES.items():
                weight = rng.standard_normal((out, width)).astype(np.float32) / np.sqrt(
                    np.float32(width)
                )
                x = rng.standard_normal((options.tokens, width), dtype=np.float32)
                study = multibit(sign)
                programmed = program_matrix(
                    name=name,
                    index=0,
                    weight=weight,
                    moment=np.ones(width),
                    settings=InSituSettings.of(study),
                    device=device.in_study(study),
                    seed=study.seed,
                )
                array = with_ranges(programmed, x)
                first = seconds(lambda: array.multiply(x, rows, 0))  # noqa: B023
                work = (
                    options.tokens
                    * len(array.coder.phase_weight)
                    * array.programmed.value.size
                    * width
                )
                beside = max(1, round(work / SIDE**3 / 2))
                product, peak = [], []
                for _ in range(options.repeats):
                    before = seconds(lambda: [a @ b for _ in range(beside)])  # noqa: B023 - called at once
                    product.append(seconds(lambda: array.multiply(x, rows, 0)))  # noqa: B023
                    after = seconds(lambda: [a @ b for _ in range(beside)])  # noqa: B023
                    peak.append(2 * beside * SIDE**3 / (before + after))
                rate, middle = work / np.array(product), np.median(product)
                print(
                    f"{name:<14}{sign:<8}{work / 1e9:>12.2f} G{middle * 1e3:>7.0f} ms{np.median(rate) / 1e9:>8.1f}/ns"
                    f"{np.median(peak) / 1e9:>8.1f}/ns{np.median(rate / peak):>13.2f}{max(0, first - middle):>8.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
