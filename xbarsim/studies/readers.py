"""What is read off the passes of a batch: outputs of a head, or probabilities of tokens."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xbarsim.base.array_types import Booleans, Floats, Integers, Singles
from xbarsim.models.batches import pad
from xbarsim.models.image_network import ImageNetwork
from xbarsim.models.network import Decoder, Encoder, Network
from xbarsim.models.operations import Hook
from xbarsim.studies.examples import Examples
from xbarsim.tasks.heads import Head

LOGIT_ROWS = 128  # rows of digital logits in memory at once


@dataclass(frozen=True)
class TokenScores:
    """What a path says of predicted tokens (p,): natural logarithms of their probabilities, and
    whether no other token is likelier.
    """

    log_probability: Floats
    likeliest: Booleans


@dataclass(frozen=True)
class Reading:
    """What a path says of a batch: outputs (examples, k), and of a decoder scores of the predicted
    tokens.
    """

    output: Singles
    tokens: TokenScores | None = None


class Reader(Protocol):
    """A model, and what is made of its passes."""

    @property
    def model(self) -> Network: ...

    def read(
        self, examples: Examples, batch: slice, hook: Hook, logit_rows: int | None = LOGIT_ROWS
    ) -> Reading:
        """One batch with the hook in the place of all steps.

        logit_rows : rows of logits at once; those of a whole sequence if None
        """


@dataclass(frozen=True)
class EncoderReader:
    """Outputs of a head on sentence features."""

    model: Encoder
    head: Head

    def read(
        self, examples: Examples, batch: slice, hook: Hook, logit_rows: int | None = LOGIT_ROWS
    ) -> Reading:
        token_ids, mask = pad(examples.of(batch))
        hidden = self.model.forward(token_ids, mask, hook)
        features = self.model.features(hidden, mask, examples.pooling)
        outputs = self.head.outputs(features)
        return Reading(outputs.reshape(batch.stop - batch.start, -1))


@dataclass(frozen=True)
class ImageReader:
    """Values of the classes of images, whose tokens are their grey values."""

    model: ImageNetwork

    def read(
        self, examples: Examples, batch: slice, hook: Hook, logit_rows: int | None = LOGIT_ROWS
    ) -> Reading:
        return Reading(self.model.forward(*pad(examples.of(batch)), hook))


@dataclass(frozen=True)
class DecoderReader:
    """Log-probabilities of the last tokens of sequences; their sums are the outputs.

    predicted : (n,) how many of each sequence
    """

    model: Decoder
    predicted: Integers

    def read(
        self, examples: Examples, batch: slice, hook: Hook, logit_rows: int | None = LOGIT_ROWS
    ) -> Reading:
        sequences = examples.of(batch)
        token_ids, mask = pad(sequences)
        states = self.model.forward(token_ids, mask, hook)
        values: list[Floats] = []
        likeliest: list[Booleans] = []
        for number, ids in enumerate(sequences):
            found = _of_sequence(
                self.model,
                states[number],
                ids,
                number=number,
                predicted=int(self.predicted[batch.start + number]),
                hook=hook,
                logit_rows=logit_rows or len(ids),
            )
            values.append(found[0])
            likeliest.append(found[1])
        sums = np.array([[of_one.sum()] for of_one in values], np.float32)
        scores = TokenScores(np.concatenate(values), np.concatenate(likeliest))
        return Reading(sums, scores)


def _of_sequence(
    model: Decoder,
    states: Singles,
    ids: Integers,
    *,
    number: int,
    predicted: int,
    hook: Hook,
    logit_rows: int,
) -> tuple[Floats, Booleans]:
    """One sequence: states (s, h) -> (log-probabilities, whether likeliest) of its last tokens."""
    values = []
    likeliest = []
    last = len(ids) - 1
    for start in range(last - predicted, last, logit_rows):
        at = np.arange(start, min(start + logit_rows, last))
        rows = np.column_stack([np.full(len(at), number), at])
        scores = model.logits(states[at], rows, hook)
        scores = scores - scores.max(axis=1, keepdims=True)
        chosen = scores[np.arange(len(at)), ids[at + 1]].astype(np.float64)
        total = np.exp(scores, out=scores).sum(axis=1, dtype=np.float64)
        values.append(chosen - np.log(total))
        likeliest.append(chosen == 0)
    return np.concatenate(values), np.concatenate(likeliest)
