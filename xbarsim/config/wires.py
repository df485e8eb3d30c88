"""The table of a study about wires, and the resistance of their segments."""

import functools
from typing import Annotated, Literal

from pydantic import Field

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import packaged, validated
from xbarsim.config.tables import Table

METRES_PER_NM = 1e-9

Positive = Annotated[float, Field(gt=0)]
Range = tuple[float, float]


class Metal(Table):
    """A metal of data/metals.toml; free path and resistivity at the file's reference temperature."""

    resistivity_ohm_m: Positive
    free_path_nm: Positive
    temperature_coefficient_per_k: float
    specularity: Annotated[float, Field(ge=0, le=1)]
    reflection: Annotated[float, Field(ge=0, lt=1)]


class Metals(Table):
    """The file data/metals.toml."""

    reference_k: Positive
    valid_temperature_k: Range
    valid_width_nm: Range
    source: dict[str, str]
    metals: dict[str, Metal]


class WireGeometry(Table):
    """Lines of one metal and a rectangular cross-section; see docs/circuit.md."""

    half_pitch_nm: float | None = Field(
        None, gt=0, description="half of the distance between two lines; of the node if absent"
    )
    metal: str | None = Field(None, description="a metal of data/metals.toml; copper if absent")
    width_nm: float | None = Field(
        None, gt=0, description="of a line, at most twice half_pitch_nm; half_pitch_nm if absent"
    )
    aspect_ratio: float | None = Field(
        None, gt=0, le=100, description="height over width of a line; 2 if absent"
    )
    grain_size_nm: float | None = Field(
        None, gt=0, description="distance of grain boundaries; the width if absent"
    )
    specularity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of electrons that a wall mirrors; the metal's if absent",
    )
    reflection: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share of electrons that a grain boundary sends back; the metal's if absent",
    )
    temperature_k: float | None = Field(
        None, gt=0, description="of the lines; that of data/metals.toml if absent"
    )

    def over(self, node: "WireGeometry | None") -> "WireGeometry":
        """These keys, and those of a node where they are absent."""
        if node is None:
            return self
        return node.model_copy(update=self.model_dump(exclude_none=True))


class WireNode(Table):
    """A node of data/wires.toml: the resistances of a segment, or the geometry that they follow from."""

    two_f: Positive | None = Field(None, alias="2F_ohm")
    four_f: Positive | None = Field(None, alias="4F_ohm")
    geometry: WireGeometry | None = None


class WireNodes(Table):
    """The file data/wires.toml."""

    source: str
    valid_range_ohm: Range
    nodes: dict[str, WireNode]


class Wires(Table):
    """Lines of a tile.

    geometry : metal and cross-section of the lines, in the place of the node's values
    """

    node: str = Field("32nm", description="a node of data/wires.toml")
    pitch: Literal["2F", "4F"] = Field("2F", description="cell width along the wires")
    word_line_resistance_ohm: float | None = Field(
        None, ge=0, description="per segment; overrides node and geometry"
    )
    bit_line_resistance_ohm: float | None = Field(
        None, ge=0, description="per segment; overrides node and geometry"
    )
    source_resistance_ohm: float = Field(
        0.0, ge=0, description="driver, in series with the first segment"
    )
    sense_resistance_ohm: float = Field(
        0.0, ge=0, description="sense node, in series with the last segment"
    )
    geometry: WireGeometry = Field(
        WireGeometry(),
        description="metal and cross-section of the lines, in the place of the node's values",
    )
    precision: Literal["double", "single"] = Field(
        "double",
        description="arithmetic of in-situ tiles; single: wires to 2e-6 of each entry, gains of matrices "
        "with more inputs than samples from float32 products, faster",
    )

    def resistances(self) -> tuple[float, float]:
        """(word line, bit line) resistance of one segment in ohm.

        Raises
        ------
        ConfigError : an unknown node or metal; a geometry that cannot be; values out of range
        """
        word_line = self.word_line_resistance_ohm
        bit_line = self.bit_line_resistance_ohm
        segment = self._segment()
        if word_line is None:
            word_line = segment
        if bit_line is None:
            bit_line = segment
        return word_line, bit_line

    def _segment(self) -> float:
        """Ohm of a segment by geometry or node."""
        nodes = wire_nodes()
        if self.node not in nodes:
            raise ConfigError(
                f"wires.node = {self.node!r} is not known; known nodes: {', '.join(nodes)}"
            )
        node = nodes[self.node]
        if self.geometry != WireGeometry():
            return segment_resistance(self.geometry.over(node.geometry), self.pitch)
        if node.geometry is not None:
            return segment_resistance(node.geometry, self.pitch)
        ohm = node.two_f if self.pitch == "2F" else node.four_f
        assert ohm is not None  # a node without a geometry states both, see the tests
        return ohm


