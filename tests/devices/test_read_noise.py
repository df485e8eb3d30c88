"""Which conductance every law of a device file means, and the spectrum of sampled 1/f noise.

Oracles: the equations of the PCM model of aihwkit (Nandakumar et al., ICECS 2019) in NumPy, a
chain of hand-made numbers, scipy's periodogram and quadrature.
"""

import copy

import numpy as np
import pytest
from scipy import integrate, signal, stats

from xbarsim.base.errors import OutOfRangeError
from xbarsim.devices import read_noise
from xbarsim.devices.conditions import Effect
from xbarsim.devices.file import DeviceFile
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.presets import load_device
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.streams import Streams

LEVEL = 0.01
BASE = {
    "description": "test",
    "read": {"voltage_v": 0.2, "source": "test"},
    "conductance": {
        "minimum_us": 1.0,
        "maximum_us": 40.0,
        "valid_range_us": [0.0, 50.0],
        "source": "test",
    },
}
READ_TIME = 250e-9  # s, of the reads behind the PCM model
HOUR, DAY, YEAR = 3600.0, 86400.0, 31536000.0


def device(**tables):
    content = copy.deepcopy(BASE)
    for name, table in tables.items():
        content[name] = {"source": "test"} | table
    return DeviceModel("test", DeviceFile.model_validate(content), frozenset(Effect))


def cells_at(read_us, target_us=None, achieved_us=None):
    """Cells whose three conductances differ."""
    target = read_us if target_us is None else target_us
    achieved = read_us if achieved_us is None else achieved_us
    read, target, achieved = (np.full((1, 1), g * 1e-6) for g in (read_us, target, achieved))
    return Programmed(read, target, achieved)


# ---------------------------------------------------------------- the published PCM model


def pcm_sigma(target_us):
    x = target_us / 25
    return 0.26348 + 1.9650 * x - 1.1731 * x**2


def pcm_exponent(target_us):
    """Mean and standard deviation of nu."""
    logarithm = np.log(target_us / 25)
    mean = np.clip(-0.0155 * logarithm + 0.0244, 0.049, 0.1)
    return mean, np.clip(-0.0125 * logarithm - 0.0059, 0.008, 0.045)


def pcm_read_sigma(target_us, drifted_us, seconds):
    q = np.minimum(0.0088 / (target_us / 25) ** 0.65, 0.2)
    return drifted_us * q * np.sqrt(np.log((seconds + READ_TIME) / (2 * READ_TIME)))


@pytest.mark.parametrize(
    ("seconds", "sigma_us"),
    [
        (20.0, 0.7222),
        (HOUR, 0.6376),
        (DAY, 0.5826),
        (YEAR, 0.4835),
    ],
)
def test_read_noise_of_pcm_is_that_of_the_target_after_drift(seconds, sigma_us):
    drifted = 12.5 * (seconds / 20) ** -0.049
    cells = cells_at(drifted, target_us=12.5, achieved_us=12.5)
    pcm = load_device("pcm").at(time=seconds)
    sigma = pcm.read_noise_sigma(cells, read_time=READ_TIME).item() * 1e6
    assert sigma == pytest.approx(sigma_us, abs=6e-5)
    assert sigma == pytest.approx(pcm_read_sigma(12.5, drifted, seconds), rel=1e-6)


@pytest.mark.parametrize("target_us", [1.0, 5.0, 12.5, 25.0])
@pytest.mark.parametrize("seconds", [20.0, DAY])
def test_pcm_cells_and_reads_are_distributed_as_in_the_published_model(target_us, seconds):
    """Write, drift and one read drawn from the device file, and from the equations."""
    count, rng = 40_000, np.random.default_rng(5)
    mean, spread = pcm_exponent(target_us)
    written = np.maximum(target_us + pcm_sigma(target_us) * rng.standard_normal(count), 0)
    exponent = mean + spread * rng.standard_normal(count)
    drifted = written * (seconds / 20) ** -exponent
    seen = drifted + pcm_read_sigma(target_us, drifted, seconds) * rng.standard_normal(count)

    pcm = load_device("pcm").at(time=seconds)
    cells = pcm.program(np.full((4, 100, 100), target_us * 1e-6), 3)
    reads = pcm.sample_reads(cells, 1, 1.0, 6, READ_TIME)
    assert stats.ks_2samp(drifted, cells.conductance.ravel() * 1e6).pvalue > LEVEL
    assert stats.ks_2samp(seen, reads.ravel() * 1e6).pvalue > LEVEL
    np.testing.assert_allclose(
        pcm.read_noise_sigma(cells, read_time=READ_TIME) * 1e6,
        pcm_read_sigma(target_us, cells.conductance * 1e6, seconds),
        rtol=1e-6,
    )


