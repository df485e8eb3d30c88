"""What the predicted tokens of decoders say, as text."""

from xbarsim.report.metric_form import form_of
from xbarsim.report.summary import Summary, named_paths
from xbarsim.studies.scores import TokenFigures
from xbarsim.tasks.language_metrics import NORMALISED

Named = list[tuple[str, TokenFigures]]  # of the paths that have them


def token_tables(summary: Summary) -> list[str]:
    """Bits per byte or normalised accuracy of every path, and the perplexity by position."""
    named: Named = []
    for name, path in named_paths(summary):
        if path.tokens is not None:
            named.append((name, path.tokens))
    if not named:
        return []
    return ["", *_bits(named), *_normalised(named), *_positions(named)]


def _bits(named: Named) -> list[str]:
    found = [
        f"{name} {figures.bits_per_byte:.4f}"
        for name, figures in named
        if figures.bits_per_byte is not None
    ]
    return ["bits per byte  " + ", ".join(found)] if found else []


def _normalised(named: Named) -> list[str]:
    form = form_of(NORMALISED)
    found = [
        f"{name} {form.estimate(figures.normalised)}"
        for name, figures in named
        if figures.normalised is not None
    ]
    return [f"{form.heading}, per byte of the choice  " + ", ".join(found)] if found else []


def _positions(named: Named) -> list[str]:
    """A line per bin of positions, a column per path."""
    widths = [max(len(name), 12) + 2 for name, _ in named]
    headings = "".join(f"{name:>{width}}" for (name, _), width in zip(named, widths, strict=True))
    lines = [
        "perplexity by the number of tokens before the predicted one",
        f"{'tokens before':<16}{'predictions':>12}{headings}",
    ]
    by_path = [figures.by_position for _, figures in named]
    for number, one in enumerate(by_path[0]):
        cells = ""
        for bins, width in zip(by_path, widths, strict=True):
            text = f"{bins[number].perplexity:.3f}" if number < len(bins) else ""
            cells += f"{text:>{width}}"
        lines.append(f"{f'{one.first} .. {one.last}':<16}{one.predictions:>12,}{cells}")
    return lines
