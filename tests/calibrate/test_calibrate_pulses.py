"""Pulses, logs of write and verify, repeated writes: laws that the process of a device file runs as
they were measured."""

import functools
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from coverage_study import assert_agree, assert_covers, assert_pooled
from numpy.testing import assert_allclose

from xbarsim import calibrate
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.calibrate.write_verify import Write, tolerance_of
from xbarsim.devices.presets import load_device

DATA = Path(__file__).parents[3] / "shared" / "data" / "devices"
measured = pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured data in {DATA}")
LOGARITHMIC, SATURATION = "logarithmic", "exponential saturation"
BASE = {
    "description": "base",
    "read": {"voltage_v": 0.2, "source": "t"},
    "conductance": {
        "minimum_us": 5.0,
        "maximum_us": 100.0,
        "valid_range_us": [5.0, 100.0],
        "source": "t",
    },
    "write_verify": {
        "step_up_us": 1.0,
        "step_down_us": 1.0,
        "nonlinearity_up": 2.0,
        "tolerance_us": 1.0,
        "maximum_pulses": 5000,
        "source": "t",
    },
}


def saturating(pulses=64, constant=20.0):
    """(up, down) S between 5 and 100 µS, exponential in the pulses."""
    share = np.expm1(-np.arange(pulses) / constant) / np.expm1(-(pulses - 1) / constant)
    return 5e-6 + 95e-6 * share, 100e-6 - 95e-6 * share


def logarithmic(pulses=64, bend=3.0):
    """(up, down) S between 5 and 100 µS, the logarithm of a line in the pulses: not the recursion
    that is fitted."""
    share = np.log1p(np.expm1(bend) * np.arange(pulses) / (pulses - 1)) / bend
    return 5e-6 + 95e-6 * share, 100e-6 - 95e-6 * share


def process(fit, tmp_path, **changes):
    """Device whose [write_verify] is that of a fit over BASE."""
    base = tmp_path / "base.toml"
    base.write_text(tomli_w.dumps(BASE | {"write_verify": BASE["write_verify"] | changes}))
    return load_device(
        calibrate.write_device(
            fit, tmp_path / f"{len(list(tmp_path.iterdir()))}.toml", base, ["p.csv"]
        )
    )


def test_the_measured_law_inverted_without_tolerance(tmp_path):
    """Pulses from 5 µS to a target by the keys of the file alone: the geometric series of a step
    that falls along a line."""
    fit = calibrate.fit_pulses(*saturating())
    table = process(fit, tmp_path).file.write_verify
    assert_allclose(fit.step_up.value, 4.8406362e-6, rtol=1e-5)
    assert_allclose(fit.step_down.value, 4.8406362e-6, rtol=1e-5)
    reach = table.saturation_up_us - 5.0
    ratio = 1 - table.step_up_us / reach
    target = np.array([20, 40, 60, 80, 90, 95, 99])
    pulses = np.log1p(-(target - 5) / reach) / np.log(ratio)
    assert_allclose(pulses, [3.3, 8.7, 16.2, 28.2, 38.8, 47.5, 58.8], rtol=0, atol=0.05)


@pytest.mark.parametrize("law", ["saturating", "logarithmic"])
def test_the_process_runs_the_train_it_was_fitted_to(law, tmp_path):
    """Verify with a tiny tolerance is never satisfied, so N pulses are run: the conductance is that
    of the train."""
    up, down = {"saturating": saturating, "logarithmic": logarithmic}[law]()
    fit = calibrate.fit_pulses(up, down)
    assert fit.model == {"saturating": SATURATION, "logarithmic": LOGARITHMIC}[law]
    tolerance = {"saturating": 0.01e-6, "logarithmic": 0.6e-6}[
        law
    ]  # the second form is not the model's own
    for pulses in (1, 5, 20, 40, 60):
        limited = process(fit, tmp_path, tolerance_us=1e-6, maximum_pulses=pulses)
        risen = limited.program(np.full((1, 1), limited.conductance_max), 1).conductance
        assert_allclose(risen, up[pulses], rtol=0, atol=tolerance)
        falling = process(fit, tmp_path, tolerance_us=1e-6, maximum_pulses=pulses, start_us=100.0)
        fallen = falling.program(np.full((1, 1), falling.conductance_min), 1).conductance
        assert_allclose(fallen, down[pulses], rtol=0, atol=tolerance)