@functools.cache
def wire_nodes() -> dict[str, WireNode]:
    """Nodes of data/wires.toml by name."""
    return validated(WireNodes, packaged("wires.toml"), "data/wires.toml").nodes


@functools.cache
def wire_metals() -> Metals:
    """Metals of data/metals.toml, and where they hold."""
    return validated(Metals, packaged("metals.toml"), "data/metals.toml")


@functools.cache
def segment_resistance(geometry: WireGeometry, pitch: Literal["2F", "4F"]) -> float:
    """Ohm of one segment of a line, one cell of 2 or 4 half pitches long.

    Raises
    ------
    ConfigError : an unknown metal; no half pitch; lines that touch; values out of range
    """
    half_pitch = geometry.half_pitch_nm
    if half_pitch is None:
        raise ConfigError(
            "wires.geometry needs half_pitch_nm: wires.node states no geometry to take it from"
        )
    width = geometry.width_nm or half_pitch
    if width >= 2 * half_pitch:
        raise ConfigError(
            f"wires.geometry.width_nm = {width:g} must be below {2 * half_pitch:g}, twice "
            "half_pitch_nm: wider lines touch each other"
        )
    height = width * (geometry.aspect_ratio or 2.0)
    half_pitches = int(pitch.removesuffix("F"))
    length = half_pitches * half_pitch * METRES_PER_NM
    section = width * height * METRES_PER_NM**2
    return line_resistivity(geometry, width, height) * length / section


def line_resistivity(geometry: WireGeometry, width_nm: float, height_nm: float) -> float:
    """Ohm metre of a line: its bulk's, more by its walls and its grain boundaries.

    Both are added (Matthiessen).  The bulk's follows the temperature linearly, and the free path
    falls as it rises.
    """
    from xbarsim.kernels.circuit.wire_resistivity import (  # slow to import
        grain_factor,
        surface_factor,
    )

    known = wire_metals()
    name = geometry.metal or "copper"
    if name not in known.metals:
        raise ConfigError(
            f"wires.geometry.metal = {name!r} is not known; known metals: {', '.join(known.metals)}"
        )
    metal = known.metals[name]
    temperature = geometry.temperature_k or known.reference_k
    _check_range("temperature_k", temperature, known.valid_temperature_k)
    _check_range("width_nm (half_pitch_nm if absent)", width_nm, known.valid_width_nm)
    specularity = geometry.specularity
    if specularity is None:
        specularity = metal.specularity
    reflection = geometry.reflection
    if reflection is None:
        reflection = metal.reflection
    warmer = 1.0 + metal.temperature_coefficient_per_k * (temperature - known.reference_k)
    free_path = metal.free_path_nm / warmer
    surface = surface_factor(width_nm, height_nm, free_path, specularity)
    grains = grain_factor(geometry.grain_size_nm or width_nm, free_path, reflection)
    factor: float = surface + grains - 1.0
    return metal.resistivity_ohm_m * warmer * factor


def _check_range(key: str, value: float, valid: Range) -> None:
    low, high = valid
    if not low <= value <= high:
        raise ConfigError(
            f"wires.geometry.{key} = {value:g} is outside {low:g} ... {high:g}, where "
            "data/metals.toml holds"
        )
