"""Which codes the converters of a matrix give, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Integers, Singles
from xbarsim.kernels.arrays.converters import count_codes

MOST_BINS = 256  # of a histogram; of converters with more codes several share a bin
LANES = 4  # histograms that a thread fills in turn, see `count_codes`


@dataclass(frozen=True)
class CodeBins:
    """Bins of a histogram of codes: bin i holds `codes_per_bin` codes from lowest + i
    codes_per_bin on, up to the highest.
    """

    lowest: int
    highest: int

    @property
    def codes(self) -> int:
        return self.highest - self.lowest + 1

    @property
    def codes_per_bin(self) -> int:
        return -(-self.codes // MOST_BINS)

    @property
    def bins(self) -> int:
        return -(-self.codes // self.codes_per_bin)


@dataclass(frozen=True)
class CodeCounts:
    """Conversions by their codes.

    codes : (bins,) of `CodeBins`, those within the range
    beyond : (2,), held at the lowest and at the highest code
    """

    codes: Integers
    beyond: Integers


class CodeCounter:
    """Counts the codes of one product; none where there are no codes."""

    def __init__(self, bins: CodeBins | None) -> None:
        self.bins = bins
        codes = 0 if bins is None else bins.codes
        self._counts = np.zeros((LANES, codes + 2), np.int64)

    def add(self, codes: Singles) -> None:
        """Count codes (b, p, k) of `convert_accumulate`."""
        if self.bins is None:
            return
        count_codes(codes, np.float32(self.bins.lowest), self._counts)

    def counts(self) -> CodeCounts | None:
        """What was counted."""
        if self.bins is None:
            return None
        total = self._counts.sum(axis=0)
        starts = np.arange(0, self.bins.codes, self.bins.codes_per_bin)
        return CodeCounts(np.add.reduceat(total[1:-1], starts), total[[0, -1]])
