"""Devices: distributions and moments of every effect alone, and bounds.

Kolmogorov-Smirnov tests of fixed seeds: a correct model fails one with probability LEVEL, and the
seeds do not change.
"""

import numpy as np
import pytest
from device_cases import DRIFT, LEVEL, RELAXATION, SIGMA, TARGET, VERIFY, device, write
from scipy import stats

from xbarsim.base.errors import OutOfRangeError, ValidRangeWarning
from xbarsim.devices.conditions import BOLTZMANN_EV


def assert_distribution(sample, cdf):
    assert stats.kstest(np.ravel(sample), cdf).pvalue > LEVEL


def assert_normal(sample, mean, sigma):
    assert_distribution(sample, stats.norm(mean, sigma).cdf)


WRITES = [
    (SIGMA, stats.norm(scale=2e-6), 2e-6),
    (
        {"scale_us": 40.0, "sigma": [{"polynomial_us": [1.0, 3.0, -2.0]}]},
        stats.norm(scale=2e-6),
        2e-6,
    ),
    (SIGMA | {"bias_us": -1.5}, stats.norm(-1.5e-6, 2e-6), 2e-6),
    (
        SIGMA | {"model": "student", "degrees_of_freedom": 4.0},
        stats.t(4, scale=2e-6 / np.sqrt(2)),
        2e-6,
    ),
    ({"model": "bounded", "half_width_us": 5.0}, stats.uniform(-5e-6, 10e-6), 5e-6 / np.sqrt(3)),
]


@pytest.mark.parametrize(
    ("table", "error", "sigma"), WRITES, ids=["table", "polynomial", "bias", "student", "bounded"]
)
def test_error_of_a_write_is_distributed_as_stated(table, error, sigma):
    model = device(programming=table)
    assert_distribution(write(model) - TARGET, error.cdf)
    np.testing.assert_allclose(model.programming_sigma(TARGET), sigma, rtol=1e-12)
    np.testing.assert_array_equal(write(model.without("programming")), TARGET)


@pytest.mark.parametrize(
    ("bias", "mean"),
    [
        (
            {"law": "polynomial", "scale_us": 40.0, "coefficients": [1.0, -8.0]},
            lambda g: 1 - 0.2 * g,
        ),
        (
            {"law": "table", "conductance_us": [0.0, 20.0, 40.0], "values": [0.0, -4.0, 2.0]},
            lambda g: np.interp(g, [0, 20, 40], [0, -4, 2]),
        ),
        (-1.5, lambda g: np.full(np.shape(g), -1.5)),
    ],
)
def test_a_mean_error_that_depends_on_the_target(bias, mean):
    """Of the write, and of all that follows it: spread and drift act on what the write reaches."""
    model = device(programming=SIGMA | {"bias_us": bias})
    target = np.repeat([10.0, 20.0, 35.0], 4000).reshape(1, 120, 100) * 1e-6
    found = (write(model, target) - target).reshape(3, -1) * 1e6
    expected = mean(np.array([10.0, 20.0, 35.0]))
    np.testing.assert_allclose(found.mean(axis=1), expected, rtol=0, atol=0.12)
    stated = model.programming_bias(target[0, ::40, 0])
    np.testing.assert_allclose(stated * 1e6, expected, rtol=1e-12)
    np.testing.assert_array_equal(model.without("programming").programming_bias(target), 0)
    biased = SIGMA | {"bias_us": bias}
    spread = device(programming=biased, spread={"cycle_to_cycle_relative_sigma": 0.2})
    sigma = (write(spread, target) * 1e6).reshape(3, -1).std(axis=1)
    np.testing.assert_allclose(spread.programming_sigma(target[0, ::40, 0]) * 1e6, sigma, rtol=0.04)
    relaxed = device(programming=biased, relaxation=RELAXATION).at(time=100.0)
    expected = mean(20.0) - 0.265 - 2 * 0.2342
    np.testing.assert_allclose(relaxed.programming_bias(20e-6) * 1e6, expected, rtol=1e-9)


def test_a_mixture_has_the_stated_sigma_and_tails():
    model = device(
        programming=SIGMA | {"model": "mixture", "tail_fraction": 0.1, "tail_factor": 4.0}
    )
    core = 2e-6 / np.sqrt(0.9 + 0.1 * 16)
    assert_distribution(
        write(model) - TARGET,
        lambda x: 0.9 * stats.norm.cdf(x / core) + 0.1 * stats.norm.cdf(x / 4 / core),
    )


