"""What a metric is called on a page, and how its figures are written there."""

import re
from dataclasses import dataclass

from xbarsim.base.units import change_x100, engineering, interval_x100
from xbarsim.report.metric_form import MetricForm, form_of
from xbarsim.studies.scores import Estimate
from xbarsim.tasks.language_metrics import NORMALISED, PERPLEXITY

NAMES = {
    "accuracy": "accuracy",
    "f1": "F1 score",
    "matthews": "Matthews correlation",
    "spearman": "Spearman correlation",
    "pearson": "Pearson correlation",
    NORMALISED: "accuracy, per byte of the choice",
    PERPLEXITY: "perplexity",
}
MINUS = "\N{MINUS SIGN}"
PERCENT = "\N{NO-BREAK SPACE}%"  # behind its value
SHARES = ("accuracy", "f1", NORMALISED)


@dataclass(frozen=True)
class MetricWords:
    """name : within a sentence;  axis : with its unit
    unit : behind a value, " %" of shares;  points : behind a difference
    """

    name: str
    axis: str
    unit: str
    points: str
    form: MetricForm
    lower_is_better: bool

    def value(self, value: float) -> str:
        return f"{self.form.value(value)}{self.unit}"

    def loss(self, value: float) -> float:
        """What should be small."""
        return value if self.lower_is_better else -value

    def interval(self, low: float, high: float) -> str:
        return f"{self.form.value(low)} to {self.form.value(high)}{self.unit}"

    def change(self, change: Estimate) -> str:
        """A change, and its interval."""
        return typeset(change_x100(change.value, change.low, change.high))

    def change_interval(self, change: Estimate) -> str:
        """The interval of a change by itself."""
        return typeset(interval_x100(change.low, change.high)) + self.points

    def scaled(self, value: float) -> float:
        """As it is drawn."""
        return self.form.scale * value


def words_of(metric: str) -> MetricWords:
    """The words of a metric by its name."""
    form = form_of(metric)
    name = NAMES.get(metric, metric)
    if metric == PERPLEXITY:
        return MetricWords(name, "perplexity", "", PERCENT, form, lower_is_better=True)
    if metric in SHARES:
        return MetricWords(name, f"{name} (%)", PERCENT, " points", form, lower_is_better=False)
    return MetricWords(name, f"{name} × 100", "", " × 100", form, lower_is_better=False)


def capital(text: str) -> str:
    """A text that begins a sentence."""
    return text[:1].upper() + text[1:]


def last_name(name: str) -> str:
    """A name, or the last part of a path."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] or name


def quantity(value: float, unit: str) -> str:
    """A value with an SI prefix, on one line."""
    return engineering(value, unit).replace(" ", "\N{NO-BREAK SPACE}")


def typeset(text: str) -> str:
    """Figures of a text table as a page has them: a minus sign, and a word between two ends."""
    return re.sub(r"-(?=[\d.])", MINUS, text).replace(" .. ", " to ")