@pytest.mark.parametrize("target", [20, 40, 60, 80, 90, 95, 99])
def test_verify_stops_at_the_first_read_within_its_tolerance(target, tmp_path):
    up, _ = saturating()
    model = process(calibrate.fit_pulses(*saturating()), tmp_path)
    done = model.program(np.full((3, 4), target * 1e-6), 1)
    first = np.flatnonzero(abs(up * 1e6 - target) <= 1.0)
    if first.size and target >= 80:  # below, a step may leap over the window
        assert done.counts.pulses == 12 * first[0]
    assert done.counts.unverified == 0 or target < 80
    assert_allclose(
        done.conductance[abs(done.conductance - target * 1e-6) <= 1e-6],
        target * 1e-6,
        rtol=0,
        atol=1e-6,
    )


def test_trains_over_different_parts_of_the_window(tmp_path):
    """Up from 10 to 35 µS, down from 40 to 12 µS: the file's law is of the window 10 to 40 µS, not
    of either train."""
    up, down = [10.0], [40.0]
    for _ in range(99):
        up.append(up[-1] + 0.6 * np.exp(-(up[-1] - 10) / 15))
    for _ in range(70):
        down.append(down[-1] - 0.7 * np.exp(-(40 - down[-1]) / 20))
    table = process(
        calibrate.fit_pulses(np.array(up) * 1e-6, np.array(down) * 1e-6), tmp_path
    ).file.write_verify
    assert_allclose(
        [table.step_up_us, table.step_down_us, table.nonlinearity_up, table.nonlinearity_down],
        [0.6, 0.7, 30 / 15, 30 / 20],
        rtol=1e-3,
    )


def run(rng, law, first, bend, pulses, step_sigma, read_sigma, way=1, low=10e-6, high=40e-6):
    """(reads, states) of a train, pulse by pulse."""
    x = low if way > 0 else high
    states = [x]
    for _ in range(pulses - 1):
        passed = (x - low if way > 0 else high - x) / (high - low)
        fall = np.exp(-bend * passed) if law == LOGARITHMIC else 1 - passed * (1 - np.exp(-bend))
        x += way * first * fall * (1 + step_sigma * rng.standard_normal())
        states.append(x)
    return np.array(states) + read_sigma * rng.standard_normal(pulses), np.array(states)


LONG_TRAINS = (150, 110, 140), (150, 90, 130)
SHORT_TRAINS = (70, 60), (60, 70)


def repeated(law, step_sigma, read_sigma, lengths=LONG_TRAINS):
    """Trains up and down, of unequal lengths (up, down)."""

    def make(rng):
        ups = [run(rng, law, 0.8e-6, 2.0, n, step_sigma, read_sigma) for n in lengths[0]]
        downs = [run(rng, law, 1e-6, 3.0, n, step_sigma, read_sigma, way=-1) for n in lengths[1]]
        fit = calibrate.fit_pulses(
            [reads for reads, _ in ups], [reads for reads, _ in downs], law=law
        )
        top = np.mean([states[-1] for _, states in ups])
        bottom = np.mean([states[-1] for _, states in downs])
        truth = {"step_up": 0.8e-6, "step_down": 1e-6}
        if step_sigma:
            truth["step_relative_sigma"] = step_sigma
        if read_sigma:  # without, the ends are the reads themselves, and always right
            truth["read_sigma"] = read_sigma
            truth["conductance_minimum"] = min(10e-6, bottom)
            truth["conductance_maximum"] = max(40e-6, top)
        risen, fallen = (top - 10e-6) / 30e-6, (40e-6 - bottom) / 30e-6
        if law == SATURATION:
            truth["saturation_up"] = 10e-6 + 30e-6 / (1 - np.exp(-2))
            truth["saturation_down"] = 40e-6 - 30e-6 / (1 - np.exp(-3))
            truth["nonlinearity_up"] = -np.log(1 - risen * (1 - np.exp(-2)))
            truth["nonlinearity_down"] = -np.log(1 - fallen * (1 - np.exp(-3)))
        else:
            truth["nonlinearity_up"] = 2.0 * risen
            truth["nonlinearity_down"] = 3.0 * fallen
        return fit, truth

    return make


NOISES = {
    "logarithmic": (LOGARITHMIC, 0.5, 0.3e-6),
    "saturating": (SATURATION, 0.5, 0.3e-6),
    "reads only": (LOGARITHMIC, 0.0, 0.5e-6),
    "steps only": (SATURATION, 0.4, 0.0),
}
MANY_TRAINS = 400  # of 200, one right interval in 70 leaves the band by chance; here are 30
TRAINS = {name: repeated(*noise) for name, noise in NOISES.items()}


