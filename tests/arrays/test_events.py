"""Counted events."""

import dataclasses

import pytest

from xbarsim.arrays.events import Events

ONE = Events(
    tile_reads=2, adc_conversions=3, dac_drives=5, shift_adds=7, comparisons=29, multiplications=31
)


def test_events_add_and_multiply_count_by_count():
    other = Events(tile_reads=11, adc_conversions=13, dac_drives=17, shift_adds=19, comparisons=1)
    assert ONE + other == Events(13, 16, 22, 26, 30, 31)
    assert ONE * 4 == ONE + ONE + ONE + ONE == Events(8, 12, 20, 28, 116, 124)
    assert ONE + Events() == ONE


def test_names_are_those_of_the_data_sets():
    assert ONE.by_name() == {
        "tile_reads": 2,
        "adc_conversions": 3,
        "dac_drives": 5,
        "shift_adds": 7,
        "comparisons": 29,
        "multiplications": 31,
    }


def test_events_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ONE.tile_reads = 0
