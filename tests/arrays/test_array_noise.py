"""Arrays whose reads are noisy: variance, time, and the same bits in any batch."""

import numpy as np
import pytest
from array_cases import IDEAL, build, names, study

from xbarsim.devices.presets import load_device


def test_read_noise_has_the_stated_variance_and_belongs_to_the_token(tmp_path):
    """var(y) = Σ x² σ²(G) of both cells of a pair, in weight units; without wires."""
    file = tmp_path / "noisy.toml"
    file.write_text(
        'description = "test"\n[read]\nvoltage_v = 0.2\nsource = "test"\n[conductance]\nminimum_us = 1.0\n'
        'maximum_us = 40.0\nvalid_range_us = [0.0, 50.0]\nsource = "test"\n'
        '[read_noise]\nrelative_sigma = 0.05\nsource = "test"\n'
    )
    chosen = study(
        device={"name": str(file)},
        effects=IDEAL | {"read_noise": True},
        mapping={"clip": "maximum", "scale": "matrix", "gain": "none"},
    )
    weight, x, array = build(chosen)
    many = np.repeat(x[:1], 4000, axis=0)
    output = array.multiply(many, names(4000), 1).output
    scale = abs(weight).max() / 39e-6
    cells = (1e-6 + np.maximum(weight, 0) / scale) ** 2 + (
        1e-6 + np.maximum(-weight, 0) / scale
    ) ** 2
    expected = 0.05 * scale * np.sqrt(cells @ x[0] ** 2)
    np.testing.assert_allclose(output.std(axis=0), expected, rtol=0.06)
    np.testing.assert_allclose(
        output.mean(axis=0), weight @ x[0], atol=5 * expected.max() / np.sqrt(4000)
    )
    # the same tokens in another batch, other tokens, another seed
    alone = array.multiply(
        many[:7], names(7, first=100), 1
    ).output  # equal but for rounding in the GEMM
    np.testing.assert_allclose(alone, output[100:107], atol=1e-5)
    assert abs(output[100:107] - output[:7]).min() > 1e-5
    assert (array.multiply(many[:7], names(7), 2).output != output[:7]).all()


def test_drift_and_flicker_noise_reach_the_product():
    """PCM a day after programming: the digital gain undoes the common drift, the noise grows with the band."""

    def built(**conditions):
        return build(
            study(
                device={"name": "pcm"} | conditions,
                mapping={"scale": "matrix", "clip": "maximum"},
                effects=IDEAL | {"drift": True, "flicker": True},
            ),
            device=load_device("pcm"),
        )

    weight, x, fresh = built()
    _, _, late = built(time_s=86400.0)
    expected = (
        86400 / 20
    ) ** -0.049  # of the large weights: nu is 0.049 above a fifth of the window
    assert fresh.programmed.achieved_weight.std() * expected == pytest.approx(
        late.programmed.achieved_weight.std(), rel=0.03
    )
    exact = x @ weight.T
    output = late.multiply(x, names(len(x)), 1).output
    assert (output * exact).sum() / (exact**2).sum() == pytest.approx(1, abs=0.02)
    noise = [array.folded_variance.sum() / (array.gain**2).mean() for array in (fresh, late)]
    # variance (g Q)², Q of the target, which does not drift, times the logarithm of the band
    assert noise[1] / noise[0] == pytest.approx(
        expected**2 * np.log(86400 * 5e6) / np.log(20 * 5e6), rel=0.05
    )


NOISY = (
    'description = "test"\n[read]\nvoltage_v = 0.2\nsource = "test"\n[conductance]\nminimum_us = 1.0\n'
    'maximum_us = 40.0\nvalid_range_us = [0.0, 50.0]\nsource = "test"\n'
    '[read_noise]\nrelative_sigma = 0.01\nsource = "test"\n'
)
SERIAL = {"dac": {"encoding": "bit_serial"}, "mapping": {"encoding": "slices", "sign": "offset"}}


@pytest.fixture(params=[{}, SERIAL], ids=["amplitude", "bit_serial"])
def noisy(request, tmp_path):
    """(inputs, array) with converters and read noise."""
    (tmp_path / "noisy.toml").write_text(NOISY)
    chosen = study(
        device={"name": str(tmp_path / "noisy.toml")},
        adc={"bits": 16},  # sees the rounding of a GEMM
        effects=IDEAL | {"converters": True, "read_noise": True},
        **request.param,
    )
    return build(chosen, inputs=150, outputs=70, samples=300)[1:]


def test_converted_results_do_not_depend_on_the_batch(noisy):
    """To the bit, read noise included: batches that end within and beyond a block of rows, tokens in another order."""
    x, array = noisy
    whole = array.multiply(x, names(300), 1)
    for chosen in (np.arange(1), np.arange(40, 47), np.arange(300)[::-1], np.arange(5, 262)):
        part = array.multiply(x[chosen], names(300)[chosen], 1)
        for field in ("output", "dac_saturations", "adc_saturations", "array_energy"):
            np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[chosen])


def test_columns_in_pieces_are_the_same_columns(noisy, monkeypatch):
    x, array = noisy
    whole = array.multiply(x, names(300), 1)
    monkeypatch.setattr(
        "xbarsim.arrays.in_situ.matrix.CURRENT_COLUMNS", 16
    )  # pieces that end within an output's conversions
    pieces = array.multiply(x, names(300), 1)
    # a product of fewer columns may round otherwise, which moves a conversion now and then by a code
    difference = np.abs(pieces.output - whole.output) / whole.output.std()
    assert difference.max() < 5e-3 and np.mean(difference > 1e-4) < 0.02
    assert pieces.adc_saturations.sum() == pytest.approx(whole.adc_saturations.sum(), rel=0.01)
