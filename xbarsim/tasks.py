"""Labelled tasks: plain files, heads that turn sentence features into predictions, metrics with intervals.

Files
-----
A task is a UTF-8 file of sentence pairs with a score, or of sentences with a label:

- `.csv` (comma, quoted as usual), `.tsv` or `.txt` (tab, quotes are text), `.jsonl` or `.ndjson` (an object per line).
  Another suffix: JSONL if the first line starts with `{`, TSV if it holds a tab, else CSV.
- Columns by name, in any order, others ignored: `sentence1` and `sentence2` (also `sentence_1`, `sentence_a`, `text1`)
  with `score` (also `similarity`, `similarity_score`, `label`), or `sentence` (also `text`) with `label` (also `class`,
  `intent`).  An optional column `split` holds `train` or `test`.
- Without a header: three columns are sentence, sentence, score; two are sentence, label.

Class labels are sorted, numbers by value; of two classes the second is the positive one of F1.
"""
import contextlib
import csv
import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from xbarsim import bert, checkpoint, fetch, quantize
from xbarsim.errors import ConfigError, FetchError, OutOfRangeError, ShapeError, TaskError

FIRST = ("sentence1", "sentence_1", "sentence_a", "text1")
SECOND = ("sentence2", "sentence_2", "sentence_b", "text2")
SENTENCE = ("sentence", "text")
SCORE = ("score", "similarity", "similarity_score", "label")
LABEL = ("label", "class", "intent")
TEST_EVERY = 5                              # without a stated split every fifth example is for testing

METRICS = {"pairs": ("spearman", "pearson"), "labels": ("accuracy", "f1", "matthews")}
HEADS = {"pairs": ("cosine",), "labels": ("classifier", "probe")}
PROBE_C = 10.0


# ---------------------------------------------------------------- task files

