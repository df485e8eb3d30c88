"""Heads that turn sentence features into predictions, and what a study evaluates."""

import contextlib
import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, replace

import numpy as np

from xbarsim.base import cache, fetch
from xbarsim.base.errors import ConfigError, FetchError, OutOfRangeError, TaskError
from xbarsim.base.progress import silent
from xbarsim.base.workers import one_blas_thread
from xbarsim.models import int8
from xbarsim.models.architectures import load_encoder
from xbarsim.models.network import Encoder, embed
from xbarsim.models.operations import float32
from xbarsim.tasks.files import load_task
from xbarsim.tasks.metrics import METRICS, Metric, metrics
from xbarsim.tasks.task import Task, notes_on

HEADS = {"pairs": ("cosine",), "labels": ("classifier", "probe")}
PROBE_C = 10.0


# ---------------------------------------------------------------- sentences to tokens


class TokenLists(list):
    """Token ids of sentences, one int array each; `cut` (n,) bool says which of them were cut."""

    cut = np.zeros(0, bool)

    @property
    def truncated(self):
        """How many sentences were cut."""
        return int(np.count_nonzero(self.cut))


def tokenize(tokenizer, sentences, max_length):
    """Token ids with [CLS] and [SEP], cut to `max_length` -> TokenLists."""
    tokenizer.enable_truncation(max_length)
    encodings = tokenizer.encode_batch(list(sentences))
    lists = TokenLists(np.array(encoding.ids, dtype=np.int64) for encoding in encodings)
    lists.cut = np.array([bool(encoding.overflowing) for encoding in encodings], bool)
    return lists


# ---------------------------------------------------------------- heads


@dataclass(frozen=True)
class Head:
    """What makes predictions of sentence features: `kind` "cosine" (of pairs), "classifier" (the
    checkpoint's own) or "probe" (a logistic regression fitted to `examples` training sentences);
    `weight` (classes, h) and `bias`.
    """

    kind: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    examples: int = 0

    def outputs(self, features):
        """Cosines (n,) of features (2n, h) in the order of `Task.texts`, or logits (n, classes) of
        (n, h).

        Raises
        ------
        OutOfRangeError : a feature or a result that is not a finite number, such as the cosine with
            a zero
        """
        if not np.isfinite(features).all():
            wrong = np.count_nonzero(~np.isfinite(features).all(axis=1))
            raise OutOfRangeError(
                f"{wrong} of {len(features)} sentence features are not finite; look at the "
                "weights of the checkpoint, its layer_norm_eps and its pooling"
            )
        if self.kind == "cosine":
            outputs = self._cosines(features[::2], features[1::2])
        else:
            outputs = features @ self.weight.T + self.bias
        if not np.isfinite(outputs).all():
            raise OutOfRangeError(
                f"{np.count_nonzero(~np.isfinite(outputs))} outputs of the head {self.kind!r} are "
                "not finite; look at its weights (a probe is fitted again with an empty cache)"
            )
        return outputs

    @staticmethod
    def _cosines(a, b):
        without = ~(a.any(axis=1) & b.any(axis=1))
        if without.any():
            raise OutOfRangeError(
                f"{np.count_nonzero(without)} pairs have a sentence whose features are all "
                "0, which has no cosine; look at the weights of the last layer norm"
            )
        a, b = (half / np.linalg.norm(half, axis=1, keepdims=True) for half in (a, b))
        return np.einsum("nh,nh->n", a, b)

    def predict(self, features):
        """Scores (n,) of pairs, or class indices (n,)."""
        outputs = self.outputs(features)
        return outputs if self.kind == "cosine" else outputs.argmax(axis=1)


def choose_head(
    model,
    tokenizer,
    task,
    kind="auto",
    *,
    max_length=None,
    pooling="auto",
    probe_examples=2000,
    threads=None,
    progress=silent,
):
    """The head for a task, and the task with classes in the head's order and the split that was
    used.

    "auto": cosine for pairs; for labels the checkpoint's own classifier if its classes are those of
    the task, else a logistic probe.  The probe is fitted once on float32 features of at most
    `probe_examples` examples of the training part (every fifth example is for testing where the
    task states no split) and kept in the cache.

    Returns
    -------
    (Head, Task)
    """
    if kind != "auto" and kind not in HEADS[task.kind]:
        raise TaskError(
            f"head {kind!r} does not fit task {task.name!r} of kind {task.kind}; allowed are auto, "
            f"{', '.join(HEADS[task.kind])}"
        )
    if task.kind == "pairs":
        return Head("cosine"), task
    order = _classifier_order(model, task)
    if kind == "classifier" and order is None:
        has = f"classes {', '.join(model.config.labels)}" if model.head else "no classifier"
        raise TaskError(
            f"the checkpoint has {has}, task {task.name!r} has classes {', '.join(task.classes)}; use the "
            "head 'probe', or label the task with the checkpoint's classes"
        )
    if order is not None and kind != "probe":
        ordered = replace(task, targets=order[task.targets], classes=model.config.labels)
        return Head("classifier", *model.head), ordered
    task = task.split()
    probe = _probe(model, tokenizer, task, max_length, pooling, probe_examples, threads, progress)
    return probe, task


