"""The paper's comparison: each claim against the interval that follows from everything that is not
published.
"""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing
from xbarsim.base.progress import Progress, silent
from xbarsim.base.toml_files import packaged, parse, read_text, validated
from xbarsim.base.units import MEGA, NANO, SQUARE_MILLIMETRE
from xbarsim.chips.compare import FIGURES
from xbarsim.chips.components import load_component, storage_area
from xbarsim.chips.in_situ import InSitu
from xbarsim.chips.load import load_chip
from xbarsim.chips.uncertainty import (
    Extent,
    Ratio,
    Setting,
    Space,
    all_candidates,
    climb,
    climb_by_pairs,
    extent_of,
    nominal_setting,
    that_matter,
)
from xbarsim.config.tables import Table
from xbarsim.models.shapes import load_shape


class Claim(Table):
    """A published ratio: figure of `chip` over that of the subject."""

    text: str
    chip: str
    figure: str = Field(pattern="^(" + "|".join(FIGURES) + ")$")
    range: tuple[float, float]


class Claims(Table):
    subject: str
    model: str
    sequence: int = Field(ge=1)
    source: str
    claim: tuple[Claim, ...]


@dataclass(frozen=True)
class Verdict:
    """A claim at one length of sequences and one batch.

    verdict : "inside" the interval, "above" it (more is claimed than any assumption gives) or
        "below" it
    """

    claim: Claim
    sequence: int
    batch: int
    extent: Extent

    @property
    def verdict(self) -> str:
        low, high = self.claim.range
        if low > self.extent.high:
            return "above"
        if high < self.extent.low:
            return "below"
        return "inside"


def load_claims(path: str | Path | None = None) -> Claims:
    """Claims of data/claims.toml or of a file of the same form.

    Raises
    ------
    ConfigError : no such file, unknown keys or figures
    """
    if path is None:
        where = "claims.toml"
        content = packaged(where)
    else:
        where = f"claims file {path}"
        content = parse(read_text(Path(path), where), where)
    claims: Claims = validated(Claims, content, where)
    return claims


# ---------------------------------------------------------------- every claim, and all of them at once


@dataclass(frozen=True)
class Together:
    """All claims at once, at one batch: the assumptions found that leave the least to be wanted,
    and the ratios there.

    shortfall : product over the claims of how many times the ratio is too small (1: all are
        reached)
    setting : {label: value}.  No pair of moves improves it, but a better setting may exist.
    """

    batch: int
    ratios: tuple[tuple[Claim, float], ...]
    shortfall: float
    setting: Setting


def judge(
    claims: Claims,
    batches: Sequence[int] = (1, 128),
    samples: int = 64,
    held: Sequence[str] = (),
    progress: Progress = silent,
) -> tuple[list[Verdict], list[Together]]:
    """Verdicts on every claim at every batch, and all claims together at every batch.

    held : labels of assumptions that stay at their value
    """
    names = dict.fromkeys([claims.subject, *(claim.chip for claim in claims.claim)])
    descriptions = {name: load_chip(name) for name in names}
    steps = len(batches) * (len(claims.claim) + 1)
    done = progress("claims tried", steps)
    verdicts: list[Verdict] = []
    together = []
    for batch in batches:
        space = Space(descriptions, claims.model, claims.sequence, batch, held)
        of_batch = []
        for claim in claims.claim:
            chips = claim.chip, claims.subject
            of_batch.append(
                Verdict(
                    claim,
                    claims.sequence,
                    batch,
                    extent_of(space, chips, Ratio(claim.figure), samples),
                )
            )
            done(1)
        together.append(all_together(space, claims, of_batch))
        verdicts += of_batch
        done(1)
    return verdicts, together


def all_together(space: Space, claims: Claims, verdicts: Iterable[Verdict]) -> Together:
    """Together of one batch: climbs from where each claim alone is highest, over all assumptions
    at once.
    """
    known = space.assumptions(space.descriptions)
    candidates = all_candidates(known)

    def reached(setting: Setting) -> float:
        return share_reached(ratios_at(space, claims, setting))

    climbs = []
    for verdict in verdicts:
        start = nominal_setting(known) | verdict.extent.high_at
        climbs.append(climb(start, candidates, reached, 1))
    best, setting = max(climbs, key=lambda pair: pair[0])
    if best < 1:
        labels = that_matter(candidates, reached, [setting])
        moving = {label: known[label] for label in labels}
        best, setting = climb_by_pairs(setting, moving, reached, 1)
    batch = space.workload.batch
    return Together(batch, ratios_at(space, claims, setting), 1 / best, setting)


def ratios_at(space: Space, claims: Claims, setting: Setting) -> tuple[tuple[Claim, float], ...]:
    """((Claim, ratio), ...) with the same assumptions for all chips."""
    subject = space.figures(claims.subject, setting)
    ratios = []
    for claim in claims.claim:
        other = space.figures(claim.chip, setting)
        ratios.append((claim, other[claim.figure] / subject[claim.figure]))
    return tuple(ratios)


def share_reached(ratios: Iterable[tuple[Claim, float]]) -> float:
    """Product over the claims of ratio over claimed ratio, where that is below 1."""
    return math.prod(min(1.0, value / claim.range[0]) for claim, value in ratios)


# ---------------------------------------------------------------- tables and files


