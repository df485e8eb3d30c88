"""Error statistics of outputs, per example."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbarsim.base.array_types import AnyArray, Booleans, Integers
from xbarsim.base.errors import OutOfRangeError
from xbarsim.kernels.studies.errors import error_sums
from xbarsim.studies.error_statistics import ErrorStatistics


def error_statistics(
    output: NDArray[Any], reference: NDArray[Any], starts: Integers
) -> ErrorStatistics:
    """Errors of rows (t, out) in the groups that begin at `starts`.

    starts : (examples,) first row of each example; rows of one example are consecutive
    """
    sums = error_sums(np.ascontiguousarray(output), np.ascontiguousarray(reference))
    error, signal, own, cross = np.add.reduceat(sums[:4], starts, axis=1)
    values = np.add.reduceat(np.full(len(output), output.shape[1], np.float64), starts)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(error == 0, 0.0, np.sqrt(error / signal))
        both_zero = (own == 0) & (signal == 0)
        cosine = np.where(own * signal > 0, cross / np.sqrt(own * signal), both_zero)
        return ErrorStatistics(
            relative_rms=relative,
            snr_db=-20 * np.log10(relative),
            cosine=cosine,
            maximum=np.maximum.reduceat(sums[4], starts),
            signal_rms=np.sqrt(signal / values),
            error_rms=np.sqrt(error / values),
        )


def token_rows(x: AnyArray, mask: Booleans) -> AnyArray:
    """An operation's (t, n) results of the real tokens: x (t, ...), or (b, heads, s, ...) with mask
    (b, s).
    """
    if x.ndim < 3:
        return x
    tokens: AnyArray = x.swapaxes(1, 2)[mask]
    return tokens.reshape(np.count_nonzero(mask), -1)


def check_output(name: str, output: AnyArray) -> None:
    """Raise OutOfRangeError where a result (t, out) of a hardware step is not finite."""
    if not np.isfinite(output).all():
        wrong = np.count_nonzero(~np.isfinite(output).all(axis=-1))
        raise OutOfRangeError(
            f"{name}: the result of the hardware is not finite for {wrong} of {len(output)} "
            "tokens; look at its wires ([wires]), its converters ([dac], [adc]), its device and "
            "its [functions] in the study"
        )