# ---------------------------------------------------------------- which conductance a law means

PLACES = {"read": 10.0, "target": 20.0, "achieved": 30.0}  # µS
LINE = {"law": "table", "conductance_us": [0.0, 50.0], "values": [0.0, 0.5]}  # 1 % per µS
DRIFT = {"reference_s": 1.0, "valid_time_s": [1.0, 1e6]}


@pytest.mark.parametrize("of", PLACES)
def test_laws_of_the_read_noise_mean_the_conductance_that_they_name(of):
    cells = cells_at(*(PLACES[place] for place in ("read", "target", "achieved")))
    value, band = PLACES[of] / 100, {"frequency_low_hz": 1.0, "frequency_high_hz": np.e}
    expected = {"amplitude": value * 10e-6, "amplitude_us": value * 1e-6}
    for key, sigma in expected.items():
        model = device(read_noise={"flicker": {key: LINE | {"of": of}, **band, "source": "t"}})
        np.testing.assert_allclose(model.read_noise_parts(cells)["flicker"], sigma, rtol=1e-12)
        reads = model.sample_reads(
            Programmed(
                *(
                    np.repeat(g, 400, axis=1)
                    for g in (cells.conductance, cells.target, cells.achieved)
                )
            ),
            2,
            1e6,
        )
        assert reads.std() == pytest.approx(sigma, rel=0.1, abs=0)
    telegraph = {"relative_amplitude": LINE | {"of": of}, "dwell_high_s": 1.0, "dwell_low_s": 1.0}
    model = device(read_noise={"telegraph": telegraph | {"source": "t"}})
    half_step = 10e-6 * value / (1 - value / 2) / 2
    np.testing.assert_allclose(
        model.read_noise_parts(cells, 1e-9)["telegraph"], half_step, rtol=1e-6
    )
    states = model.sample_reads(cells, 200, 10.0, read_time=1e-9)
    np.testing.assert_allclose(
        np.unique(np.round(states * 1e9)) * 1e-9, [10e-6 - half_step, 10e-6 + half_step], atol=1e-9
    )


@pytest.mark.parametrize(("of", "at_us"), [("target", 20.0), ("achieved", 10.0)])
def test_laws_of_the_drift_mean_the_conductance_that_they_name(of, at_us):
    """A write that misses 20 µS by -10 µS drifts as the law says of 20 or of 10 µS, from 10 µS."""
    miss = {"sigma": [{"target_us": [0.0, 40.0], "sigma_us": [0.0, 0.0]}], "bias_us": -10.0}
    line = {**LINE, "of": of}
    exact = device(programming=miss, drift=DRIFT | {"nu_mean": line}).at(time=100.0)
    cells = exact.program(np.full((2, 2), 20e-6), 1)
    np.testing.assert_allclose(cells.conductance, 10e-6 * 100 ** -(at_us / 100), rtol=1e-12)
    np.testing.assert_allclose(cells.target, 20e-6)
    np.testing.assert_allclose(cells.achieved, 10e-6)
    wide = device(programming=miss, drift=DRIFT | {"nu_mean": 0.0, "nu_sigma": line}).at(time=100.0)
    exponents = -np.log(wide.program(np.full((100, 100), 20e-6), 1).conductance / 10e-6)
    assert exponents.std() / np.log(100) == pytest.approx(at_us / 100, rel=0.03)
    with pytest.raises(ValueError, match='of = "read" would be what it leads to'):
        device(drift=DRIFT | {"nu_mean": LINE | {"of": "read"}})


def test_fixed_rules_of_the_other_tables_in_the_order_of_the_chain():
    """Sigma of the target; what follows acts on what is there before it."""
    sigma = {"sigma": [{"target_us": [0.0, 40.0], "sigma_us": [0.0, 4.0]}], "bias_us": -10.0}
    target = np.full((200, 200), 20e-6)
    error = device(programming=sigma).program(target, 1).conductance - 10e-6
    assert error.std() == pytest.approx(2e-6, rel=0.02, abs=0)  # not that of 10 µS
    nothing = {"sigma": [{"target_us": [0.0, 40.0], "sigma_us": [0.0, 0.0]}], "bias_us": -10.0}
    spread = {"device_to_device_relative_sigma": 0.05}
    wide = device(programming=nothing, spread=spread).program(target, 1)
    assert wide.conductance.std() == pytest.approx(0.5e-6, rel=0.02, abs=0)  # 5 % of 10 µS
    np.testing.assert_array_equal(wide.achieved, wide.conductance)
    hot = {
        "reference_k": 300.0,
        "activation_energy_ev": 0.05,
        "valid_range_k": [250.0, 400.0],
    }
    chain = device(
        programming=nothing,
        relaxation={"variance_offset_us2": 0.0, "mean_offset_us": -1.0, "valid_time_s": [1.0, 1e6]},
        drift=DRIFT | {"nu_mean": 0.1},
        read_disturb={"rate_per_read": 1e-3, "toward": "maximum"},
        temperature=hot,
        read_noise={"relative_sigma": 0.02},
    ).at(time=100.0, reads=1000, temperature=350.0)
    cells = chain.program(target[:2, :2], 1)
    drifted = (20.0 - 10.0 - 1.0) * 100**-0.1
    disturbed = 40.0 + (drifted - 40.0) * np.exp(-1.0)
    warm = disturbed * np.exp(-0.05 / 8.617333262e-5 * (1 / 350 - 1 / 300))
    np.testing.assert_allclose(cells.conductance, warm * 1e-6, rtol=1e-9)
    np.testing.assert_allclose(cells.achieved, 10e-6, rtol=1e-12)
    np.testing.assert_allclose(chain.read_noise_sigma(cells), 0.02 * warm * 1e-6, rtol=1e-9)


