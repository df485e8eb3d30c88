"""Resistivity of narrow lines against integrals and paths that share no code with it."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from xbarsim.kernels.circuit.wire_resistivity import grain_factor, surface_factor


def film(thickness, specularity):
    """Resistivity of a film over that of the bulk: the integral of Fuchs, thickness in free paths."""

    def integrand(t):
        kept = math.exp(-thickness * t)
        return (t**-3 - t**-5) * (1 - kept) / (1 - specularity * kept)

    integral, _ = quad(integrand, 1, np.inf, epsabs=1e-13)
    return 1 / (1 - 1.5 / thickness * (1 - specularity) * integral)


@pytest.mark.parametrize("thickness", [0.1, 0.3, 1.0, 5.0, 50.0])
@pytest.mark.parametrize("specularity", [0.0, 0.3, 0.5, 0.9])
def test_a_very_wide_line_is_a_film(thickness, specularity):
    expected = film(thickness, specularity)
    assert surface_factor(1e6, thickness, 1.0, specularity) == pytest.approx(expected, rel=2e-5)
    assert surface_factor(thickness, 1e6, 1.0, specularity) == pytest.approx(expected, rel=2e-5)


def walked(width, height, specularity, electrons, rng):
    """Conductivity over that of the bulk, by electrons that are followed from wall to wall."""
    cosine = rng.uniform(-1, 1, electrons)  # of the angle to the line: uniform on the sphere
    azimuth = rng.uniform(0, 2 * math.pi, electrons)
    across = np.sqrt(1 - cosine**2)
    step_x = across * np.cos(azimuth)
    step_y = across * np.sin(azimuth)
    x = rng.uniform(0, width, electrons)
    y = rng.uniform(0, height, electrons)
    left = rng.exponential(1.0, electrons)  # free paths until the electron scatters in the bulk
    share = np.ones(electrons)
    alive = np.ones(electrons, bool)
    while alive.any():
        to_x = np.where(step_x > 0, (width - x) / step_x, -x / step_x)
        to_y = np.where(step_y > 0, (height - y) / step_y, -y / step_y)
        path = np.minimum(to_x, to_y)
        alive &= path < left
        hits_x = alive & (to_x <= to_y)
        hits_y = alive & (to_x > to_y)
        moved = np.where(alive, path, 0.0)
        x += moved * step_x
        y += moved * step_y
        left -= moved
        share[alive] *= specularity
        step_x[hits_x] *= -1
        step_y[hits_y] *= -1
        x[hits_x] = np.where(step_x[hits_x] > 0, 0.0, width)
        y[hits_y] = np.where(step_y[hits_y] > 0, 0.0, height)
    samples = 3 * cosine**2 * share
    return samples.mean(), samples.std() / math.sqrt(electrons)


@pytest.mark.parametrize("width, height", [(0.15, 0.75), (1.0, 1.0), (2.0, 0.4)])
@pytest.mark.parametrize("specularity", [0.0, 0.52, 0.8])
def test_a_line_is_what_its_electrons_walk(width, height, specularity):
    rng = np.random.default_rng(7)
    share, error = walked(width, height, specularity, 100_000, rng)
    assert abs(1 / surface_factor(width, height, 1.0, specularity) - share) < 4 * error


def test_walls_that_mirror_all_electrons_cost_nothing():
    assert surface_factor(0.1, 0.1, 1.0, 1.0) == 1.0
    assert surface_factor(0.1, 0.1, 1.0, 0.999) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("grain", [1e-2, 0.02, 0.03, 0.1, 1.0, 20.0, 1e4])
def test_grains_are_the_integral_of_mayadas_and_shatzkes(grain):
    alpha = 0.43 / 0.57 / grain
    share, _ = quad(lambda u: 3 * u**3 / (u + alpha), 0, 1, epsabs=1e-13)
    assert grain_factor(grain, 1.0, 0.43) == pytest.approx(1 / share, rel=1e-9)


def test_boundaries_that_reflect_nothing_cost_nothing():
    assert grain_factor(0.1, 1.0, 0.0) == 1.0
