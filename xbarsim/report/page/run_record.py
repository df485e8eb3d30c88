"""All that a page says of a run, from one reading of its trace."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xbarsim import config
from xbarsim.config.study import Study
from xbarsim.report import accuracy_and_cost
from xbarsim.report.accuracy_and_cost import Row
from xbarsim.report.summary import CaseSummary, Summary, summarise
from xbarsim.report.tile_figures import TileFigures, tile_figures
from xbarsim.studies.trace_layout import Sources
from xbarsim.studies.trace_reader import read_trace


@dataclass(frozen=True)
class RunRecord:
    """A run.

    studies : {case: its complete study};  tiles : {case: {matrix: its tiles}}
    rows : its cases on chips;  not_joined : why chips do not price them
    sources : texts of device and chip files as they were
    """

    summary: Summary
    studies: Mapping[str, Study]
    tiles: Mapping[str, Mapping[str, TileFigures]]
    rows: tuple[Row, ...]
    not_joined: tuple[str, ...]
    sources: Sources

    @property
    def cases(self) -> tuple[CaseSummary, ...]:
        return self.summary.cases


def read_run(path: str | Path, chips: Sequence[str] = (), batch: int = 1) -> RunRecord:
    """The record of a trace; chips, batch, errors : as of `accuracy_and_cost.join`."""
    trace = read_trace(path)
    summary = summarise(trace)
    return RunRecord(
        summary=summary,
        studies={case.name: _study(case) for case in summary.cases},
        tiles=tile_figures(trace),
        rows=tuple(accuracy_and_cost.join([summary], chips, batch)),
        not_joined=tuple(accuracy_and_cost.not_joined([summary], chips)),
        sources=trace.sources,
    )


def _study(case: CaseSummary) -> Study:
    return config.validate(tomllib.loads(case.study), f"case {case.name!r}")