def table(verdicts: Iterable[Verdict]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(header, rows) of strings, one row per claim and batch."""
    header = (
        "claim",
        "tokens",
        "batch",
        "claimed",
        "nominal",
        "interval",
        "90 % of draws",
        "verdict",
        "hinges on",
    )
    return header, [_table_row(verdict) for verdict in verdicts]


def _table_row(verdict: Verdict) -> tuple[str, ...]:
    found = verdict.extent
    low, high = verdict.claim.range
    draws = f"{found.quantiles[0]:.2g} .. {found.quantiles[2]:.2g}"
    if math.isnan(found.quantiles[0]):
        draws = "-"
    hinges = ", ".join(swing.assumption.label for swing in found.swings[:2])
    return (
        verdict.claim.text,
        str(verdict.sequence),
        str(verdict.batch),
        f"{low:g} .. {high:g}",
        f"{found.nominal:.3g}",
        f"{found.low:.2g} .. {found.high:.3g}",
        draws,
        verdict.verdict,
        hinges,
    )


def together_lines(found: Iterable[Together]) -> list[str]:
    """Lines that say whether one set of assumptions reaches every claim."""
    lines = []
    for together in found:
        missed = [
            f"{claim.chip} {claim.figure} {value:.3g} of {claim.range[0]:g}"
            for claim, value in together.ratios
            if value < claim.range[0]
        ]
        said = "reached by at least one setting"
        if missed:
            said = "best found misses " + ", ".join(missed)
        lines.append(f"batch {together.batch}, all claims with the same assumptions: {said}")
    return lines


def as_json(verdicts: Iterable[Verdict], together: Iterable[Together]) -> dict[str, Any]:
    """{"together", "claims"} as plain values.  Ratios have no unit; a value of an assumption has
    that of its key.
    """
    return {
        "together": [_together_json(found) for found in together],
        "claims": [_verdict_json(verdict) for verdict in verdicts],
    }


def _together_json(found: Together) -> dict[str, Any]:
    ratios = [{"claim": claim.text, "ratio": value} for claim, value in found.ratios]
    return {
        "batch": found.batch,
        "shortfall": found.shortfall,
        "setting": found.setting,
        "ratios": ratios,
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    found = verdict.extent
    quantiles = [None if math.isnan(value) else value for value in found.quantiles]
    return {
        "claim": claim.text,
        "chip": claim.chip,
        "figure": claim.figure,
        "claimed": claim.range,
        "sequence": verdict.sequence,
        "batch": verdict.batch,
        "nominal": found.nominal,
        "low": found.low,
        "high": found.high,
        "quantiles": quantiles,
        "verdict": verdict.verdict,
        "low_at": found.low_at,
        "high_at": found.high_at,
    }


def write_files(
    verdicts: Sequence[Verdict], together: Sequence[Together], directory: str | Path
) -> tuple[Path, Path]:
    """Write claims.json and swings.csv (every assumption of every claim); their paths."""
    directory = Path(directory)
    as_text = directory / "claims.json"
    swings = directory / "swings.csv"
    with replacing(as_text) as file:
        file.write(json.dumps(as_json(verdicts, together), indent=1, ensure_ascii=False) + "\n")
    with replacing(swings, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "claim",
                "batch",
                "assumption",
                "value (unit of the key)",
                "from (unit of the key)",
                "to (unit of the key)",
                "ratio at from",
                "ratio at to",
                "why",
                "sequence (tokens)",
            ]
        )
        for verdict in verdicts:
            for swing in verdict.extent.swings:
                known = swing.assumption
                writer.writerow(
                    [
                        verdict.claim.text,
                        verdict.batch,
                        known.label,
                        known.value,
                        *known.ends,
                        swing.low,
                        swing.high,
                        known.why,
                        verdict.sequence,
                    ]
                )
    return as_text, swings


# ---------------------------------------------------------------- storage


def storage_rows() -> list[tuple[str, str, str]]:
    """Rows (what, computed, published) of the paper's storage estimates, recomputed from
    components and chips.
    """
    gpt3 = load_shape("gpt3")
    weights = gpt3.parameters
    isaac = load_chip("isaac").chip
    if weights is None or not isinstance(isaac, InSitu):
        raise ConfigError("data/models.toml and data/chips lack what the estimates are made of")
    rows = []
    for name, published in (("cell-rram-4b", 274), ("cell-dram", 1646), ("cell-sram", 27440)):
        area = storage_area(weights, 8, load_component(name), 14 * NANO) / SQUARE_MILLIMETRE
        rows.append(
            (
                f"cells of 175e9 8-bit weights at 14 nm, {name}",
                f"{area:.1f} mm²",
                f"{published} mm²",
            )
        )
    organisation = isaac.organisation
    if organisation.tiles == "fit":
        raise ConfigError("isaac states no tiles")
    cells = organisation.tiles * organisation.units_per_tile * isaac.cells_per_unit
    capacity = cells * isaac.mapping.bits_per_cell / 8  # bytes
    mebibytes = capacity / 2**20
    return [
        *rows,
        (
            f"ISAAC chips for GPT-3, {mebibytes:g} MiB of cells each",
            str(math.ceil(weights / capacity)),
            "2777",
        ),
        (
            "the same with MiB read as 1e6 bytes",
            str(int(weights / (mebibytes * MEGA))),
            "2777",
        ),
    ]
