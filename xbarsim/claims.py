"""The paper's comparison: each claim against the interval that follows from everything that is not published."""
import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from xbarsim.chip import load_chip
from xbarsim.compare import FIGURES, Space, Sweep, candidate_values, climb, ratio, sweep
from xbarsim.components import load_component, storage_area
from xbarsim.config import Table
from xbarsim.files import replacing
from xbarsim.toml_files import packaged, parse, read_text, validated
from xbarsim.units import MEGA, NANO, SQUARE_MILLIMETRE
from xbarsim.workload import load_shape


class Claim(Table):
    """A published ratio: figure of `chip` over that of the subject."""

    text: str
    chip: str
    figure: str = Field(pattern="|".join(FIGURES))
    range: tuple[float, float]


class Claims(Table):
    subject: str
    model: str
    sequence: int = Field(ge=1)
    source: str
    claim: tuple[Claim, ...]


@dataclass(frozen=True)
class Verdict:
    """A claim at one batch.

    verdict : "inside" the interval, "above" it (more is claimed than any assumption gives) or "below" it
    """

    claim: Claim
    batch: int
    sweep: Sweep

    @property
    def verdict(self):
        low, high = self.claim.range
        return "above" if low > self.sweep.high else "below" if high < self.sweep.low else "inside"


def load_claims(path=None):
    """Claims of data/claims.toml or of a file of the same form.

    Raises
    ------
    ConfigError : no such file, unknown keys or figures
    """
    where = "claims.toml" if path is None else f"claims file {path}"
    if path is None:
        content = packaged("claims.toml")
    else:
        content = parse(read_text(Path(path), where), where)
    return validated(Claims, content, where)


@dataclass(frozen=True)
class Together:
    """All claims at once, at one batch: the assumptions found that leave the least to be wanted, and the ratios there.

    ratios : ((Claim, ratio), ...);  shortfall : product over the claims of how many times the ratio is too small (1: all
    are reached);  setting : {label: value}.  Found by a climb, so a better setting may exist.
    """

    batch: int
    ratios: tuple
    shortfall: float
    setting: dict


def _together(space, claims, sweeps):
    """Climbs from where each claim alone is highest, over all assumptions at once."""
    known = space.assumptions(space.descriptions)

    def ratios(setting):
        subject = space.figures(claims.subject, setting)
        return [space.figures(c.chip, setting)[c.figure] / subject[c.figure] for c in claims.claim]

    def reached(setting):
        return math.prod(min(1.0, value / c.range[0]) for value, c in zip(ratios(setting), claims.claim, strict=True))

    candidates = {label: candidate_values(assumption) for label, assumption in known.items()}
    nominal = {label: assumption.value for label, assumption in known.items()}
    best, setting = max((climb(nominal | found.high_at, candidates, reached, 1) for found in sweeps),
                        key=lambda pair: pair[0])
    return Together(space.request[2], tuple(zip(claims.claim, ratios(setting), strict=True)), 1 / best, setting)


def judge(claims, batches=(1, 128), samples=64, held=(), progress=None):
    """([Verdict] of every claim at every batch, [Together] of every batch).

    held : labels of assumptions that stay at their value;  progress : `progress(description, total)` returns a function
    that is called after every sweep
    """
    names = dict.fromkeys([claims.subject, *(claim.chip for claim in claims.claim)])
    descriptions = {name: load_chip(name) for name in names}
    done = progress("sweeps", len(batches) * (len(claims.claim) + 1)) if progress else (lambda k: None)
    verdicts, together = [], []
    for batch in batches:
        space = Space(descriptions, claims.model, claims.sequence, batch, held)
        for claim in claims.claim:
            verdicts.append(Verdict(claim, batch, sweep(space, (claim.chip, claims.subject), ratio(claim.figure), samples)))
            done(1)
        together.append(_together(space, claims, [v.sweep for v in verdicts[-len(claims.claim):]]))
        done(1)
    return verdicts, together


def table(verdicts):
    """(header, rows) of strings, one row per claim and batch."""
    header = ("claim", "batch", "claimed", "nominal", "interval", "90 % of draws", "verdict", "hinges on")
    rows = []
    for v in verdicts:
        s, (low, high) = v.sweep, v.claim.range
        rows.append((v.claim.text, str(v.batch), f"{low:g} .. {high:g}", f"{s.nominal:.3g}", f"{s.low:.2g} .. {s.high:.3g}",
                     f"{s.quantiles[0]:.2g} .. {s.quantiles[2]:.2g}", v.verdict,
                     ", ".join(swing.assumption.label for swing in s.swings[:2])))
    return header, rows


def together_lines(found):
    """Lines that say whether one set of assumptions reaches every claim."""
    lines = []
    for t in found:
        short = ", ".join(f"{claim.chip} {claim.figure} {value:.3g} of {claim.range[0]:g}" for claim, value in t.ratios
                          if value < claim.range[0])
        lines.append(f"batch {t.batch}, all claims with the same assumptions: "
                     + (f"best found misses {short}" if short else "reached by at least one setting"))
    return lines


def write_files(verdicts, together, directory):
    """Write claims.json and swings.csv (every assumption of every claim); their paths."""
    directory = Path(directory)
    as_text, swings = directory / "claims.json", directory / "swings.csv"
    content = {"together": [
        {"batch": t.batch, "shortfall": t.shortfall, "setting": t.setting,
         "ratios": [{"claim": c.text, "ratio": value} for c, value in t.ratios]} for t in together], "claims": [{
        "claim": v.claim.text, "chip": v.claim.chip, "figure": v.claim.figure, "claimed": v.claim.range, "batch": v.batch,
        "nominal": v.sweep.nominal, "low": v.sweep.low, "high": v.sweep.high, "quantiles": v.sweep.quantiles,
        "verdict": v.verdict, "low_at": v.sweep.low_at, "high_at": v.sweep.high_at}
        for v in verdicts]}
    with replacing(as_text) as file:
        file.write(json.dumps(content, indent=1) + "\n")
    with replacing(swings, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["claim", "batch", "assumption", "value", "from", "to", "ratio at from", "ratio at to", "why"])
        for v in verdicts:
            for swing in v.sweep.swings:
                a = swing.assumption
                writer.writerow([v.claim.text, v.batch, a.label, a.value, *a.ends, swing.low, swing.high, a.why])
    return as_text, swings


def storage_rows():
    """Rows (what, computed, published) of the paper's storage estimates, recomputed from components and chips."""
    gpt3, isaac = load_shape("gpt3"), load_chip("isaac").chip
    org, mapping = isaac.organisation, isaac.mapping
    rows = []
    for name, published in (("cell-rram-4b", 274), ("cell-dram", 1646), ("cell-sram", 27440)):
        area = storage_area(gpt3.parameters, 8, load_component(name), 14 * NANO) / SQUARE_MILLIMETRE
        rows.append((f"cells of 175e9 8-bit weights at 14 nm, {name}", f"{area:.1f} mm²", f"{published} mm²"))
    capacity = (org.tiles * org.units_per_tile * org.arrays_per_unit * mapping.word_lines * mapping.bit_lines
                * mapping.bits_per_cell / 8)
    return [*rows,
            (f"ISAAC chips for GPT-3, {capacity / 2**20:g} MiB of cells each", str(math.ceil(gpt3.parameters / capacity)),
             "2777"),
            ("the same with MiB read as 1e6 bytes", str(int(gpt3.parameters / (capacity / 2**20 * MEGA))), "2777")]