def test_a_verify_window_is_never_left():
    error = write(device(programming={"model": "bounded", "half_width_us": 5.0})) - TARGET
    assert abs(error).max() <= 5e-6 * (1 + 1e-12) and abs(error).max() > 4.99e-6


def test_a_constant_sigma_needs_no_scale():
    model = device(programming={"sigma": [{"polynomial_us": [1.2]}]})
    np.testing.assert_allclose(model.write_sigma(np.array([2e-6, 30e-6])), 1.2e-6, rtol=1e-12)


def test_sigma_between_two_times_is_a_line_in_log_time():
    entries = [{"time_s": 1.0, "polynomial_us": [1.0]}, {"time_s": 1e4, "polynomial_us": [3.0]}]
    model = device(programming={"scale_us": 40.0, "sigma": entries})
    for time, sigma in ((None, 1e-6), (1.0, 1e-6), (100.0, 2e-6), (1e4, 3e-6)):
        assert model.at(time=time).write_sigma(20e-6) == pytest.approx(sigma, rel=1e-6, abs=0)
    with pytest.raises(
        OutOfRangeError, match=r"1e\+06 s; \[programming\].*1 to 10000 s.*outside_range"
    ):
        model.at(time=1e6)
    with pytest.warns(ValidRangeWarning, match="extended"):
        beyond = model.at(time=1e6, outside_range="warn")
    assert beyond.write_sigma(20e-6) == pytest.approx(4e-6, rel=1e-6, abs=0)
    with pytest.warns(ValidRangeWarning, match="extended"):
        before = model.at(time=1e-1, outside_range="warn")
    assert before.write_sigma(20e-6) == pytest.approx(0.5e-6, rel=1e-6, abs=0)


def test_bounds_are_never_left_and_counted():
    wide = SIGMA["sigma"][0] | {"sigma_us": [15.0, 15.0]}
    model = device(programming={"sigma": [wide]}, conductance={"bounds_us": [1.0, 42.0]})
    free = write(device(programming={"sigma": [wide]}, conductance={"bounds_us": [0.0, 1e9]}))
    done = model.program(TARGET, 1)
    assert done.conductance.min() == 1e-6 and done.conductance.max() == 42e-6
    assert free.min() == 0.0
    assert done.counts.bounded == (free < 1e-6).sum() + (free > 42e-6).sum() > 1000


def test_spread_of_cells_stays_and_that_of_writes_is_drawn_anew():
    of_device = device(spread={"device_to_device_relative_sigma": 0.05})
    of_cycle = device(spread={"cycle_to_cycle_relative_sigma": 0.05})
    for model in (of_device, of_cycle):
        assert_normal(write(model), 20e-6, 1e-6)
        np.testing.assert_allclose(model.programming_sigma(TARGET), 1e-6)
        np.testing.assert_array_equal(write(model.without("spread")), TARGET)
    np.testing.assert_array_equal(write(of_device), write(of_device.at(write=3)))
    correlation = stats.pearsonr(write(of_cycle).ravel(), write(of_cycle.at(write=3)).ravel())
    assert correlation.pvalue > LEVEL
    both = device(
        spread={"device_to_device_relative_sigma": 0.03, "cycle_to_cycle_relative_sigma": 0.04}
    )
    first, second = write(both), write(both.at(write=1))
    assert stats.pearsonr(first.ravel(), second.ravel()).statistic == pytest.approx(
        9 / 25, abs=0.03
    )


@pytest.mark.parametrize("decades", [0, 2, 5])
def test_relaxation_grows_with_the_logarithm_of_time(decades):
    model = device(relaxation=RELAXATION).at(time=10.0**decades)
    sigma = np.sqrt(4.283 + 1.777 * decades) * 1e-6
    assert_normal(write(model) - TARGET, (-0.265 - 0.2342 * decades) * 1e-6, sigma)
    np.testing.assert_allclose(model.programming_sigma(TARGET), sigma)
    np.testing.assert_array_equal(write(model.without("relaxation")), TARGET)


def test_every_cell_drifts_with_its_own_exponent():
    model, time = device(drift=DRIFT), 20.0 * 10**5
    for target in (5e-6, 12e-6, 25e-6):
        nu = -np.log10(write(model.at(time=time), np.full((2, 50, 50), target)) / target) / 5
        assert_normal(nu, np.clip(0.0244 - 0.0155 * np.log(target / 25e-6), 0.03, 0.1), 0.01)
    np.testing.assert_allclose(write(model), TARGET)  # no time has passed at t0
    np.testing.assert_array_equal(write(model.at(time=time).without("drift")), TARGET)
    early, late = (
        write(model.at(time=t)) for t in (2000.0, 2e5)
    )  # a line in log-log, for every cell
    np.testing.assert_allclose((early / TARGET) ** 2, late / TARGET, rtol=1e-12)


