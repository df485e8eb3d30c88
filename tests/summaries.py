"""Summaries made by hand, of which a test states what it looks at."""

from dataclasses import replace

from xbarsim.report.energy import Cost
from xbarsim.report.summary import CaseSummary, OverChips, PathSummary, Summary
from xbarsim.studies.scores import Estimate
from xbarsim.studies.trace_layout import RunAttributes

RUN = RunAttributes(
    software_version="0",
    created="now",
    complete=True,
    seed=1,
    study='name = "s"',
    model="model",
    model_sha256="",
    task="task",
    task_sha256="",
    task_kind="labels",
    metric="accuracy",
    head="probe",
    classes=2,
    truncated_sentences=0,
    heads=2,
)


def reference(name, value, low, high, examples=100):
    return PathSummary(name=name, metric=Estimate(value, low, high), examples=examples)


def case(name, value, low, high, *, examples=100, chips=(), over=(None, None), **parts):
    """A case; over : interval over chips;  parts : fields of CaseSummary."""
    stated = {"study": "", "change": None, "cost": Cost({}, {}, ())} | parts
    return CaseSummary(
        name=name,
        metric=Estimate(value, low, high),
        examples=examples,
        chips=OverChips(tuple(chips), *over),
        **stated,
    )


def summary(*cases, path="runs/x.h5", references=(), examples=100, tokens=1000, **run):
    """A summary of cases; run : changes of RUN."""
    return Summary(
        path=path,
        study="s",
        run=replace(RUN, **run),
        examples=examples,
        tokens=tokens,
        sentences=examples,
        references=tuple(references),
        cases=cases,
    )
