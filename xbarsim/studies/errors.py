"""Error statistics per example."""

import numpy as np

from xbarsim.base.errors import OutOfRangeError


def error_statistics(output, reference, starts):
    """Errors of rows (t, out) in the groups that begin at `starts`.

    starts : (examples,) first row of each example; rows of one example are consecutive

    Returns
    -------
    {relative_rms, snr_db, cosine, maximum, signal_rms, error_rms: (examples,)} ; without any error
    the relative one is 0 and the SNR infinite, also where the reference is 0; an error over a
    reference of 0 is infinite.  The cosine with a vector of 0 is 0, and 1 where both are 0.
    """
    difference = (output - reference).astype(np.float64)
    reference, output = reference.astype(np.float64), output.astype(np.float64)

    def total(rows):
        return np.add.reduceat(rows, starts)

    error, signal = total((difference**2).sum(axis=1)), total((reference**2).sum(axis=1))
    own, cross = total((output**2).sum(axis=1)), total((output * reference).sum(axis=1))
    values = total(np.full(len(output), output.shape[1], np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(error == 0, 0.0, np.sqrt(error / signal))
        both_zero = (own == 0) & (signal == 0)
        cosine = np.where(own * signal > 0, cross / np.sqrt(own * signal), both_zero)
        return {
            "relative_rms": relative,
            "snr_db": -20 * np.log10(relative),
            "cosine": cosine,
            "maximum": np.maximum.reduceat(np.abs(difference).max(axis=1), starts),
            "signal_rms": np.sqrt(signal / values),
            "error_rms": np.sqrt(error / values),
        }


def token_rows(x, mask):
    """An operation's (t, n) results of the real tokens: x (t, ...), or (b, heads, s, ...) with mask
    (b, s).
    """
    return x if x.ndim < 3 else x.swapaxes(1, 2)[mask].reshape(np.count_nonzero(mask), -1)


def check_output(name, output):
    """Raise OutOfRangeError where a result (t, out) of a hardware step is not finite."""
    if not np.isfinite(output).all():
        wrong = np.count_nonzero(~np.isfinite(output).all(axis=-1))
        raise OutOfRangeError(
            f"{name}: the result of the hardware is not finite for {wrong} of {len(output)} "
            "tokens; look at its wires ([wires]), its converters ([dac], [adc]), its device and "
            "its [functions] in the study"
        )