def test_temperature_follows_arrhenius_and_ages():
    hot = {"reference_k": 300.0, "activation_energy_ev": 0.05, "valid_range_k": [250.0, 400.0]}
    factor = np.exp(-0.05 / BOLTZMANN_EV * (1 / 350 - 1 / 300))
    assert factor == pytest.approx(1.318, abs=1e-3)
    model = device(temperature=hot)
    np.testing.assert_allclose(write(model.at(temperature=350.0)), TARGET * factor)
    np.testing.assert_array_equal(write(model), TARGET)
    np.testing.assert_array_equal(write(model.at(temperature=350.0).without("temperature")), TARGET)
    with pytest.raises(OutOfRangeError, match="500 K.*250 to 400 K"):
        model.at(temperature=500.0)
    ages = device(
        drift=DRIFT,
        temperature=hot | {"activation_energy_ev": 0.0, "retention_activation_energy_ev": 1.0},
    )
    faster = np.exp(1 / BOLTZMANN_EV * (1 / 300 - 1 / 350))
    np.testing.assert_allclose(
        write(ages.at(time=1e3, temperature=350.0)), write(ages.at(time=1e3 * faster)), rtol=1e-12
    )
    with pytest.raises(OutOfRangeError, match="at the reference temperature"):
        ages.at(time=1e7, temperature=350.0)


def test_read_disturb_approaches_the_end_of_the_window():
    for end, value in (("minimum", 1e-6), ("maximum", 40e-6)):
        model = device(read_disturb={"rate_per_read": 1e-6, "toward": end})
        np.testing.assert_allclose(
            write(model.at(reads=10**6)), value + (20e-6 - value) * np.exp(-1), rtol=1e-12
        )
        np.testing.assert_array_equal(write(model), TARGET)


def test_stuck_cells_alone_and_in_lines():
    model = device(stuck={"on_rate": 0.1, "off_rate": 0.2})
    done = model.program(TARGET, 3)
    on, off = np.isclose(done.conductance, 40e-6), np.isclose(done.conductance, 1e-6)
    assert (done.counts.stuck_on, done.counts.stuck_off) == (on.sum(), off.sum())
    assert stats.binomtest(int(on.sum()), on.size, 0.1).pvalue > LEVEL
    assert stats.binomtest(int(off.sum()), off.size, 0.2).pvalue > LEVEL
    assert ((done.conductance == TARGET) | on | off).all()
    # alone they hit lines as a binomial does
    assert np.var(on.sum(axis=1)) == pytest.approx(64 * 0.1 * 0.9, rel=0.25, abs=0)
    np.testing.assert_array_equal(write(model.without("stuck")), TARGET)
    many = np.full((40, 64, 50), 20e-6)
    for kind, axis, lines in (("word_line", 2, 64), ("bit_line", 1, 50)):
        stuck = write(device(stuck={f"{kind}_on_rate": 0.05, "on_us": 39.0}), many, 4) > 38e-6
        share = stuck.mean(axis=axis)
        assert set(np.unique(share)) == {0.0, 1.0}  # whole lines and nothing else
        assert stats.binomtest(int(share.sum()), 40 * lines, 0.05).pvalue > LEVEL
        per_tile = share.sum(axis=1)  # each line by itself
        assert per_tile.var() == pytest.approx(lines * 0.05 * 0.95, rel=0.6, abs=0)


def test_levels_round_to_the_nearest_and_count():
    model = device(conductance={"levels_us": [1.0, 10.0, 40.0]})
    done = model.program(np.array([[1e-6, 5.4e-6, 5.6e-6, 24.9e-6, 25.1e-6, 40e-6]]), 1)
    np.testing.assert_allclose(done.conductance[0] * 1e6, [1, 1, 10, 10, 40, 40])
    assert (
        done.counts.rounded == 4 and model.without("levels").program(TARGET, 1).counts.rounded == 0
    )


