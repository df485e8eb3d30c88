"""How the model of a run was trained, and the page of a directory of `xbarsim train`."""

from __future__ import annotations

import shlex
from pathlib import Path

from xbarsim.report import training_text
from xbarsim.report.page import charts
from xbarsim.report.page.contents import (
    Block,
    Card,
    Command,
    Facts,
    Fold,
    Listing,
    Part,
    Plot,
    Section,
    Sheet,
)
from xbarsim.report.page.metric_words import capital, last_name
from xbarsim.report.training_text import Record
from xbarsim.studies.training_record import AT_AN_END, ImageTrainingRecord, TrainingRecord


def blocks(record: Record | None) -> list[Block]:
    """What was trained on which chips, and the loss of every step; nothing of another model."""
    if record is None:
        return []
    rows = tuple((capital(name), text) for name, text in training_text.facts(record))
    found: list[Block] = [Facts(rows)]
    if record.loss:
        found.append(_loss(record))
    if isinstance(record, TrainingRecord):
        listing = Listing("training.toml", record.study)
        found.append(Fold("The study that it was trained by", (listing,)))
    return found


def _loss(record: Record) -> Plot:
    steps = list(range(1, len(record.loss) + 1))
    of = "epoch"
    caption = "Mean of the images of an epoch."
    series = [charts.Series(name="of an epoch", x=steps, y=record.loss)]
    if isinstance(record, TrainingRecord):
        of = "step"
        caption = (
            "Cross-entropy of the examples of a step, on its own chip where training is aware of "
            "hardware."
        )
        series = [
            charts.Series(name="of a step", x=steps, y=record.loss),
            charts.Series(name=f"mean of {AT_AN_END} steps", x=steps, y=_running(record.loss)),
        ]
    return Plot(
        key="training-loss",
        title=f"Loss of every {of}",
        caption=caption,
        figure=charts.lines(series, charts.Axes(of, "loss"), digits=4),
        sheet=Sheet((of, "loss"), tuple(zip(steps, record.loss, strict=True))),
        height=360,
    )


def _running(losses: tuple[float, ...]) -> list[float]:
    """Mean of each step and those before it, at most AT_AN_END."""
    found = []
    for step in range(1, len(losses) + 1):
        last = losses[max(step - AT_AN_END, 0) : step]
        found.append(sum(last) / len(last))
    return found


def training_part(record: Record, directory: Path) -> Part:
    """A directory of `xbarsim train`, finished or not."""
    alarm = training_text.alarm(record)
    return Part(
        title=f"Training of {last_name(record.model)}",
        subtitle=_subtitle(record),
        verdict=(_verdict(record),),
        cards=_cards(record),
        alarms=() if alarm is None else (alarm,),
        sections=(
            Section("Training", blocks(record)),
            Section("What to do with it", _next(record, directory)),
        ),
    )


def _subtitle(record: Record) -> str:
    if isinstance(record, TrainingRecord):
        return f"on {last_name(record.source)}, device {record.device}"
    return f"by {record.method}"


def _cards(record: Record) -> tuple[Card, ...]:
    if isinstance(record, ImageTrainingRecord):
        score = record.accuracy
        interval = f"95 %: {100 * score.low:.2f} to {100 * score.high:.2f}"
        return (Card("accuracy", f"{100 * score.value:.2f}", interval),)
    cards = [Card("steps", f"{record.steps:,}", f"of {record.settings.steps:,}")]
    if record.last_loss is not None:
        cards.append(Card("loss at last", f"{record.last_loss:.4f}", "mean of the last steps"))
    return tuple(cards)


def _verdict(record: Record) -> str:
    """The first of these that there is."""
    said = dict(training_text.facts(record))
    for name in ("held out", "accuracy", "loss"):
        if name in said:
            return f"{capital(name)}: {said[name]}."
    return "No step is done yet."


def _next(record: Record, directory: Path) -> list[Block]:
    command, purpose = training_text.next_command(record, directory)
    again = shlex.join(["xbarsim", "report", str(directory), "--json"])
    return [
        Command(command, f"{capital(purpose)}:"),
        Command(again, "Every figure of this page as JSON:"),
    ]