@pytest.mark.long
@pytest.mark.parametrize("name", TRAINS)
def test_intervals_of_pulses_hold_the_truth(name):
    assert_covers(TRAINS[name], MANY_TRAINS)


def test_intervals_of_few_short_trains_hold_the_truth():
    short = {name: repeated(*noise, lengths=SHORT_TRAINS) for name, noise in NOISES.items()}
    assert_pooled(short, 10, least=250)


def test_noise_of_a_device_from_a_file_is_that_of_the_trains(tmp_path):
    """Cycle to cycle: 20 repeated trains; after 40 pulses the process scatters as they do."""
    rng = np.random.default_rng(0)
    trains = [run(rng, LOGARITHMIC, 0.8e-6, 1.5, 60, 0.6, 0.1e-6) for _ in range(20)]
    down = run(rng, LOGARITHMIC, 0.8e-6, 1.5, 60, 0.6, 0.1e-6, way=-1)[0]
    fit = calibrate.fit_pulses([reads for reads, _ in trains], down, law=LOGARITHMIC)
    assert_allclose(fit.step_relative_sigma.value, 0.6, rtol=0.1)
    model = process(fit, tmp_path, tolerance_us=1e-6, maximum_pulses=40)
    cells = model.program(np.full((20, 20), model.conductance_max), 1).conductance.ravel()
    truth = [run(rng, LOGARITHMIC, 0.8e-6, 1.5, 41, 0.6, 0.0)[1][-1] for _ in range(400)]
    assert_allclose([cells.mean(), cells.std()], [np.mean(truth), np.std(truth)], rtol=0.15)
    assert_allclose(cells.mean(), np.mean(truth), rtol=0.02)


def test_trains_in_two_files_and_repeats_by_a_column(tmp_path):
    up, down = saturating()
    one, two, three = (tmp_path / name for name in ("up.csv", "down.csv", "both.csv"))
    one.write_text("up_uS\n" + "\n".join(f"{g * 1e6:.6f}" for g in up[:50]))
    two.write_text("down_uS\n" + "\n".join(f"{g * 1e6:.6f}" for g in down))
    apart = calibrate.calibrate_files("pulses", [one, two])
    assert_allclose([apart.step_up.value, apart.step_down.value], 4.8406362e-6, rtol=1e-4)
    rows = [
        f"{cycle},{a * 1e6:.6f},{b * 1e6:.6f}"
        for cycle in (1, 2)
        for a, b in zip(up, down, strict=True)
    ]
    three.write_text("cycle,up (uS),down (uS)\n" + "\n".join(rows))
    cycles = calibrate.calibrate_files("pulses", [three])
    assert_allclose([cycles.step_up.value, cycles.step_down.value], 4.8406362e-6, rtol=1e-4)
    assert cycles.points == 4 * 64
    one_way = calibrate.calibrate_files("pulses", [one])
    with pytest.raises(ConfigError, match="no pulses down"):
        base = tmp_path / "base.toml"
        base.write_text(
            tomli_w.dumps(
                BASE
                | {
                    "write_verify": {
                        "tolerance_us": 1.0,
                        "maximum_pulses": 9,
                        "source": "t",
                        "step_up_us": 1.0,
                    }
                }
            )
        )
        calibrate.device_toml(one_way, base, "x")
    (tmp_path / "none.csv").write_text("g_uS\n1\n2\n")
    with pytest.raises(OutOfRangeError, match="no column of pulses"):
        calibrate.calibrate_files("pulses", [tmp_path / "none.csv"])


def test_unequal_columns_end_in_blanks():
    up, down = saturating()
    padded = np.concatenate((up[:40], np.full(24, np.nan)))
    assert_allclose(calibrate.fit_pulses(padded, down).step_up.value, 4.8406362e-6, rtol=1e-4)


def test_pulses_that_do_not_saturate(tmp_path):
    rng = np.random.default_rng(5)
    up = 10e-6 + 30e-6 * np.linspace(0, 1, 150) + rng.normal(0, 0.5e-6, 150)
    down = run(rng, LOGARITHMIC, 1e-6, 3.0, 150, 0.0, 0.5e-6, way=-1)[0]
    fit = calibrate.fit_pulses(up, down, law=LOGARITHMIC)
    assert (
        not fit.nonlinearity_up.identified
        and "straight line is within" in fit.nonlinearity_up.reason
    )
    assert fit.nonlinearity_down.identified
    table = process(fit, tmp_path).file.write_verify
    assert (
        table.nonlinearity_up == 0 and table.saturation_up_us is None
    )  # the base's 2.0 does not stay
    assert_allclose(table.step_up_us, 30 / 149, rtol=0.03)
    with pytest.raises(OutOfRangeError, match="'up' goes down.*exchanged"):
        calibrate.fit_pulses(down, up)