def test_write_verify_ends_within_its_tolerance_and_counts():
    pulse = {"pulse_voltage_v": 2.0, "pulse_time_ns": 40.0}
    model = device(write_verify=VERIFY, write=pulse)
    done = model.program(TARGET, 1)
    assert abs(done.conductance - TARGET).max() <= 0.8e-6 and done.counts.unverified == 0
    assert np.unique(done.conductance).size > 0.99 * TARGET.size  # every cell has noise of its own
    assert done.counts.pulses / TARGET.size == pytest.approx(
        19, abs=0.8
    )  # 19 µS in noisy steps of 1 µS
    # the pulses found 1, 2, ... 19 µS: energy = V² t (sum of g)
    assert done.counts.write_energy == pytest.approx(
        4.0 * 40e-9 * TARGET.size * 19 * 10e-6, rel=0.05, abs=0
    )
    assert model.program(TARGET[:1], 1).counts.write_energy < done.counts.write_energy / 3
    short = device(write_verify=VERIFY | {"maximum_pulses": 5}).program(TARGET, 1)
    assert short.counts.unverified == TARGET.size and short.counts.pulses == 5 * TARGET.size
    assert short.counts.write_energy is None
    np.testing.assert_array_equal(write(model.without("programming")), TARGET)


def test_write_verify_without_noise_is_a_staircase():
    up = device(
        write_verify=VERIFY
        | {"step_relative_sigma": 0.0, "nonlinearity_up": 2.0, "tolerance_us": 0.5}
    )
    g, count = 1.0, 0
    while abs(20.0 - g) > 0.5:
        g, count = g + np.exp(-2.0 * (g - 1.0) / 39.0), count + 1
    done = up.program(TARGET[:, :2, :2], 1)
    np.testing.assert_allclose(done.conductance, g * 1e-6, rtol=1e-12)
    assert done.counts.pulses == count * done.conductance.size
    down = device(
        write_verify=VERIFY
        | {"step_relative_sigma": 0.0, "start_us": 40.0, "nonlinearity_down": 2.0}
    )
    g, count = 40.0, 0
    while abs(20.0 - g) > 0.8:
        g, count = g - np.exp(-2.0 * (1 - (g - 1.0) / 39.0)), count + 1
    done = down.program(TARGET[:, :2, :2], 1)
    np.testing.assert_allclose(done.conductance, g * 1e-6, rtol=1e-12)
    held = device(
        write_verify=VERIFY | {"step_relative_sigma": 0.0, "start_us": 38.0, "step_up_us": 10.0},
        conductance={"bounds_us": [0.0, 40.0]},
    ).program(TARGET[:, :2, :2] * 1.97, 1)
    np.testing.assert_allclose(held.conductance, 40e-6)  # 48 µS is not reached: 39.4 is verified
    assert held.counts.pulses == held.conductance.size and held.counts.unverified == 0
    noisy = (
        device(write_verify=VERIFY | {"read_sigma_us": 2.0}).program(TARGET, 1).conductance - TARGET
    )
    assert 0.8e-6 < noisy.std() < 2.2e-6  # the verify believes its noisy reads


def test_steps_that_fall_along_a_line_to_a_saturation():
    """Up to 45 µS from the minimum of 1, down to -5 from the maximum of 40: geometric series."""
    table = VERIFY | {"step_relative_sigma": 0.0, "tolerance_us": 1e-6}
    table |= {"saturation_up_us": 45.0, "step_up_us": 2.2}
    table |= {"saturation_down_us": -5.0, "step_down_us": 1.8}
    for pulses in (1, 7, 30):
        up = device(write_verify=table | {"maximum_pulses": pulses})
        done = up.program(np.full((1, 2, 2), 40e-6), 1)
        expected = 45 - 44 * (1 - 2.2 / 44) ** pulses
        np.testing.assert_allclose(done.conductance * 1e6, expected, rtol=1e-9)
        down = device(write_verify=table | {"maximum_pulses": pulses, "start_us": 40.0})
        done = down.program(np.full((1, 2, 2), 1e-6), 1)
        expected = -5 + 45 * (1 - 1.8 / 45) ** pulses
        np.testing.assert_allclose(done.conductance * 1e6, expected, rtol=1e-9)
    short = device(write_verify=table | {"saturation_up_us": 30.0, "maximum_pulses": 400})
    done = short.program(np.full((1, 2, 2), 40e-6), 1)
    np.testing.assert_allclose(done.conductance, 30e-6, rtol=1e-6)
    assert done.counts.unverified == 4  # it cannot get further


def test_one_pulse_per_cell_where_the_file_states_pulses():
    done = device(write={"pulse_energy_pj": 3.0, "pulse_time_ns": 40.0}).program(TARGET, 1)
    assert done.counts.pulses == TARGET.size
    assert done.counts.write_energy == pytest.approx(3e-12 * TARGET.size, rel=1e-6, abs=0)


