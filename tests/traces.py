"""Everything in a trace, bit by bit, by h5py alone."""

import h5py
import numpy as np


def contents_of(path):
    """({data set: values}, {(group, attribute): value}) of a trace, without when it was made."""
    values = {}
    attributes = {}

    def collect(name, item):
        for key, value in item.attrs.items():
            attributes[name, key] = value
        if isinstance(item, h5py.Dataset):
            values[name] = item[()]

    with h5py.File(path) as file:
        collect("/", file)
        file.visititems(collect)
    del attributes["/", "created"]
    return values, attributes


def assert_same_trace(path, other):
    """Whether two traces have the same data sets and attributes."""
    found, stated = contents_of(path)
    expected, expected_stated = contents_of(other)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        assert found[name].tobytes() == values.tobytes(), name
    assert stated.keys() == expected_stated.keys()
    for place, value in expected_stated.items():
        assert np.array_equal(stated[place], value), place
