"""What two traces hold, compared to the bit."""

import h5py
import numpy as np


def numbers_of(path):
    """Every data set of a trace."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def assert_same_numbers(path, other):
    found, expected = numbers_of(path), numbers_of(other)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(found[name], values, equal_nan=values.dtype.kind == "f"), name
