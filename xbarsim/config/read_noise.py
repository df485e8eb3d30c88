"""Table of a study about the read noise of the cells of weights."""

from typing import Literal

from pydantic import Field

from xbarsim.config.tables import Table


class ReadNoise(Table):
    """How the noise of cells reaches the bit lines."""

    wires: Literal["attenuation", "adjoint"] = Field(
        "attenuation",
        description="of a cell's fluctuation as much as of its signal, or what the adjoint of the wires says",
    )
