"""Which effects a study switches on, what of a device file is left of them, and sums of counts."""

import pytest

from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Effects
from xbarsim.devices.conditions import Effect, effects_on
from xbarsim.devices.presets import load_device
from xbarsim.devices.programmed import Counts

OF_WRITES = {
    "programming",
    "levels",
    "spread",
    "relaxation",
    "drift",
    "read_disturb",
    "temperature",
    "stuck",
}
OF_READS = {"read_noise", "flicker", "telegraph"}


def test_effects_follow_the_write_or_the_read():
    assert effects_on(Effects()) == OF_WRITES | OF_READS
    assert effects_on(Effects(programming=False)) == OF_READS
    assert effects_on(Effects(read_noise=False)) == OF_WRITES


@pytest.mark.parametrize("effect", sorted((OF_WRITES | OF_READS) - {"programming", "read_noise"}))
def test_a_switch_of_its_own_decides(effect):
    everything = OF_WRITES | OF_READS
    assert effects_on(Effects(**{effect: False})) == everything - {effect}
    nothing = {"programming": False, "read_noise": False}
    assert effects_on(Effects(**nothing, **{effect: True})) == {effect}


def test_tables_of_effects_that_are_off_are_left_out():
    device = load_device("pcm")
    assert device.active == device.file
    without = device.without("drift")
    assert without.active.drift is None
    assert without.active.model_copy(update={"drift": device.file.drift}) == device.file
    with pytest.raises(ConfigError, match="'rust' is not an effect"):
        device.without("rust")


def test_every_effect_is_a_switch_of_a_study():
    assert set(Effect) == OF_WRITES | OF_READS
    assert set(Effect) <= set(Effects.model_fields)


def test_counts_add_up():
    one = Counts(
        stuck_on=1, stuck_off=2, bounded=3, rounded=4, unverified=5, pulses=6, write_energy=0.5
    )
    two = Counts(stuck_on=10, stuck_off=20, bounded=30, rounded=40, unverified=50, pulses=60)
    sums = {
        "stuck_on": 11,
        "stuck_off": 22,
        "bounded": 33,
        "rounded": 44,
        "unverified": 55,
        "pulses": 66,
    }
    assert one + two == Counts(**sums, write_energy=0.5)
    assert two + one == one + two
    assert (one + one).write_energy == 1.0
    assert (two + two).write_energy is None
