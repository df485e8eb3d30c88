"""Cells that are read back and written again, against the law of the device drawn in the test."""

import numpy as np
import pytest
from compensation_cases import ENCODINGS, WINDOW, programmed, relative_error, student
from scipy.integrate import quad
from scipy.stats import norm

from xbarsim.arrays.in_situ.error_left import share_left
from xbarsim.arrays.in_situ.kept_arrays import key_of
from xbarsim.arrays.in_situ.programmed import plan_matrix
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device

SIGMA = 2e-6
ERRING = (
    WINDOW + 'programming = { sigma = [{ polynomial_us = [2.0] }], scale_us = 1, source = "t" }\n'
)
PULSED = (
    ERRING.replace("[2.0]", "[0.1]")
    + 'write = { pulse_energy_pj = 3.0, pulse_time_ns = 40.0, source = "t" }\n'
)
NO_WIRES = {"wires": False, "programming": True}


def measured(tmp_path, weight, text=ERRING, rounds=2, effects=NO_WIRES, **mapping):
    mapping = {"compensation": "measured", "compensation_rounds": rounds, **mapping}
    return programmed(tmp_path, weight, text, mapping=mapping, effects=effects)


@pytest.mark.parametrize("writes", [1, 2, 5])
def test_share_left_of_a_normal_error(writes):
    """By integration: whoever has an error z keeps it or takes what is left of a new one."""
    share = 1.0
    for _ in range(writes):
        inside, _ = quad(lambda z: z**2 * norm.pdf(z), -(share**0.5), share**0.5)
        share = inside + share * 2 * norm.sf(share**0.5)
    assert share_left(writes) == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_error_of_pairs_is_that_of_one_cell_at_a_time(tmp_path, rounds):
    """Normal errors that are alike at all targets, weights away from both ends: the first error is
    that of two cells, every other one that of the cell that was written last.
    """
    rng = np.random.default_rng(1)
    sign = np.where(rng.random((64, 96)) < 0.5, 1.0, -1.0)
    weight = sign * rng.uniform(0.4, 0.6, (64, 96))
    weight[:, 0] = 1.0  # full scale
    matrix = measured(tmp_path, weight, rounds=rounds, gain="none")
    siemens = (matrix.achieved_weight - weight)[:, 1:] * 39e-6

    z = rng.standard_normal((rounds + 2, 400_000)) * SIGMA
    error = z[0] + z[1]
    shares = [1.0]
    for _ in range(rounds):
        shares.append(np.mean(np.minimum((z[0] / SIGMA) ** 2, shares[-1])))
    for number in range(rounds):
        again = error**2 > shares[rounds - 1 - number] * SIGMA**2
        error = np.where(again, z[2 + number], error)
    assert np.mean(siemens**2) == pytest.approx(np.mean(error**2), rel=0.05)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gains_through_wires(tmp_path, encoding):
    weight = student(21, 37)
    mapping = ENCODINGS[encoding]
    effects = {"programming": True}
    once = programmed(tmp_path, weight, ERRING, mapping=mapping, effects=effects)
    matrix = measured(tmp_path, weight, effects=effects, **mapping)
    before = relative_error(once.achieved_weight, once.intended_weight)
    after = relative_error(matrix.achieved_weight, matrix.intended_weight)
    assert after < 0.6 * before


def test_more_rounds_bring_weights_nearer(tmp_path):
    errors = []
    for rounds in (1, 2, 4, 8):
        matrix = measured(tmp_path, student(64, 64), rounds=rounds)
        errors.append(relative_error(matrix.achieved_weight, matrix.intended_weight))
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 0.4 * errors[0]


def test_the_other_cell_takes_up_one_that_is_stuck(tmp_path):
    """A pair whose positive cell is stuck at the high end holds all weights that are not negative,
    one whose negative cell is, those that are not positive.
    """
    stuck = WINDOW + 'stuck = { on_rate = 0.05, source = "t" }\n'
    weight = student(48, 64)
    effects = {"wires": False, "programming": True}
    plain = programmed(tmp_path, weight, stuck, mapping={"compensation": "none"}, effects=effects)
    matrix = measured(tmp_path, weight, stuck, gain="none")
    before = np.abs(plain.achieved_weight - weight)
    after = np.abs(matrix.achieved_weight - weight)
    hurt = before > 1e-3
    assert 0.05 < hurt.mean() < 0.15
    assert (after <= before + 1e-9).all()
    assert 0.4 < (after < 1e-3)[hurt].mean() < 0.6


