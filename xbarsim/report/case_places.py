"""Where the cases of a trace stand in a table, as the keys `row` and `column` of each say."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass

from xbarsim.report.summary import CaseSummary


@dataclass(frozen=True)
class Place:
    """row : also the curve of a case against a key;  column : None for a case in no table"""

    row: str | None
    column: str | None


def place_of(case: CaseSummary) -> Place:
    """The place that the study of a case states."""
    study = tomllib.loads(case.study)
    return Place(study.get("row"), study.get("column"))


def table_of(cases: Iterable[CaseSummary]) -> dict[str, dict[str, CaseSummary]]:
    """{row: {column: case}} of the cases that have both; cases without are left out."""
    rows: dict[str, dict[str, CaseSummary]] = {}
    for case in cases:
        place = place_of(case)
        if place.row is not None and place.column is not None:
            rows.setdefault(place.row, {})[place.column] = case
    return rows