def test_a_stuck_cell_is_aimed_at_where_it_is_stuck():
    noise = {
        "flicker": {
            "amplitude": LINE | {"of": "target"},
            "frequency_low_hz": 1.0,
            "frequency_high_hz": np.e,
            "source": "t",
        }
    }
    model = device(stuck={"on_rate": 1.0, "on_us": 30.0}, read_noise=noise)
    cells = model.program(np.full((3, 3), 10e-6), 1)
    for g in (cells.target, cells.achieved, cells.conductance):
        np.testing.assert_allclose(g, 30e-6, rtol=1e-12)
    np.testing.assert_allclose(model.read_noise_sigma(cells), 0.3 * 30e-6, rtol=1e-12)


def test_levels_are_the_target_and_open_cells_have_no_noise():
    model = device(
        read_noise={
            "flicker": {
                "amplitude_us": 0.5,
                "frequency_low_hz": 1.0,
                "frequency_high_hz": np.e,
                "source": "t",
            }
        }
    )
    cells = Programmed(np.array([[0.0, 10e-6]]), np.full((1, 2), 10e-6), np.full((1, 2), 10e-6))
    np.testing.assert_allclose(model.read_noise_sigma(cells), [[0.0, 0.5e-6]], rtol=1e-12)
    binary = load_device("rram-binary").program(np.full((1, 2), 8e-6), 1)
    np.testing.assert_allclose(binary.target, 10e-6, rtol=1e-12)


def test_conductances_alone_do_where_no_law_means_another_one():
    g = np.full((2, 2), 10e-6)
    with pytest.raises(OutOfRangeError, match="flicker of device pcm depends on the target"):
        load_device("pcm").read_noise_sigma(g)
    with pytest.raises(OutOfRangeError, match="Programmed.exactly"):
        load_device("pcm").sample_reads(g, 3, 1.0)
    assert not load_device("pcm").without("flicker").read_noise_sigma(g).any()
    assert load_device("cmo-hfox").read_noise_sigma(g).all()
    assert load_device("rram-binary").read_noise_sigma(g).all()


@pytest.mark.parametrize(
    ("flicker", "words"),
    [
        ({}, "either amplitude"),
        ({"amplitude": 0.1, "amplitude_us": 0.1}, "either amplitude"),
        ({"amplitude": {"law": "constant", "value": 0.1, "of": "read"}}, "does not use of"),
        ({"amplitude": LINE | {"of": "drifted"}}, "target"),
    ],
)
def test_a_wrong_law_names_the_remedy(flicker, words):
    with pytest.raises(ValueError, match=words):
        device(read_noise={"flicker": flicker | {"source": "t"}})


# ---------------------------------------------------------------- the spectrum of sampled noise

CELLS = np.full((10, 12), 20e-6)
AMPLITUDE = 0.01 * 20e-6


def flicker(low, high):
    table = {"amplitude": 0.01, "frequency_low_hz": low, "frequency_high_hz": high, "source": "t"}
    return device(read_noise={"flicker": table})


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 100.0), (0.05, 100.0), (0.02, 20.0), (1e-6, 100.0)]
)
def test_spectrum_of_sampled_noise_is_one_over_f_over_its_whole_band(low, high):
    """120 cells, 8,192 reads at 200 Hz: (A g)² / f everywhere inside the band, nothing outside."""
    reads = flicker(low, high).sample_reads(CELLS, 8192, 5e-3, 3, 1e-6).reshape(8192, -1)
    f, power = signal.periodogram(reads - 20e-6, fs=200.0, window="hann", axis=0, detrend=False)
    scaled = power.mean(axis=1) * f / AMPLITUDE**2
    edges = np.geomspace(max(1.15 * low, 0.2), 0.87 * high, 8)
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        inside = (f >= first) & (f < last)
        error = 4 / np.sqrt(120 * np.count_nonzero(inside) / 1.5)
        assert scaled[inside].mean() == pytest.approx(1, abs=error)
    middle = (f > edges[2]) & (f < edges[5])
    assert scaled[middle].mean() == pytest.approx(1, abs=0.03)
    outside = (f > 1.1 * high) | ((f < 0.8 * low) & (f > 0))
    assert scaled[outside].max(initial=0) < 0.06


