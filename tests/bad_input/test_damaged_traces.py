"""Every attribute, group and data set of a trace: absent, of another type, of another shape, NaN."""

import json
import re
import shutil
import warnings

import h5py
import numpy as np
import pytest
from bad_input import traces

from xbarsim import read_trace, summarise
from xbarsim.base.errors import XbarsimError
from xbarsim.report.files import to_json
from xbarsim.report.text import render


def attribute_absent(file, place, name):
    del file[place].attrs[name]


def attribute_of(value):
    def change(file, place, name):
        file[place].attrs[name] = value

    return change


def item_absent(file, place, name):
    del file[place]


def group_for_data(file, place, name):
    del file[place]
    file.create_group(place)


def data_for_group(file, place, name):
    del file[place]
    file[place] = np.arange(3.0)


def linked_elsewhere(file, place, name):
    del file[place]
    file[place] = h5py.ExternalLink("other.h5", "/")


def data_of(make):
    def change(file, place, name):
        values = file[place][()]
        attributes = dict(file[place].attrs)
        del file[place]
        file[place] = make(values)
        for key, value in attributes.items():
            file[place].attrs[key] = value

    return change


ATTRIBUTES = {
    "absent": attribute_absent,
    "a number": attribute_of(7),
    "text": attribute_of("x\x1b[31m"),
    "NaN": attribute_of(np.nan),
    "an array": attribute_of(np.arange(3.0)),
    "negative": attribute_of(-5),
    "huge": attribute_of(2**63 - 1),
    "bytes that are no text": attribute_of(np.bytes_(b"\xff\xfe")),
}
DATA = {
    "absent": item_absent,
    "a group": group_for_data,
    "text": data_of(lambda values: np.full(max(len(values), 1), b"x")),
    "cut": data_of(lambda values: values[:-1]),
    "twice": data_of(lambda values: np.concatenate([values, values])),
    "one number": data_of(lambda values: np.float64(1)),
    "NaN": data_of(lambda values: np.full(values.shape, np.nan)),
    "negative": data_of(lambda values: np.full(values.shape, -7)),
    "huge": data_of(lambda values: np.full(values.shape, 2**62)),
    "another dimension": data_of(lambda values: values[..., None]),
    "complex": data_of(lambda values: np.full(values.shape, 1j)),
    "linked elsewhere": linked_elsewhere,
}
GROUPS = {"absent": item_absent, "data": data_for_group, "linked elsewhere": linked_elsewhere}


def kinds_of_items(path):
    """[(place, attribute or None, is a group)]: one of every kind of step and case."""
    found = {}

    def note(place, item):
        kind = re.sub(
            r"layer\.\d+\.\w+|embeddings\w*|pooler|cases/\w+|devices/.*|chips/.*", "_", place
        )
        for name in item.attrs:
            found.setdefault((kind, name), (place, name, None))
        found.setdefault((kind, None), (place, None, isinstance(item, h5py.Group)))

    with h5py.File(path) as file:
        note("/", file)
        file.visititems(note)
    return [item for item in found.values() if item[:2] != ("/", None)]


def damages(path):
    """[(place, attribute, what, change)]"""
    for place, name, is_group in kinds_of_items(path):
        changes = DATA
        if name is not None:
            changes = ATTRIBUTES
        elif is_group:
            changes = GROUPS
        for what, change in changes.items():
            yield place, name, what, change


def went_wrong(target, place, name, what, change):
    """What a damaged trace does that it should not; None of one that is refused or reported."""
    shutil.copy(traces.whole(), target)
    with h5py.File(target, "r+") as file:
        change(file, place, name)
    try:
        summary = summarise(read_trace(target))
        text = render(summary)
        figures = json.dumps(to_json(summary))
    except XbarsimError as error:
        return None if str(error).strip() else "an empty message"
    except Exception as error:  # what is looked for
        return f"{place} {name} {what}: {type(error).__name__}: {error}"
    if re.search(r"\bNaN\b", figures):
        return f"{place} {name} {what}: NaN in a figure"
    assert text
    return None


def all_that_goes_wrong(tmp_path, every):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = list(damages(traces.whole()))[::every]
        found = [went_wrong(tmp_path / "t.h5", *damage) for damage in chosen]
    return [line for line in found if line]


def test_a_damaged_trace_is_refused_or_says_what_is_lost(tmp_path):
    assert all_that_goes_wrong(tmp_path, every=151) == []


@pytest.mark.long
def test_every_damage_of_a_trace_is_refused_or_says_what_is_lost(tmp_path):
    assert all_that_goes_wrong(tmp_path, every=1) == []