@dataclass(frozen=True)
class Task:
    """Labelled sentences.

    `kind` is "pairs" (each of `sentences` a pair, `targets` float64 scores) or "labels" (each a string, `targets` int64
    indices into `classes`).  `test` is a boolean array where the file states a split, else None.  `sha256` is the
    file's.
    """

    name: str
    kind: str
    sentences: tuple
    targets: np.ndarray
    classes: tuple[str, ...]
    test: np.ndarray | None
    sha256: str

    def __len__(self):
        return len(self.sentences)

    def texts(self):
        """All sentences in one list; of pairs: first, second, first, second, ..."""
        return [text for pair in self.sentences for text in pair] if self.kind == "pairs" else list(self.sentences)

    def subset(self, indices):
        """The examples at `indices`."""
        test = None if self.test is None else self.test[indices]
        return replace(self, sentences=tuple(self.sentences[k] for k in indices), targets=self.targets[indices],
                       test=test)

    def split(self):
        """The same task with a split: its own, or else every fifth example (counted from the first) for testing."""
        return self if self.test is not None else replace(self, test=np.arange(len(self)) % TEST_EVERY == 0)

    def held_out(self):
        """The examples for testing; all of them where there is no split."""
        return self if self.test is None else self.subset(np.flatnonzero(self.test))

    def training(self):
        """The examples for training; none where there is no split."""
        return self.subset(np.flatnonzero(~self.test) if self.test is not None else np.array([], int))

    def limited(self, count):
        """At most `count` examples (None: all), evenly spread, so that those of a sorted file stay representative."""
        if count is None or count >= len(self):
            return self
        if count < 1:
            raise OutOfRangeError(f"limit is {count}; at least 1 example is needed")
        return self.subset(np.arange(count) * len(self) // count)

    def calibration(self, count):
        """`count` examples for calibrating ranges, labels unused: of the training part where there is one."""
        training = self.training()
        return (training if len(training) else self).limited(count)


def load_task(path_or_name):
    """Read a task file, or fetch and read a task that `xbarsim fetch --list` knows.

    Raises
    ------
    TaskError : with the line number, for a file that is not a task.  FetchError : for a name that cannot be fetched.
    """
    path = fetch.locate(path_or_name, "task")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TaskError(f"{path}: not a readable file ({error.strerror})") from error
    rows = _rows(path, _decoded(path, content))
    sha256 = hashlib.sha256(content).hexdigest()
    known = fetch.registry()["task"].get(str(path_or_name))
    if known and known["layout"] == "id, rating, sentence":
        return _rated(path, rows, str(path_or_name), sha256)
    return _labelled(path, rows, sha256)


def _decoded(path, content):
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8 CSV, TSV or JSONL") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TaskError(f"{path}, line {line}: a binary file; a task is a UTF-8 CSV, TSV or JSONL file")
    if not text.strip():
        raise TaskError(f"{path}: the file is empty; a task holds at least two labelled examples")
    return text


def _rows(path, text):
    """[(line number, list of cells or dict)] of the lines that are not blank."""
    first = text.lstrip().split("\n", 1)[0]
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson") or suffix not in (".csv", ".tsv", ".txt") and first.startswith("{"):
        return list(_json_rows(path, text))
    tabs = suffix in (".tsv", ".txt") or suffix != ".csv" and "\t" in first
    options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
    reader = csv.reader(io.StringIO(text, newline=""), **options)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise TaskError(f"{path}, line {reader.line_num}: not {'TSV' if tabs else 'CSV'} ({error})") from None


def _json_rows(path, text):
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise TaskError(f"{path}, line {number}: not JSON ({error}); a task in JSON holds one object on each "
                                "line") from None
            if not isinstance(row, dict):
                raise TaskError(f"{path}, line {number}: not a JSON object with named columns")
            yield number, row


def _labelled(path, rows, sha256):
    """A Task from rows with the columns that the module describes."""
    kind, places, rows = _columns(path, rows)
    sentences, targets, splits = [], [], []
    for number, row in rows:
        cells = {name: _cell(path, number, row, place) for name, place in places.items()}
        for name in ("first", "second", "sentence"):
            if not cells.get(name, "filled"):
                raise TaskError(f"{path}, line {number}: the sentence is empty")
        sentences.append((cells["first"], cells["second"]) if kind == "pairs" else cells["sentence"])
        targets.append(_number(path, number, cells["target"]) if kind == "pairs" else cells["target"])
        splits.append(cells.get("split"))
        if splits[-1] not in (None, "train", "test"):
            raise TaskError(f"{path}, line {number}: split is {splits[-1]!r}; allowed are train and test")
        if kind == "labels" and not targets[-1]:
            raise TaskError(f"{path}, line {number}: the label is empty")
    test = np.array([split == "test" for split in splits]) if "split" in places else None
    return _task(path, path.name, kind, sentences, targets, test, sha256)


def _rated(path, rows, name, sha256):
    """A Task from rows (id, mean human rating, sentence): the label is the sign of the rating, 0 being negative."""
    sentences, targets = [], []
    for number, row in rows:
        sentences.append(_cell(path, number, row, 2))
        targets.append("positive" if _number(path, number, _cell(path, number, row, 1)) > 0 else "negative")
    return _task(path, name, "labels", sentences, targets, None, sha256).split()


def _columns(path, rows):
    """(kind, {role: column}, rows without the header); a column is an index, or a key of a JSON object."""
    number, row = rows[0]
    keyed = isinstance(row, dict)
    names = {str(name).strip().lower(): name if keyed else k for k, name in enumerate(row)}

    def find(candidates):
        return next((names[name] for name in candidates if name in names), None)

    first, second, sentence = find(FIRST), find(SECOND), find(SENTENCE)
    if first is not None and second is not None:
        kind, places = "pairs", {"first": first, "second": second, "target": find(SCORE)}
    elif sentence is not None:
        kind, places = "labels", {"sentence": sentence, "target": find(LABEL)}
    elif keyed or first is not None or second is not None:
        raise TaskError(f"{path}, line {number}: columns {', '.join(map(str, row))} hold no sentence; they must be "
                        "named sentence1, sentence2, score or sentence, label")
    elif len(row) == 3:
        return "pairs", {"first": 0, "second": 1, "target": 2}, rows
    elif len(row) == 2:
        return "labels", {"sentence": 0, "target": 1}, rows
    else:
        raise TaskError(f"{path}, line {number}: {len(row)} columns and no header; without one a task has three "
                        "columns (sentence, sentence, score) or two (sentence, label); else name them in line 1")
    if places["target"] is None:
        wanted = "score" if kind == "pairs" else "label"
        raise TaskError(f"{path}, line {number}: there is no column {wanted!r} among {', '.join(map(str, row))}")
    if "split" in names:
        places["split"] = names["split"]
    return kind, places, rows if keyed else rows[1:]


def _cell(path, number, row, place):
    try:
        return str(row[place]).strip()
    except IndexError:
        raise TaskError(f"{path}, line {number}: {len(row)} columns, column {place + 1} is missing") from None
    except KeyError:
        raise TaskError(f"{path}, line {number}: there is no {place!r} in this line") from None


def _number(path, number, cell):
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise TaskError(f"{path}, line {number}: the score {cell!r} is not a finite number (if this line is a header, "
                        "name its columns sentence1, sentence2, score)")
    return value


def _task(path, name, kind, sentences, targets, test, sha256):
    if len(sentences) < 2:
        raise TaskError(f"{path}: {len(sentences)} examples; at least two are needed")
    if kind == "pairs":
        if len(set(targets)) < 2:
            raise TaskError(f"{path}: every pair has the score {targets[0]:g}; a correlation needs different scores")
        return Task(name, kind, tuple(sentences), np.array(targets, float), (), test, sha256)
    classes = _sorted_classes(path, set(targets))
    index = {label: k for k, label in enumerate(classes)}
    return Task(name, kind, tuple(sentences), np.array([index[label] for label in targets]), classes, test, sha256)


def _sorted_classes(path, labels):
    if len(labels) < 2:
        raise TaskError(f"{path}: every sentence has the label {next(iter(labels))!r}; at least two classes are needed")
    try:
        values = {label: float(label) for label in labels}
    except ValueError:
        return tuple(sorted(labels))
    if any(value != int(value) for value in values.values() if np.isfinite(value)):
        raise TaskError(f"{path}: labels such as {max(labels, key=len)!r} are no classes; scores of single sentences "
                        "are not supported: use integers or names, or pairs with a score")
    return tuple(sorted(labels, key=values.get))


# ---------------------------------------------------------------- sentences to tokens

class TokenLists(list):
    """Token ids of sentences, one int array each; `truncated` counts the sentences that were cut."""

    truncated = 0


def tokenize(tokenizer, sentences, max_length):
    """Token ids with [CLS] and [SEP], cut to `max_length` -> TokenLists."""
    tokenizer.enable_truncation(max_length)
    encodings = tokenizer.encode_batch(list(sentences))
    lists = TokenLists(np.array(encoding.ids, dtype=np.int64) for encoding in encodings)
    lists.truncated = sum(bool(encoding.overflowing) for encoding in encodings)
    return lists


# ---------------------------------------------------------------- heads

@dataclass(frozen=True)
class Head:
    """What makes predictions of sentence features: `kind` "cosine" (of pairs), "classifier" (the checkpoint's own) or
    "probe" (a logistic regression fitted to `examples` training sentences); `weight` (classes, h) and `bias`."""

    kind: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    examples: int = 0

    def outputs(self, features):
        """Cosines (n,) of features (2n, h) in the order of `Task.texts`, or logits (n, classes) of (n, h)."""
        if self.kind == "cosine":
            a, b = (half / np.linalg.norm(half, axis=1, keepdims=True) for half in (features[::2], features[1::2]))
            return np.einsum("nh,nh->n", a, b)
        return features @ self.weight.T + self.bias

    def predict(self, features):
        """Scores (n,) of pairs, or class indices (n,)."""
        outputs = self.outputs(features)
        return outputs if self.kind == "cosine" else outputs.argmax(axis=1)


def choose_head(model, tokenizer, task, kind="auto", *, max_length=None, pooling="auto", probe_examples=2000,
                 threads=None, progress=None):
    """The head for a task, and the task to score with it: its held-out part, classes in the head's order.

    "auto": cosine for pairs; for labels the checkpoint's own classifier if its classes are those of the task, else a
    logistic probe.  The probe is fitted once on float32 features of at most `probe_examples` examples of the training
    part (every fifth example is for testing where the task states no split) and kept in the cache.
    `progress(description, total)` is called before a long pass and returns the function `done(k)` to call on the way.

    Returns
    -------
    (Head, Task)
    """
    if kind != "auto" and kind not in HEADS[task.kind]:
        raise TaskError(f"head {kind!r} does not fit task {task.name!r} of kind {task.kind}; allowed are auto, "
                        f"{', '.join(HEADS[task.kind])}")
    if task.kind == "pairs":
        return Head("cosine"), task.held_out()
    order = _classifier_order(model, task)
    if kind == "classifier" and order is None:
        has = f"classes {', '.join(model.config.labels)}" if model.head else "no classifier"
        raise TaskError(f"the checkpoint has {has}, task {task.name!r} has classes {', '.join(task.classes)}; use the "
                        "head 'probe', or label the task with the checkpoint's classes")
    if order is not None and kind != "probe":
        scored = replace(task, targets=order[task.targets], classes=model.config.labels)
        return Head("classifier", *model.head), scored.held_out()
    task = task.split()
    return _probe(model, tokenizer, task, max_length, pooling, probe_examples, threads, progress), task.held_out()


def _classifier_order(model, task):
    """Index into the checkpoint's labels of every class of the task, or None where they do not match."""
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
        raise TaskError(f"task {task.name!r}: its {len(training)} training examples do not show all "
                        f"{len(task.classes)} classes; use more of them, or check the column 'split'")
    max_length = max_length or model.config.max_tokens
    settings = json.dumps(["probe 1", model.sha256, task.sha256, len(training), max_length, pooling, PROBE_C])
    path = fetch.cache_directory() / "probes" / f"{hashlib.sha256(settings.encode()).hexdigest()[:32]}.npz"
    try:
        with np.load(path) as stored:  # the file has checksums
            weight, bias = stored["weight"], stored["bias"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        tokens = tokenize(tokenizer, training.texts(), max_length)
        done = progress and progress("fitting the probe", len(tokens))
        features = bert.embed(model, tokens, pooling=pooling, threads=threads, progress=done)
        weight, bias = fit_logistic(features, training.targets, len(task.classes))
        with contextlib.suppress(FetchError, OSError):  # a full disk: the next run fits it again
            fetch.write_atomically(path, lambda file: np.savez(file, weight=weight, bias=bias))
    return Head("probe", weight, bias, len(training))


def fit_logistic(features, targets, classes, c=PROBE_C):
    """Multinomial logistic regression: minimises c · Σ cross-entropy + |W|² / 2 (the bias is free) by L-BFGS.

    features (n, h), targets (n,) int -> weight (classes, h), bias (classes,) float32.  Deterministic: starts at 0.
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

    with threadpool_limits(limits=1, user_api="blas"):   # the same bits on any machine load, and faster at this size
        found = minimize(objective, np.zeros(classes * x.shape[1]), jac=True, method="L-BFGS-B",
                         options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-6 * c})
    w = found.x.reshape(classes, -1).astype(np.float32)
    return w[:, :-1], w[:, -1]


# ---------------------------------------------------------------- metrics

@dataclass(frozen=True)
class Metric:
    """A metric's value and its 95 % bootstrap interval over n examples."""

    metric: str
    value: float
    low: float
    high: float
    n: int


def metrics(task, predictions, seed=0, resamples=1000):
    """Every metric of the task's kind, the first being the main one.

    The interval is the percentile bootstrap: 2.5 % and 97.5 % quantiles over `resamples` draws of n examples with
    replacement.  Conventions where a metric is undefined, in a draw as in the whole: a correlation with a constant is
    0, the F1 of a class that neither occurs nor is predicted is left out of the macro mean.

    Parameters
    ----------
    task : Task
    predictions : (n,) scores of pairs, or class indices
    seed : int; same seed, same interval

    Returns
    -------
    list of Metric
    """
    values, draws = _resampled(task, predictions, seed, resamples)
    result = []
    for name in METRICS[task.kind]:
        low, high = np.quantile(draws[name], [0.025, 0.975])
        result.append(Metric(name, float(values[name]), float(low), float(high), len(task)))
    return result


def change(task, predictions, reference, metric, seed=0, resamples=1000):
    """What a metric changes from `reference` (n,) to predictions (k, n) of k chips, in the mean over the chips.

    The interval is that of `metrics`, paired: every draw takes the same examples for the reference and all chips, so that
    what they have in common cancels.

    Returns
    -------
    Metric
    """
    before, before_draws = _resampled(task, reference, seed, resamples)
    after = [_resampled(task, one, seed, resamples) for one in predictions]
    value = np.mean([values[metric] for values, _ in after]) - before[metric]
    draws = np.mean([draws[metric] for _, draws in after], axis=0) - before_draws[metric]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Metric(metric, float(value), float(low), float(high), len(task))


def _resampled(task, predictions, seed, resamples):
    """({metric: value}, {metric: (resamples,) values of bootstrap draws}); the draws depend on seed and n alone."""
    predictions = np.asarray(predictions)
    if predictions.shape != task.targets.shape:
        raise ShapeError(f"{predictions.shape} predictions for {len(task)} examples of task {task.name!r}")
    if not np.isfinite(predictions).all():
        broken = np.count_nonzero(~np.isfinite(predictions))
        raise OutOfRangeError(f"{broken} of {len(task)} predictions are not finite")
    measures = {"pairs": _correlations, "labels": _agreements}[task.kind](task, predictions)
    n, rng = len(task), np.random.default_rng(seed)
    blocks = [measures(_draws(rng, n, min(100, resamples - start))) for start in range(0, resamples, 100)]
    values = measures(np.ones((1, n)))
    return ({name: found[0] for name, found in values.items()},
            {name: np.concatenate([block[name] for block in blocks]) for name in values})


def _draws(rng, n, count):
    """How often each of n examples occurs in `count` bootstrap draws: (count, n) float64."""
    drawn = rng.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(float)


def _correlations(task, predictions):
    """Function of counts (r, n) -> Spearman and Pearson (r,) of the examples repeated so often."""
    def measures(counts):
        return {"spearman": _correlation(counts, _ranks(counts, task.targets), _ranks(counts, predictions)),
                "pearson": _correlation(counts, task.targets, predictions)}
    return measures


def _ranks(counts, values):
    """Mid-ranks (r, n) of values (n,) repeated counts (r, n) times."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    group = np.empty(len(values), int)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(values)]))
    size = np.add.reduceat(counts[:, order], starts, axis=1)
    return (np.cumsum(size, axis=1) - size + (size + 1) / 2)[:, group]


def _correlation(counts, x, y):
    """Pearson correlation (r,) of x and y, (n,) or (r, n), weighted by counts (r, n); 0 where one is constant."""
    def centred(values):
        mean = (counts * values).sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
        difference = values - mean
        return np.where(np.abs(difference) > 1e-12 * np.abs(values).max(), difference, 0)    # less is rounding

    x, y = centred(x), centred(y)
    xx, yy, xy = ((counts * p * q).sum(axis=1) for p, q in ((x, x), (y, y), (x, y)))
    return _ratio(xy, np.sqrt(xx * yy))


def _agreements(task, predictions):
    """Function of counts (r, n) -> accuracy, F1 and Matthews correlation (r,) of the examples repeated so often."""
    classes = len(task.classes)
    truth, predicted = np.eye(classes)[task.targets], np.eye(classes)[predictions]

    def measures(counts):
        n = counts.shape[1]
        right, true, made = counts @ (truth * predicted), counts @ truth, counts @ predicted      # (r, classes)
        f1 = _ratio(2 * right, true + made)
        binary = classes == 2
        macro = _ratio(f1.sum(axis=1), np.count_nonzero(true + made, axis=1))
        # Gorodkin, Comput. Biol. Chem. 28 (2004) 367: the multi-class R_K; for two classes Matthews' correlation
        covariance = right.sum(axis=1) * n - (true * made).sum(axis=1)
        spread = np.sqrt((n ** 2 - (true ** 2).sum(axis=1)) * (n ** 2 - (made ** 2).sum(axis=1)))
        return {"accuracy": right.sum(axis=1) / n, "f1": f1[:, 1] if binary else macro,
                "matthews": _ratio(covariance, spread)}
    return measures


def _ratio(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a, dtype=float), where=b > 0)


# ---------------------------------------------------------------- what a study evaluates

@dataclass(frozen=True)
class Prepared:
    """Model, task and head of a study.

    task : as its file states it;  metric : name of the main one
    scored : what is evaluated of the task, classes in the head's order
    tokens, calibration : token lists of the scored and of the calibration sentences
    """

    model: checkpoint.BertModel
    task: Task
    metric: str
    head: Head
    scored: Task
    tokens: TokenLists
    calibration: TokenLists


def prepare(study, threads=None, progress=None):
    """Fetch, read and tokenize what a study evaluates; `progress` as in `choose_head`.

    Raises
    ------
    ConfigError : the study's metric is not one of the task; and what model and task files raise
    """
    directory = fetch.locate(study.model.name, "model")
    model, tokenizer = checkpoint.load_bert(directory), checkpoint.load_tokenizer(directory)
    length = min(study.model.max_length, model.config.max_tokens)
    task = load_task(study.task.name)
    metric = METRICS[task.kind][0] if study.task.metric == "auto" else study.task.metric
    if metric not in METRICS[task.kind]:
        raise ConfigError(f"task.metric = {metric!r} does not fit task {task.name!r} of kind {task.kind}; allowed are "
                          f"auto, {', '.join(METRICS[task.kind])}")
    head, scored = choose_head(model, tokenizer, task, study.task.head, max_length=length, pooling=study.task.pooling,
                               probe_examples=study.task.probe_examples, threads=threads, progress=progress)
    scored = scored.limited(study.task.limit)
    return Prepared(model, task, metric, head, scored, tokenize(tokenizer, scored.texts(), length),
                    tokenize(tokenizer, task.calibration(study.task.calibration_examples).texts(), length))


# ---------------------------------------------------------------- the digital references

@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`: metrics (the main one first), the head's kind, sentences cut to the longest length."""

    metrics: list[Metric]
    head: str
    truncated: int

    def as_dict(self):
        """The main metric's fields, then every metric under "metrics", head and truncated, for JSON."""
        everything = [asdict(metric) for metric in self.metrics]
        return everything[0] | {"metrics": everything, "head": self.head, "truncated": self.truncated}


def evaluate(model, tokenizer, task, reference="float32", *, head="auto", limit=None, seed=0, calibration_examples=64,
             probe_examples=2000, threads=None, progress=None):
    """Score a checkpoint on a task without any hardware: in float32, or with int8 weights and activations.

    `limit` takes that many of the scored examples, evenly spread; `progress` as in `choose_head`.
    """
    if reference not in ("float32", "int8"):
        raise OutOfRangeError(f"reference is {reference!r}; allowed are float32 and int8")
    length = model.config.max_tokens
    chosen, scored = choose_head(model, tokenizer, task, head, probe_examples=probe_examples, threads=threads,
                                 progress=progress)
    scored = scored.limited(limit)
    linear = bert.linear
    if reference == "int8":
        calibration = tokenize(tokenizer, task.calibration(calibration_examples).texts(), length)
        linear = quantize.int8_linear(model, quantize.input_ranges(model, calibration, threads=threads))
    tokens = tokenize(tokenizer, scored.texts(), length)
    done = progress and progress(f"{reference} sentences", len(tokens))
    features = bert.embed(model, tokens, linear, threads=threads, progress=done)
    return Evaluation(metrics(scored, chosen.predict(features), seed), chosen.kind, tokens.truncated)


def evaluate_files(model, task, reference="float32", *, limit=None, progress=None):
    """`evaluate` by names or paths: `model` as in `fetch.locate`, `task` as in `load_task`."""
    task = load_task(task)                                # a wrong name is told before the weights are fetched
    directory = fetch.locate(model, "model")
    return evaluate(checkpoint.load_bert(directory), checkpoint.load_tokenizer(directory), task, reference, limit=limit,
                    progress=progress)
