"""How a metric is written: fractions times 100, a perplexity as it is."""

from dataclasses import dataclass

from xbarsim.base.units import change_x100, interval_x100
from xbarsim.studies.scores import Estimate
from xbarsim.tasks.language_metrics import PERPLEXITY

PAIRED = "minus float32, paired"


@dataclass(frozen=True)
class MetricForm:
    """heading, change : of the columns of the metric, of its change from float32
    scale : from natural units to what is written and drawn;  digits : after the point
    lowest, highest : of the metric, as it is written
    """

    heading: str
    change: str
    scale: float
    digits: int
    lowest: float
    highest: float

    def value(self, value: float) -> str:
        return f"{self.scale * value:.{self.digits}f}"

    def interval(self, low: float, high: float) -> str:
        if self.scale == 100:
            return interval_x100(low, high)
        return f"{self.value(low)} .. {self.value(high)}"

    def estimate(self, estimate: Estimate) -> str:
        """Value and interval."""
        return f"{self.value(estimate.value)} ({self.interval(estimate.low, estimate.high)})"

    def changed(self, change: Estimate) -> str:
        """A change and its interval: percent, or differences times 100."""
        return change_x100(change.value, change.low, change.high)


def form_of(metric: str) -> MetricForm:
    """The form of a metric by its name."""
    if metric == PERPLEXITY:
        return MetricForm(
            heading=PERPLEXITY,
            change="over float32 in %, paired",
            scale=1.0,
            digits=3,
            lowest=1.0,
            highest=float("inf"),
        )
    is_share = metric.startswith("accuracy") or metric == "f1"
    return MetricForm(
        heading=f"{metric} x 100",
        change=PAIRED,
        scale=100.0,
        digits=2,
        lowest=0.0 if is_share else -100.0,
        highest=100.0,
    )
