"""Pictures: written, not empty, showing what they are given, and clear errors."""

import numpy as np
import pytest

from xbarsim import Crossbar
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.report.plots import circuits


@pytest.fixture
def xb():
    return Crossbar(np.random.default_rng(0).uniform(1e-5, 1e-3, (12, 9)), 5.0, 5.0)


@pytest.mark.parametrize("draw", [circuits.voltage_map, circuits.current_map, circuits.ir_drop_map])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_maps(xb, draw, suffix, tmp_path):
    path = draw(xb.solve(np.linspace(0, 1, 12)), tmp_path / f"map{suffix}")
    assert path.stat().st_size > 5000
    assert (
        draw(xb.solve(np.linspace(1, 0, 12)), tmp_path / f"other{suffix}").read_bytes()
        != path.read_bytes()
    )


def test_attenuation(xb, tmp_path):
    written = circuits.attenuation(xb, tmp_path / "a.png").read_bytes()
    assert len(written) > 5000
    turned = Crossbar(xb.conductance, 5.0, 5.0, transposed=True)  # reciprocity: the same picture
    assert circuits.attenuation(turned, tmp_path / "b.png").read_bytes() == written


def test_what_cannot_be_drawn(xb, tmp_path):
    with pytest.raises(OutOfRangeError, match="batch of 2 inputs"):
        circuits.voltage_map(xb.solve(np.ones((2, 12))), tmp_path / "x.png")
    with pytest.raises(ConfigError, match="choose a suffix such as .png"):
        circuits.voltage_map(xb.solve(np.ones(12)), tmp_path / "x.docx")
