"""What a tile passes on, against solutions of its circuit."""
import numpy as np

from xbarsim import Crossbar
from xbarsim.tile import attenuation


def test_attenuation_is_the_share_of_the_current_that_arrives():
    """One tile of cells that mostly hardly conduct, one of equal cells, one that is empty, one without wires."""
    rng = np.random.default_rng(0)
    uneven = np.where(rng.random((30, 20)) < 0.1, 100e-6, 1e-6)
    conductance = np.stack([uneven, np.full((30, 20), 50e-6), np.zeros((30, 20)), uneven])
    tiles = [Crossbar(g, ohm, ohm) for g, ohm in zip(conductance, (5.0, 5.0, 5.0, 0.0), strict=True)]
    transfer = np.stack([xb.transfer_matrix() for xb in tiles])
    _, mean, std = attenuation(transfer, conductance.transpose(0, 2, 1))
    arrived = [xb.solve(np.ones(30)).output_current.sum() for xb in tiles]
    np.testing.assert_allclose(mean[[0, 1, 3]], [i / g.sum() for i, g in zip(arrived, conductance, strict=True) if g.any()],
                               rtol=1e-9)
    assert (mean[:2] < 1).all() and mean[2] == 1 and std[2] == 0
    # cells that conduct nothing do not count, however many there are
    share = transfer[0] / conductance[0].T
    weight = conductance[0].T / conductance[0].sum()
    np.testing.assert_allclose(std[0], (weight * (share - (weight * share).sum()) ** 2).sum() ** 0.5, rtol=1e-12)
    np.testing.assert_allclose(std[3], 0, atol=1e-12)
