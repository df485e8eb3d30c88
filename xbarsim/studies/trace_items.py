"""Groups, data sets and attributes of a trace, each looked at before its value is read: a damaged file
may state any type, size or place.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xbarsim.base.array_files import stored_values
from xbarsim.base.toml_files import parse
from xbarsim.studies.trace_layout import text_sha256

TEXT_AND_NUMBERS = "OSUbiuf"  # kinds of NumPy's data types
LARGEST_ATTRIBUTE = 1_000_000  # bytes; texts of any length lie elsewhere in the file


def member(group: h5py.Group, name: str) -> Any:
    """A group or data set that lies in this file: links elsewhere are not followed."""
    link = group.get(name, getlink=True)
    if link is None:
        raise ValueError(f"{group.name} has no {name}")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(
            f"{name} of {group.name} is a link to another place, which is not followed"
        )
    return group[name]


def group_in(group: h5py.Group, name: str) -> h5py.Group:
    """A group in another one."""
    found = member(group, name)
    if not isinstance(found, h5py.Group):
        raise ValueError(f"{name} of {group.name} is no group")
    return found


def values_in(group: h5py.Group, name: str) -> NDArray[Any]:
    """The numbers of a data set, one at least in every dimension that it has."""
    found = member(group, name)
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{name} of {group.name} is no data set")
    if not found.shape:
        raise ValueError(f"{name} of {group.name} is no array")
    return stored_values(found, group.file.id.get_filesize())


def whole_number(name: str, value: object) -> int:
    """A whole number, 0 or more."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
        raise ValueError(f"{name} is {value!r}; allowed: a whole number, 0 or more")
    return value


def as_text(value: bytes | str) -> str:
    """A text of an attribute."""
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
    return [group_in(group, name) for name in group]


def study_text(attributes: Mapping[str, Any]) -> str:
    """The TOML text of a study or case, which is whole."""
    text = as_text(attributes["study"])
    stated = attributes.get("study_sha256")  # None in version 2
    if stated is not None and text_sha256(text) != as_text(stated):
        raise ValueError("the text of the study does not have its sha256")
    if not isinstance(parse(text, "the study").get("name", ""), str):
        raise ValueError("the name of the study is no text")
    return text
