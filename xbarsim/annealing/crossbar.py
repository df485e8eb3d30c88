"""The couplings of a problem on crossbar tiles."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from xbarsim.annealing.ising import IsingProblem
from xbarsim.arrays.analog_matrix import AnalogMatrix
from xbarsim.base.arguments import instance, mapping, seed_of
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError

SAMPLES = 256  # random states that set the ranges of the converters


class CouplingCrossbar:
    """Couplings on differential pairs of cells, signs on drivers of one bit.

    Parameters
    ----------
    problem : whose couplings are programmed
    tables : of a study (`device`, `mapping`, `wires`, `adc`, `effects`), as for `AnalogMatrix`;
        `dac` has one bit
    seed : of the chip: its cells, its read noise, and the states that set the ranges
    """

    def __init__(self, problem: IsingProblem, tables: Mapping[str, Any], seed: int) -> None:
        instance("problem", problem, IsingProblem, "an IsingProblem")
        mapping("tables", tables, 'tables of a study, such as {"mapping": {...}}')
        seed_of(seed)
        if "dac" in tables:
            raise ConfigError("dac has no effect on annealing: drivers have one bit, the sign")
        rng = np.random.default_rng(seed)
        states = rng.choice([-1.0, 1.0], (SAMPLES, problem.spins))
        study = {**tables, "dac": {"bits": 1}}
        self.matrix = AnalogMatrix(
            problem.couplings, study, samples=states, seed=seed, name="couplings"
        )

    def product(self, spins: Floats, step: int) -> Floats:
        """(k, n) J s of k trials as the tiles have it; every step has noise of its own."""
        product = self.matrix.multiply(spins, first_row=step * len(spins))
        return product.output.astype(np.float64)
