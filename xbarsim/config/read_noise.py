"""Table of a study about the read noise of the cells of weights."""

from typing import Literal

from pydantic import Field

from xbarsim.config.tables import Table


class ReadNoise(Table):
    """How the noise of cells reaches the bit lines."""

    correlation: Literal["independent", "process"] = Field(
        "independent",
        description="1/f and telegraph noise of weights: drawn anew at every token, or one process per cell "
        "from token to token",
    )
    token_interval_s: float = Field(
        1e-3, gt=0, le=1e9, description="from one token to the next, of `process`"
    )
    sequence_tokens: int = Field(
        512,
        ge=1,
        le=10**9,
        description="from the first token of a sequence to that of the next, of `process`",
    )
    wires: Literal["attenuation", "adjoint"] = Field(
        "attenuation",
        description="of a cell's fluctuation as much as of its signal, or what the adjoint of the wires says",
    )