def test_reads_that_err_limit_what_is_won(tmp_path):
    noisy = ERRING + 'read_noise = { relative_sigma = 0.3, source = "t" }\n'
    effects = NO_WIRES | {"read_noise": True}
    weight = student(64, 64)
    errors = []
    for reads in (1, 100, 100_000):
        matrix = measured(tmp_path, weight, noisy, effects=effects, compensation_reads=reads)
        errors.append(relative_error(matrix.achieved_weight, weight))
    once = programmed(tmp_path, weight, ERRING, mapping={"compensation": "none"}, effects=NO_WIRES)
    exact = measured(tmp_path, weight)
    assert errors[2] == pytest.approx(relative_error(exact.achieved_weight, weight), rel=0.05)
    assert errors[2] < errors[1] < errors[0]
    assert errors[0] < relative_error(once.achieved_weight, weight)


def test_what_is_written_again_is_counted(tmp_path):
    weight = student(16, 24)
    tiles = {"word_lines": 24, "bit_lines": 16, "clip": "maximum"}
    path = tmp_path / "device.toml"
    path.write_text(PULSED)
    cells = {}
    for compensation in ("none", "measured"):
        mapping = tiles | {"compensation": compensation}
        study = validate({"mapping": mapping, "effects": NO_WIRES}, "test")
        plan = plan_matrix(
            name="m",
            index=0,
            weight=weight,
            moment=np.ones(24),
            settings=InSituSettings.of(study),
            device=load_device(str(path)).in_study(study),
            seed=3,
        )
        cells[compensation] = plan.program(0)
    once, again = cells["none"], cells["measured"]
    changed = again.conductance != once.conductance
    rewritten = again.counts.rewritten
    assert 0 < np.count_nonzero(changed) <= rewritten <= 2 * weight.size
    np.testing.assert_array_equal(again.target[~changed], once.target[~changed])
    assert again.counts.pulses == once.counts.pulses + rewritten
    energy = again.counts.write_energy - once.counts.write_energy
    assert energy == pytest.approx(rewritten * 3e-12, rel=1e-9)


def test_drift_that_all_cells_share_is_no_error(tmp_path):
    """It is left to the digital gain: nothing is written again for it."""
    drifting = WINDOW + (
        "drift = { reference_s = 1.0, nu_mean = 0.05, nu_sigma = 0.0, "
        'valid_time_s = [1.0, 1e6], source = "t" }\n'
    )
    tables = {"mapping": {"compensation": "measured"}, "device": {"time_s": 1e5}}
    matrix = programmed(tmp_path, student(16, 24), drifting, effects=NO_WIRES, **tables)
    assert matrix.counts.rewritten == 0


def test_kept_arrays_know_what_decides_over_a_second_write(tmp_path):
    keys = set()
    for compensation, rounds, gain in (
        ("none", 2, "column"),
        ("measured", 2, "column"),
        ("measured", 3, "column"),
        ("measured", 3, "none"),
    ):
        mapping = {"compensation": compensation, "compensation_rounds": rounds, "gain": gain}
        study = validate({"mapping": mapping, "effects": NO_WIRES}, "test")
        plan = plan_matrix(
            name="m",
            index=0,
            weight=student(4, 6),
            moment=np.ones(6),
            settings=InSituSettings.of(study),
            device=load_device("rram-wan2022").in_study(study),
            seed=3,
        )
        keys.add(key_of(plan))
    assert len(keys) == 4


def test_writes_beyond_endurance_and_levels_are_refused(tmp_path):
    weight = student(16, 24)
    with pytest.raises(OutOfRangeError, match="number of the write is 3 writes"):
        measured(tmp_path, weight, ERRING + 'endurance = { cycles = 2, source = "t" }\n', rounds=5)
    levels = ERRING.replace("source", "levels_us = [1.0, 20.0, 40.0], source", 2)
    levels = levels.replace("0.2, levels_us = [1.0, 20.0, 40.0], source", "0.2, source")
    with pytest.raises(ConfigError, match='compensation = "measured" needs cells'):
        measured(tmp_path, weight, levels, effects=NO_WIRES | {"levels": True})


def test_ranges_of_another_time_are_refused():
    tables = {
        "device": {"name": "pcm", "time_s": 100.0},
        "mapping": {"compensation": "measured"},
        "correction": {"fitted_s": 20.0},
    }
    with pytest.raises(ConfigError, match='compensation = "measured" reads cells back'):
        validate(tables, "test")