def cosine(logarithm, angle):
    return np.cos(angle * np.exp(logarithm))


@pytest.mark.parametrize(
    ("low", "high", "interval"),
    [
        (1.0, 100.0, 5e-3),
        (1.0, 100.0, 10e-3),
        (0.1, 1e4, 1e-3),
        (1e-5, 2e6, 1e-3),
        (30.0, 60.0, 5e-3),
    ],
)
def test_covariance_of_sampled_noise_is_that_of_its_band(low, high, interval):
    """Integral of cos(2 pi f lag) d(ln f) by quadrature; the variance at lag 0."""
    reads, cells = 300, np.full((40, 50), 20e-6)
    seen = flicker(low, high).sample_reads(cells, reads, interval, 8, 1e-6).reshape(reads, -1)
    deviation = (seen - 20e-6) / AMPLITUDE
    variance = np.log(high / low)
    np.testing.assert_allclose(read_noise.flicker_covariance(np.zeros(1), low, high), variance)
    tolerance = 6 * variance / np.sqrt(cells.size)
    assert deviation[0].var() == pytest.approx(variance, abs=tolerance)
    for lag in (1, 2, 5, 20, 100, 299):
        angle = 2 * np.pi * lag * interval
        expected, slow = 0.0, min(high, max(low, 1 / angle))
        if slow > low:
            expected, _ = integrate.quad(cosine, np.log(low), np.log(slow), args=(angle,))
        if slow < high:
            rest, _ = integrate.quad(
                lambda f: 1 / f, slow, high, weight="cos", wvar=angle, limit=2000, limlst=2000
            )
            expected += rest
        exact = read_noise.flicker_covariance(np.array([lag * interval]), low, high).item()
        assert exact == pytest.approx(expected, abs=1e-6 * variance)
        assert (deviation[0] * deviation[lag]).mean() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("reads", [1, 2, 50, 1000])
@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 100.0), (0.049, 100.0), (1e-5, 5e6), (1.3, 500.0), (2.4, 6.0)]
)
def test_circular_series_has_the_covariance_within_the_stated_share(reads, low, high):
    spectrum = read_noise.flicker_spectrum(reads, 5e-3, low, high)
    size = 2 * (len(spectrum) - 1)
    covariance = np.fft.irfft(spectrum, size)[:reads]
    exact = read_noise.flicker_covariance(np.arange(reads) * 5e-3, low, high)
    np.testing.assert_allclose(covariance[0], exact[0], rtol=1e-12)
    assert abs(covariance - exact).max() <= 0.005 * exact[0]


def test_sampled_noise_depends_on_streams_alone():
    model, tiles = flicker(1.0, 100.0), np.full((3, 4, 5), 20e-6)
    whole = model.sample_reads(tiles, 10, 0.1, Streams(1, 2))
    part = model.sample_reads(tiles[1:2], 10, 0.1, Streams(1, 2, first_tile=1))
    np.testing.assert_array_equal(whole[:, 1:2], part)
    assert (model.sample_reads(tiles, 10, 0.1, Streams(2, 2)) != whole).all()


def test_a_relaxation_is_one_line_of_variance_or_of_sigma():
    valid = {"valid_time_s": [1.0, 1e4]}
    model = device(relaxation={"sigma_offset_us": 0.5, "sigma_slope_us": 0.25} | valid).at(
        time=100.0
    )
    assert model.relaxation_moments()[1] == pytest.approx(1e-6, rel=1e-9)
    sample = model.program(np.full((100, 100), 20e-6), 1).conductance
    assert stats.kstest(sample.ravel(), stats.norm(20e-6, 1e-6).cdf).pvalue > LEVEL
    for wrong, words in (
        ({}, "give either"),
        ({"sigma_offset_us": 1.0, "variance_offset_us2": 1.0}, "give either"),
        ({"sigma_offset_us": 1.0, "variance_slope_us2": 1.0}, "has no offset"),
        ({"sigma_offset_us": 1.0, "sigma_slope_us": -0.5}, "variance is -1"),
    ):
        with pytest.raises(ValueError, match=words):
            device(relaxation=wrong | valid)