@measured
def test_pulses_of_gong():
    """Measured, in arbitrary units: nearly straight upwards, falling steps downwards, most scatter
    from the reads."""
    fit = calibrate.calibrate_files(
        "pulses", [DATA / "gong_pulse" / "gong_et_al.csv"], {"up": "1", "down": "2"}
    )
    assert not fit.device and "arbitrary units" in fit.notes[0]
    assert not fit.nonlinearity_up.identified or abs(fit.nonlinearity_up.value) < 1
    assert fit.nonlinearity_down.identified and fit.nonlinearity_down.low > 0
    assert 0.1 < fit.read_sigma.value < 0.2
    assert fit.goodness["r_squared_up"] > 0.85 and fit.goodness["r_squared_down"] > 0.7


# ---------------------------------------------------------------- write and verify

VERIFY = {
    "step_up_us": 2.0,
    "step_down_us": 1.5,
    "nonlinearity_up": 1.5,
    "nonlinearity_down": 1.0,
    "step_relative_sigma": 0.3,
    "read_sigma_us": 0.2,
    "tolerance_us": 0.8,
    "maximum_pulses": 200,
    "source": "t",
}


def log(rng, writes=120, tolerance=0.8e-6, most=200, falling=False, from_above=False):
    """(target, read, write, pulse) rows of the process of VERIFY, run here.

    falling : steps fall along lines;  from_above : every second write starts at 39 µS
    """
    rows = []
    for write in range(writes):
        target = rng.uniform(5e-6, 38e-6)
        x = 39e-6 if from_above and write % 2 else 1e-6
        for pulse in range(most + 1):
            read = x + rng.normal(0, 0.2e-6)
            rows.append((target, read, write, pulse))
            if abs(read - target) <= tolerance:
                break
            passed = (x - 1e-6) / 39e-6
            up, down = 2e-6 * np.exp(-1.5 * passed), 1.5e-6 * np.exp(-(1 - passed))
            if falling:
                up, down = 2e-6 * (1 - 0.8 * passed), 1.5e-6 * (1 - 0.6 * (1 - passed))
            x += (up if read < target else -down) * (1 + 0.3 * rng.normal())
    return [np.array(column) for column in zip(*rows, strict=True)]


def counts(pulse, write):
    return np.array([pulse[write == one].max() for one in np.unique(write)])


def test_a_log_gives_the_process_back(tmp_path):
    """The device from the file takes as many pulses, and ends as near, as the log that it was
    fitted to."""
    target, read, write, pulse = log(np.random.default_rng(1), 300)
    fit = calibrate.fit_write_verify(target, read, write, pulse)
    table = fit.device["write_verify"]
    assert_allclose(table["tolerance_us"], 0.8, rtol=0.03)
    assert_allclose(table["step_relative_sigma"], 0.3, rtol=0.1)
    assert_allclose(table["read_sigma_us"], 0.2, rtol=0.1)
    assert_allclose(table["start_us"], 1.0, atol=0.05, rtol=0)
    measured = counts(pulse, write)
    assert_allclose(fit.pulses.value, measured.mean(), rtol=1e-9)
    model = load_device(calibrate.write_device(fit, tmp_path / "x.toml", "ideal", ["log.csv"]))
    last = np.array([np.flatnonzero(write == one)[-1] for one in np.unique(write)])
    wanted = target[last]
    simulated = []
    for one in wanted:
        simulated.append(model.program(np.full((1, 1), one), len(simulated)).counts.pulses)
    assert_agree(measured, np.array(simulated))


def test_tolerance_lies_between_accepted_and_rejected_reads():
    writes = [
        Write(20e-6, np.array([1.0, 10, 18.9, 19.6]) * 1e-6),
        Write(30e-6, np.array([1.0, 31.2, 30.7]) * 1e-6),
    ]
    parameter, failed = tolerance_of(writes)
    assert failed == 0
    assert_allclose(
        [parameter.low, parameter.value, parameter.high], [0.72e-6, 0.9e-6, 1.08e-6], rtol=1e-9
    )
    mixed = [*writes, Write(30e-6, np.array([1.0, 30.2, 20.0, 29.9]) * 1e-6)]
    assert "not the same for all writes" in tolerance_of(mixed)[0].reason