def _classifier_order(model, task):
    """Index into the checkpoint's labels of every class of the task, or None where they do not
    match.
    """
    if model.head is None:
        return None
    by_name = {label.casefold(): k for k, label in enumerate(model.config.labels)}
    by_index = {str(k): k for k in range(len(by_name))}
    for known in (by_name, by_index):
        if all(label.casefold() in known for label in task.classes):
            return np.array([known[label.casefold()] for label in task.classes])
    return None


def _probe(model, tokenizer, task, max_length, pooling, probe_examples, threads, progress):
    training = task.training().limited(probe_examples)
    if len(np.unique(training.targets)) < len(task.classes):
        raise TaskError(
            f"task {task.name!r}: its {len(training)} training examples do not show all "
            f"{len(task.classes)} classes; use more of them, or check the column 'split'"
        )
    max_length = max_length or model.config.max_tokens
    settings = json.dumps(
        ["probe 1", model.sha256, task.sha256, len(training), max_length, pooling, PROBE_C]
    )
    path = (
        cache.cache_directory()
        / "probes"
        / f"{hashlib.sha256(settings.encode()).hexdigest()[:32]}.npz"
    )
    try:
        with np.load(path) as stored:  # the file has checksums
            weight, bias = stored["weight"], stored["bias"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        tokens = tokenize(tokenizer, training.texts(), max_length)
        features = embed(
            model,
            tokens,
            pooling=pooling,
            threads=threads,
            progress=progress,
            description="fitting the probe",
        )
        weight, bias = fit_logistic(features, training.targets, len(task.classes))
        with contextlib.suppress(FetchError, OSError):  # a full disk: the next run fits it again
            cache.write_atomically(path, lambda file: np.savez(file, weight=weight, bias=bias))
    return Head("probe", weight, bias, len(training))


def fit_logistic(features, targets, classes, c=PROBE_C):
    """Multinomial logistic regression: minimises c · Σ cross-entropy + |W|² / 2 (the bias is free)
    by L-BFGS.

    features (n, h), targets (n,) int -> weight (classes, h), bias (classes,) float32.
    Deterministic: starts at 0.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    x = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    truth = np.eye(classes)[targets]
    penalised = np.r_[np.ones(x.shape[1] - 1), 0.0]

    def objective(flat):
        w = flat.reshape(classes, -1)
        logits = x @ w.T
        norm = logsumexp(logits, axis=1, keepdims=True)
        loss = c * (norm.sum() - (logits * truth).sum()) + 0.5 * (penalised * w * w).sum()
        gradient = c * (np.exp(logits - norm) - truth).T @ x + penalised * w
        return loss, gradient.ravel()

    with one_blas_thread():  # faster at this size, too
        found = minimize(
            objective,
            np.zeros(classes * x.shape[1]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-6 * c},
        )
    w = found.x.reshape(classes, -1).astype(np.float32)
    return w[:, :-1], w[:, -1]


# ---------------------------------------------------------------- what a study evaluates


@dataclass(frozen=True)
class Prepared:
    """Model, task and head of a study.

    task : classes in the head's order, with the split that was used;  metric : name of the main one
    scored : what is evaluated of the task
    tokens, calibration : token lists of the scored and of the calibration sentences
    notes : how the examples were chosen, where a reader of the score must know it
    """

    model: Encoder
    task: Task
    metric: str
    head: Head
    scored: Task
    tokens: TokenLists
    calibration: TokenLists
    notes: tuple[str, ...]


def prepare(study, threads=None, progress=silent):
    """Fetch, read and tokenize what a study evaluates.

    Raises
    ------
    ConfigError : the study's metric is not one of the task; and what model and task files raise
    """
    loaded = load_encoder(fetch.locate(study.model.name, "model", progress=progress))
    model = loaded.model
    tokenizer = loaded.tokenizer
    length = min(study.model.max_length, model.config.max_tokens)
    task = load_task(study.task.name, progress)
    metric = METRICS[task.kind][0] if study.task.metric == "auto" else study.task.metric
    if metric not in METRICS[task.kind]:
        raise ConfigError(
            f"task.metric = {metric!r} does not fit task {task.name!r} of kind {task.kind}; allowed are "
            f"auto, {', '.join(METRICS[task.kind])}"
        )
    head, task = choose_head(
        model,
        tokenizer,
        task,
        study.task.head,
        max_length=length,
        pooling=study.task.pooling,
        probe_examples=study.task.probe_examples,
        threads=threads,
        progress=progress,
    )
    scored, calibration = hold_out(task, study.task.calibration_examples, study.task.calibration)
    scored = scored.limited(study.task.limit)
    return Prepared(
        model=model,
        task=task,
        metric=metric,
        head=head,
        scored=scored,
        tokens=tokenize(tokenizer, scored.texts(), length),
        calibration=tokenize(tokenizer, calibration.texts(), length),
        notes=notes_on(task, scored, calibration),
    )


def hold_out(task, calibration_examples, calibration_task=None):
    """What is scored of a task, and the examples that calibrate ranges.

    Parameters
    ----------
    task : Task
    calibration_examples : int
    calibration_task : name or path of another task whose sentences calibrate; then all of the
        held-out part is scored

    Returns
    -------
    (Task, Task)
    """
    if calibration_task is None:
        return task.scored_and_calibration(calibration_examples)
    return task.held_out(), load_task(calibration_task).limited(calibration_examples)


# ---------------------------------------------------------------- the digital references


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`: metrics (the main one first), the head's kind, sentences cut to the
    longest length.
    """

    metrics: list[Metric]
    head: str
    truncated: int
    notes: tuple[str, ...] = ()

    def remark(self):
        """What a line on the result says beside model, task and reference."""
        cut = f"; {self.truncated} sentences truncated" if self.truncated else ""
        return f", head: {self.head}{cut}"

    def as_dict(self):
        """The main metric's fields, then every metric under "metrics", head, truncated and notes,
        for JSON."""
        everything = [asdict(metric) for metric in self.metrics]
        return everything[0] | {
            "metrics": everything,
            "head": self.head,
            "truncated": self.truncated,
            "notes": list(self.notes),
        }


def evaluate(
    model,
    tokenizer,
    task,
    reference="float32",
    *,
    head="auto",
    limit=None,
    seed=0,
    calibration_examples=64,
    calibration_task=None,
    probe_examples=2000,
    threads=None,
    progress=silent,
):
    """Score a checkpoint on a task without any hardware: in float32, or with int8 weights and
    activations.

    `limit` takes that many of the scored examples, evenly spread; `calibration_task` as in
    `hold_out`.  Nothing is calibrated in float32, so all examples
    that no probe was fitted to are scored.
    """
    if reference not in ("float32", "int8"):
        raise OutOfRangeError(f"reference is {reference!r}; allowed are float32 and int8")
    length = model.config.max_tokens
    chosen, task = choose_head(
        model,
        tokenizer,
        task,
        head,
        probe_examples=probe_examples,
        threads=threads,
        progress=progress,
    )
    if reference == "int8":
        scored, calibration = hold_out(task, calibration_examples, calibration_task)
        calibration_tokens = tokenize(tokenizer, calibration.texts(), length)
        ranges = int8.input_ranges(model, calibration_tokens, threads=threads)
        hook = int8.int8_hook(model, ranges)
    else:
        scored, calibration = task.held_out(), None
        hook = float32
    scored = scored.limited(limit)
    tokens = tokenize(tokenizer, scored.texts(), length)
    features = embed(
        model,
        tokens,
        hook,
        threads=threads,
        progress=progress,
        description=f"{reference} sentences",
    )
    return Evaluation(
        metrics(scored, chosen.predict(features), seed),
        chosen.kind,
        tokens.truncated,
        notes_on(task, scored, calibration),
    )


def evaluate_files(
    model, task, reference="float32", *, limit=None, calibration_task=None, progress=silent
):
    """`evaluate` by names or paths: `model` as in `fetch.locate`, `task` as in `load_task`."""
    task = load_task(task, progress)  # a wrong name is told before the weights are fetched
    loaded = load_encoder(fetch.locate(model, "model", progress=progress))
    return evaluate(
        loaded.model,
        loaded.tokenizer,
        task,
        reference,
        limit=limit,
        calibration_task=calibration_task,
        progress=progress,
    )
