"""Attributes and members of a group of a trace, looked at before HDF5 reads them."""

from typing import Any

import h5py
import numpy as np

TEXT_AND_NUMBERS = "OSUbiuf"  # kinds of NumPy's data types
LARGEST_ATTRIBUTE = 1_000_000  # bytes; texts of any length lie elsewhere in the file


def text_of(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def attribute(item: h5py.Group, name: str) -> Any:
    """Value of an attribute.  A damaged file may state any type and size: they are looked at first."""
    stated = item.attrs.get_id(name)
    if stated.dtype.kind not in TEXT_AND_NUMBERS or stated.get_storage_size() > LARGEST_ATTRIBUTE:
        raise ValueError(f"attribute {name!r} of {item.name} is neither a text nor a number")
    return item.attrs[name]


def plain_attributes(group: h5py.Group) -> dict[str, Any]:
    """{name: value} of a group, numbers as those of Python."""
    found = {}
    for name in group.attrs:
        value = attribute(group, name)
        found[name] = value.item() if isinstance(value, np.generic) else value
    return found


def members(group: h5py.Group) -> list[Any]:
    """[group or data set] of a group; h5py's own `values` passes over what cannot be opened."""
    return [group[name] for name in group]