def test_failed_writes_are_counted():
    target, read, write, pulse = log(np.random.default_rng(2), 80, most=15)
    fit = calibrate.fit_write_verify(target, read, write, pulse, law=LOGARITHMIC)
    last = np.array([np.flatnonzero(write == one)[-1] for one in np.unique(write)])
    failed = np.count_nonzero(abs(read - target)[last] > 0.8e-6)
    assert failed > 5
    assert_allclose(fit.unverified_rate.value, failed / 80)
    assert fit.maximum_pulses.value == 15 == fit.device["write_verify"]["maximum_pulses"]


def test_few_pulses_down_leave_their_step_at_the_end_open():
    """Seven pulses down near 13 µS say nothing of the step at 38 µS; the file has their mean."""
    fit = calibrate.fit_write_verify(*log(np.random.default_rng(1000), 100), law=LOGARITHMIC)
    assert not fit.step_down.identified and "only 7 pulses" in fit.step_down.reason
    assert 0.4 < fit.device["write_verify"]["step_down_us"] < 1.2


def test_logs_that_cannot_be_used(tmp_path):
    target, read, write, pulse = log(np.random.default_rng(2), 20)
    with pytest.raises(OutOfRangeError, match="a read after every pulse"):
        keep = pulse != 3
        calibrate.fit_write_verify(target[keep], read[keep], write[keep], pulse[keep])
    with pytest.raises(OutOfRangeError, match="begins with pulse 1"):
        keep = pulse != 0
        calibrate.fit_write_verify(target[keep], read[keep], write[keep], pulse[keep])
    with pytest.raises(OutOfRangeError, match="needs 5 writes"):
        calibrate.fit_write_verify(target[:9], read[:9], write[:9], pulse[:9])
    with pytest.raises(OutOfRangeError, match="law is 'cubic'"):
        calibrate.fit_write_verify(target, read, write, pulse, law="cubic")
    path = tmp_path / "log.csv"
    np.savetxt(
        path,
        np.stack((target * 1e6, read * 1e6, write, pulse), axis=1),
        delimiter=",",
        header="target (uS),read (uS),cell,pulse",
        comments="",
    )
    of_file = calibrate.calibrate_files("write-verify", [path])
    direct = calibrate.fit_write_verify(target, read, write, pulse)
    assert_allclose(of_file.tolerance.value, direct.tolerance.value, rtol=1e-6)


LOGS = {  # name: (falling, most pulses of a write, whether every second starts above)
    "logarithmic": (False, 200, False),
    "falling": (True, 200, False),
    "few pulses": (False, 15, False),
    "both ways": (False, 200, True),
    "both ways, falling": (True, 200, True),
}


@functools.cache
def many_writes(falling, most, from_above):
    """(mean pulses, share not verified) of very many writes."""
    target, read, write, pulse = log(
        np.random.default_rng(99), 20000, most=most, falling=falling, from_above=from_above
    )
    last = np.append(np.diff(write) != 0, True)
    return pulse[last].mean(), np.mean(abs(read - target)[last] > 0.8e-6)


def logged(falling, most, from_above):
    law = SATURATION if falling else LOGARITHMIC

    def make(rng):
        rows = log(rng, 100, most=most, falling=falling, from_above=from_above)
        fit = calibrate.fit_write_verify(*rows, law=law)
        low, high = (fit.device["conductance"][key] * 1e-6 for key in ("minimum_us", "maximum_us"))
        passed = np.array([low - 1e-6, 40e-6 - high]) / 39e-6
        steps = np.array([2e-6, 1.5e-6])
        steps *= (
            1 - np.array([0.8, 0.6]) * passed if falling else np.exp(-np.array([1.5, 1.0]) * passed)
        )
        pulses, unverified = many_writes(falling, most, from_above)
        truth = {
            "pulses": pulses,
            "step_up": steps[0],
            "step_relative_sigma": 0.3,
            "read_sigma": 0.2e-6,
        }
        if from_above:
            truth["step_down"] = steps[1]
        else:  # few pulses down leave their steps open
            truth["start"] = 1e-6
        if unverified > 0:
            truth["unverified_rate"] = unverified
        else:
            truth["tolerance"] = 0.8e-6
        return fit, truth

    return make


@pytest.mark.long
@pytest.mark.parametrize("name", LOGS)
def test_intervals_of_a_log_hold_the_truth(name):
    assert_covers(logged(*LOGS[name]))


def test_interval_of_the_mean_number_of_pulses():
    """Against the mean of very many writes."""
    counted = counts(*log(np.random.default_rng(99), 3000)[:1:-1])
    fit = calibrate.fit_write_verify(*log(np.random.default_rng(0), 200), law=LOGARITHMIC)
    assert fit.pulses.low < counted.mean() < fit.pulses.high