NOISE = {
    "white": {"relative_sigma": 0.02},
    "flicker": {
        "flicker": {
            "amplitude": 0.01,
            "frequency_low_hz": 1.0,
            "frequency_high_hz": 1e4,
            "source": "test",
        }
    },
    "telegraph": {
        "telegraph": {
            "relative_amplitude": 0.1,
            "dwell_high_s": 3e-3,
            "dwell_low_s": 1e-3,
            "source": "test",
        }
    },
}
SWITCH = {"white": "read_noise", "flicker": "flicker", "telegraph": "telegraph"}


@pytest.mark.parametrize("kind", NOISE)
def test_sigma_of_a_read_is_that_of_sampled_reads(kind):
    """400 cells, reads far enough apart for the slowest part to forget."""
    model, g = device(read_noise=NOISE[kind]), np.full((20, 20), 20e-6)
    sigma = model.read_noise_sigma(g, read_time=1e-6)
    reads = model.sample_reads(g, 60, 1.0, 7, read_time=1e-6)
    assert reads.shape == (60, 20, 20)
    assert reads.mean() == pytest.approx(20e-6, abs=5 * sigma[0, 0] / np.sqrt(reads.size))
    assert reads.std() == pytest.approx(sigma[0, 0], rel=0.03, abs=0)
    if kind != "telegraph":
        assert_normal(reads, 20e-6, sigma[0, 0])
    alone = device(
        read_noise={key: value for table in NOISE.values() for key, value in table.items()}
    )
    np.testing.assert_allclose(
        alone.with_effects(SWITCH[kind]).read_noise_sigma(g, read_time=1e-6), sigma
    )
    assert not alone.without(*SWITCH.values()).read_noise_sigma(g).any()
    np.testing.assert_allclose(
        alone.read_noise_sigma(g, read_time=1e-6) ** 2,
        sum(part**2 for part in alone.read_noise_parts(g, 1e-6).values()),
    )


def test_closed_forms_of_read_noise():
    g = np.array([[20e-6]])
    flicker = device(read_noise=NOISE["flicker"])
    assert flicker.read_noise_sigma(g)[0, 0] == pytest.approx(
        20e-6 * 0.01 * np.sqrt(np.log(1e4)), rel=1e-6, abs=0
    )
    open_band = device(read_noise={"flicker": {"amplitude": 0.01, "source": "test"}})
    assert open_band.at(time=100.0).read_noise_sigma(g, read_time=1e-6)[0, 0] == pytest.approx(
        20e-6 * 0.01 * np.sqrt(np.log(5e5 * 100)), rel=1e-6, abs=0
    )
    with pytest.raises(OutOfRangeError, match="frequency_low_hz"):
        open_band.read_noise_sigma(g)
    # p = 3/4, states 10 % apart and their mean at g: high = g / (1 - 0.1 / 4)
    telegraph = device(read_noise=NOISE["telegraph"])
    step = 0.1 * 20e-6 / (1 - 0.025)
    assert telegraph.read_noise_sigma(g, read_time=1e-9)[0, 0] == pytest.approx(
        step * np.sqrt(3 / 16), rel=1e-6, abs=0
    )
    states = np.unique(np.round(telegraph.sample_reads(g, 500, 1.0, 1, 1e-12) / step, 6))
    np.testing.assert_allclose(states * step, [20e-6 - 0.75 * step, 20e-6 + 0.25 * step], rtol=1e-5)


def test_telegraph_dwell_times_and_averaging():
    """Autocorrelation exp(-t / tau), 1/tau = 1/3 + 1/1 ms; reads longer than tau see the mean of
    many switches.
    """
    model, g = device(read_noise=NOISE["telegraph"]), np.full((30, 30), 20e-6)
    reads = model.sample_reads(g, 40, 0.5e-3, 5, read_time=1e-9) - 20e-6
    correlation = (reads[1:] * reads[:-1]).mean() / (reads**2).mean()
    assert correlation == pytest.approx(np.exp(-0.5 * (1 / 3 + 1)), abs=0.03)
    for read_time in (1e-3, 5e-3):
        slow = model.sample_reads(g, 8, 20e-3, 6, read_time=read_time)
        assert slow.std() == pytest.approx(
            model.read_noise_sigma(g, read_time=read_time)[0, 0], rel=0.05, abs=0
        )
    some = device(
        read_noise={"telegraph": NOISE["telegraph"]["telegraph"] | {"cell_fraction": 0.3}}
    )
    moving = some.sample_reads(TARGET, 12, 1.0, 2).std(axis=0) > 0
    has = some.read_noise_sigma(TARGET, 2) > 0
    assert stats.binomtest(int(has.sum()), has.size, 0.3).pvalue > LEVEL
    assert not (moving & ~has).any() and (moving & has).sum() > 0.9 * has.sum()
