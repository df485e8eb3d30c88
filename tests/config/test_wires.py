"""Resistance of a segment: nodes, geometry, and what is refused."""

import pytest

from xbarsim.base.errors import ConfigError
from xbarsim.config.wires import WireGeometry, Wires, wire_metals, wire_nodes
from xbarsim.kernels.circuit.wire_resistivity import grain_factor, surface_factor


def of(**geometry):
    return Wires(geometry=WireGeometry(**geometry)).resistances()[0]


def test_every_node_states_what_its_segments_are():
    for name, node in wire_nodes().items():
        stated = (node.two_f is not None, node.four_f is not None)
        assert stated == ((False, False) if node.geometry else (True, True)), name
        short, _ = Wires(node=name, pitch="2F").resistances()
        long, _ = Wires(node=name, pitch="4F").resistances()
        assert long == pytest.approx(2 * short, rel=0.05), name


def test_the_largest_lines_have_the_resistivity_of_the_bulk():
    """1 um half-pitch, 1 um high, no reflection: rho * 2 um / 1 um^2, and 0.3 % from the walls."""
    wide = of(half_pitch_nm=1000.0, aspect_ratio=1.0, reflection=0.0, specularity=1.0)
    assert wide == pytest.approx(1.678e-8 * 2e-6 / 1e-12, rel=1e-12)


def test_a_narrow_line_by_hand():
    """12 nm half-pitch, 10 nm wide, 30 nm high, 4F, tungsten at 393 K: 45 % more by 100 K."""
    warmer = 1 + 4.5e-3 * 100
    factor = surface_factor(10.0, 30.0, 15.5 / warmer, 0.2) + grain_factor(8.0, 15.5 / warmer, 0.3)
    expected = 5.28e-8 * warmer * (factor - 1) * 48e-9 / (10e-9 * 30e-9)
    wires = Wires(
        pitch="4F",
        geometry=WireGeometry(
            half_pitch_nm=12.0,
            width_nm=10.0,
            aspect_ratio=3.0,
            metal="tungsten",
            grain_size_nm=8.0,
            specularity=0.2,
            reflection=0.3,
            temperature_k=393.0,
        ),
    )
    assert wires.resistances() == pytest.approx((expected, expected), rel=1e-12)


def test_a_stated_resistance_comes_first():
    wires = Wires(bit_line_resistance_ohm=3.0, geometry=WireGeometry(half_pitch_nm=20.0))
    assert wires.resistances() == (of(half_pitch_nm=20.0), 3.0)


def test_a_geometry_takes_the_rest_from_its_node():
    taller = Wires(node="6nm-halfpitch", geometry=WireGeometry(aspect_ratio=10.0))
    assert taller.resistances()[0] == of(half_pitch_nm=6.0, aspect_ratio=10.0)
    assert Wires(node="6nm-halfpitch").resistances()[0] == of(half_pitch_nm=6.0, aspect_ratio=5.0)


def test_the_published_order_of_metals():
    """Gall 2016: in the limit of narrow wires, Ni conducts 1.6 times as well as Cu."""
    metals = wire_metals().metals
    products = {name: m.resistivity_ohm_m * m.free_path_nm for name, m in metals.items()}
    assert products["copper"] / products["nickel"] == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        ({"metal": "gold"}, "needs half_pitch_nm"),
        ({"half_pitch_nm": 10.0, "metal": "unobtainium"}, "known metals: copper, silver"),
        ({"half_pitch_nm": 10.0, "width_nm": 20.0}, "must be below 20, twice half_pitch_nm"),
        ({"half_pitch_nm": 10.0, "temperature_k": 900.0}, "900 is outside 200 ... 450"),
        ({"half_pitch_nm": 0.5}, "0.5 is outside 1 ... 10000"),
    ],
)
def test_what_cannot_be_is_refused(geometry, words):
    with pytest.raises(ConfigError, match=words):
        of(**geometry)
