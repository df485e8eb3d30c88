"""Rows of a trace made of what steps on hardware gave: sums over the rows of every example."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.matrix import Product
from xbarsim.base.array_types import AnyArray, Integers
from xbarsim.hardware.steps import ProductCosts
from xbarsim.studies.error_statistics import ErrorStatistics
from xbarsim.studies.trace_layout import MatrixRows, ProductRows


def total(values: AnyArray, starts: Integers) -> NDArray[Any]:
    """Sums (n,) of values (t,) over the rows of each example, which begin at `starts` (n,)."""
    return np.add.reduceat(values, starts)


def count(values: AnyArray, starts: Integers) -> Integers:
    """Likewise of counts, some of them expected ones, in whole numbers."""
    found: Integers = np.rint(total(values, starts)).astype(np.int64)
    return found


def matrix_rows(
    local: ErrorStatistics,
    accumulated: ErrorStatistics,
    product: Product,
    events: Events,
    starts: Integers,
) -> MatrixRows:
    """Of a product with a matrix.

    events : of every row;  starts : (n,) first row of each example
    """
    rows = np.diff(np.append(starts, len(product.output)))
    return MatrixRows(
        local=local,
        accumulated=accumulated,
        dac_saturations=count(product.dac_saturations, starts),
        adc_saturations=count(product.adc_saturations, starts),
        tile_reads=events.tile_reads * rows,
        adc_conversions=events.adc_conversions * rows,
        dac_drives=events.dac_drives * rows,
        shift_adds=events.shift_adds * rows,
        comparisons=events.comparisons * rows,
        multiplications=events.multiplications * rows,
        array_energy=total(product.array_energy, starts),
    )


def product_rows(
    local: ErrorStatistics,
    accumulated: ErrorStatistics,
    costs: ProductCosts,
    starts: Integers,
) -> ProductRows:
    """Of a product of two activations; starts : (n,) first row of each example."""
    return ProductRows(
        local=local,
        accumulated=accumulated,
        dac_saturations=count(costs.dac_saturations, starts),
        adc_saturations=count(costs.adc_saturations, starts),
        tile_reads=count(costs.tile_reads, starts),
        adc_conversions=count(costs.adc_conversions, starts),
        dac_drives=count(costs.dac_drives, starts),
        shift_adds=count(costs.shift_adds, starts),
        comparisons=count(costs.comparisons, starts),
        multiplications=count(costs.multiplications, starts),
        array_energy=total(costs.array_energy, starts),
        cells_set=count(costs.cells_set, starts),
        write_energy=total(costs.write_energy, starts),
    )
