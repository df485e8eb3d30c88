"""What drift leaves of a product, with ranges fitted once and scales that follow it.

One matrix of Student weights on phase-change memory, without wires: relative rms error of its
products with normal inputs, mean and standard deviation over chips.

    python benchmarks/drift.py
"""

import numpy as np

from xbarsim import AnalogMatrix

SIZE = 384
CHIPS = 5
FIT = 20.0  # s
TIMES = {"1 hour": 3600.0, "1 day": 86400.0, "30 days": 2592000.0, "1 year": 31536000.0}
ONCE = {"fitted_s": FIT}
GLOBAL = ONCE | {"rescaling": "global"}
COLUMN = ONCE | {"rescaling": "column"}
REMEDIES = {
    "fitted once": ONCE,
    "reference column": GLOBAL | {"reference": "column"},
    "global": GLOBAL,
    "column": COLUMN,
    "column, 16 reads": COLUMN | {"reads": 16},
    "fitted again": None,
}


def error(weight, inputs, time, correction, seed):
    """Relative rms error of the products of the second half of the inputs."""
    study = {"device": {"name": "pcm", "time_s": time}, "effects": {"wires": False}}
    if correction is not None:
        study["correction"] = correction
    half = len(inputs) // 2
    matrix = AnalogMatrix(weight, study, samples=inputs[:half], seed=seed)
    right = inputs[half:] @ weight.T
    wrong = matrix.multiply(inputs[half:]).output - right
    return np.sqrt((wrong**2).mean() / (right**2).mean())


def over_chips(weight, inputs, time, correction):
    errors = [error(weight, inputs, time, correction, seed) for seed in range(CHIPS)]
    return f"{np.mean(errors):.3f} ± {np.std(errors, ddof=1):.3f}"


def main():
    rng = np.random.default_rng(0)
    weight = rng.standard_t(5, (SIZE, SIZE))
    inputs = rng.standard_normal((400, SIZE))
    print(f"used at {FIT:g} s: {over_chips(weight, inputs, FIT, None)}")
    print(f"{'used after':<12}" + "".join(f"{name:>18}" for name in REMEDIES))
    for name, time in TIMES.items():
        cells = [over_chips(weight, inputs, time, each) for each in REMEDIES.values()]
        print(f"{name:<12}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
