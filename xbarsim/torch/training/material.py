"""What is trained: a checkpoint as a PyTorch model, its examples, and the loss of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from torch import nn

from xbarsim.base import fetch
from xbarsim.base.array_types import Integers
from xbarsim.base.errors import ConfigError, TaskError
from xbarsim.base.progress import Progress
from xbarsim.config.study import Study
from xbarsim.config.training import Training
from xbarsim.models.architectures import is_decoder, load_generator
from xbarsim.models.batches import pad
from xbarsim.models.bert import BertModel
from xbarsim.models.checkpoint import load_tokenizer
from xbarsim.models.decoder import DecoderModel
from xbarsim.models.tokens import tokenize
from xbarsim.studies.language_examples import Lm
from xbarsim.studies.prepare import prepare
from xbarsim.studies.prepare_language import load_text_or_questions, prepare_language
from xbarsim.tasks.language_files import Text
from xbarsim.torch.training.decoders import torch_decoder
from xbarsim.torch.training.foreign_words import without_foreign_words

Batch = dict[str, torch.Tensor]
CALIBRATION_BATCH = 16  # examples

POOLINGS = ("mean", "cls", "pooler")  # that a classifier is trained on; the last of BERT alone


class Material(Protocol):
    """A model and its examples.

    model : whose passes are trained;  directory : of the checkpoint that it comes from
    calibration : batches of held-out examples
    source : the task or the text, as the study names it;  unit : what an example of it is
    """

    model: nn.Module
    directory: Path
    calibration: list[Batch]
    source: str
    unit: str
    is_text: bool

    def __len__(self) -> int:
        """Examples."""

    def batch(self, numbers: Integers) -> Batch:
        """Some of the examples."""

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        """Of what the model gives for a batch."""

    def right(self, output: Any, batch: Batch) -> int:
        """Examples of a batch whose class the model finds; 0 of a text."""


def material_of(study: Study, progress: Progress) -> Material:
    """Fetch, read and tokenize what a study trains.

    Raises
    ------
    ConfigError, CheckpointError, TaskError, FetchError : what cannot be trained, read or fetched
    """
    directory = fetch.locate(study.model.name, "model", progress=progress)
    settings = study.training or Training()
    if is_decoder(directory):
        return _language(study, settings, directory, progress)
    return _sentences(study, settings, directory, progress)


def inputs_of(batch: Batch) -> Batch:
    """What a model is given of a batch."""
    return {key: value for key, value in batch.items() if key != "labels"}


def padded(sequences: Sequence[Integers]) -> Batch:
    ids, mask = pad(list(sequences))
    return {
        "input_ids": torch.from_numpy(np.asarray(ids, np.int64)),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)),
    }


def _in_batches(sequences: Sequence[Integers]) -> list[Batch]:
    starts = range(0, len(sequences), CALIBRATION_BATCH)
    return [padded(sequences[start : start + CALIBRATION_BATCH]) for start in starts]


# ---------------------------------------------------------------- classifiers of sentences


class SentenceClassifier(nn.Module):
    """An encoder of transformers, its pooling and a head: logits (b, classes) of token ids (b, s)."""

    def __init__(
        self, network: nn.Module, *, classes: int, hidden: int, pooling: str, normalize: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Linear(hidden, classes)
        self.config = network.config
        self.pooling = pooling
        self.normalize = normalize

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        found = self.network(input_ids=input_ids, attention_mask=attention_mask)
        hidden = found.last_hidden_state
        if self.pooling == "mean":
            counted = attention_mask[:, :, None].to(hidden.dtype)
            features = (hidden * counted).sum(dim=1) / counted.sum(dim=1)
        elif self.pooling == "pooler":
            features = found.pooler_output
        else:
            features = hidden[:, 0]
        if self.normalize:
            features = nn.functional.normalize(features, dim=1)
        logits: torch.Tensor = self.head(features)
        return logits


@dataclass
class SentenceMaterial:
    """Labelled sentences of the training part of a task.

    tokens : (n,) token ids of each;  labels : (n,)
    classes : names of the classes, in the order of the head
    """

    model: SentenceClassifier
    directory: Path
    calibration: list[Batch]
    tokens: Sequence[Integers]
    labels: Integers
    classes: tuple[str, ...]
    source: str
    unit: str = "training examples"
    is_text: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, numbers: Integers) -> Batch:
        found = padded([self.tokens[number] for number in numbers])
        return found | {"labels": torch.from_numpy(self.labels[numbers])}

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(output, batch["labels"])

    def right(self, output: Any, batch: Batch) -> int:
        return int((output.argmax(dim=-1) == batch["labels"]).sum())


def _sentences(
    study: Study, settings: Training, directory: Path, progress: Progress
) -> SentenceMaterial:
    if settings.text is not None:
        raise ConfigError(
            f"training.text = {settings.text!r} is for decoders; {study.model.name} is an encoder, "
            "which is trained on the training part of task.name"
        )
    prepared = prepare(study, progress=progress)
    head = prepared.head
    if head.weight is None or head.bias is None:
        raise TaskError(
            f"task {prepared.task.name!r} has scores of pairs; training needs sentences with labels"
        )
    model = prepared.model
    if not isinstance(model, BertModel):
        raise ConfigError(
            f"{study.model.name} is no encoder of transformers; only these are trained"
        )
    pooling = model.config.pooling if study.task.pooling == "auto" else study.task.pooling
    if pooling == "pooler" and model.config.architecture != "bert":
        raise ConfigError(
            f"{study.model.name}, a {model.config.architecture}, pools by a matrix of its classifier; "
            f"a classifier of it is trained on {' or '.join(POOLINGS[:2])}: set task.pooling"
        )
    training = prepared.task.training().limited(settings.examples)
    with without_foreign_words():
        network = transformers.AutoModel.from_pretrained(
            directory, dtype=torch.float32, local_files_only=True
        )
    classifier = SentenceClassifier(
        network,
        classes=len(head.weight),
        hidden=model.config.hidden,
        pooling=pooling,
        normalize=model.config.normalize,
    )
    with torch.no_grad():
        classifier.head.weight.copy_(torch.from_numpy(head.weight))
        classifier.head.bias.copy_(torch.from_numpy(head.bias))
    length = min(study.model.max_length, model.config.max_tokens)
    return SentenceMaterial(
        model=classifier,
        directory=directory,
        calibration=_in_batches(prepared.calibration),
        tokens=tokenize(load_tokenizer(directory), training.texts(), length),
        labels=np.asarray(training.targets, np.int64),
        classes=prepared.task.classes,
        source=prepared.task.name,
    )


# ---------------------------------------------------------------- decoders


@dataclass
class LanguageMaterial:
    """Windows of a text, whose tokens a decoder predicts.

    windows : (n, tokens) ids
    """

    model: nn.Module
    directory: Path
    calibration: list[Batch]
    windows: Integers
    source: str
    unit: str
    is_text: bool = True

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, numbers: Integers) -> Batch:
        return padded(list(self.windows[numbers]))

    def loss(self, output: Any, batch: Batch) -> torch.Tensor:
        """Cross-entropy of every token but the first, by those before it."""
        logits = output.logits[:, :-1]
        wanted = batch["input_ids"][:, 1:]
        return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1))

    def right(self, output: Any, batch: Batch) -> int:
        return 0


def _language(
    study: Study, settings: Training, directory: Path, progress: Progress
) -> LanguageMaterial:
    if settings.text is None:
        raise ConfigError(
            "training.text is absent; state the text that the decoder is trained on, another one than "
            "task.name evaluates"
        )
    prepared = prepare_language(study, directory, progress)
    loaded = load_generator(directory)
    model = loaded.model
    if not isinstance(model, DecoderModel):
        raise ConfigError(
            f"{study.model.name} is no decoder of transformers; only these are trained"
        )
    text = load_text_or_questions(settings.text, progress)
    if not isinstance(text, Text):
        raise TaskError(f"training.text = {settings.text!r} is no text; give a .txt file")
    ids = Lm(model.config, loaded.tokenizer).ids(text.text)
    count = len(ids) // settings.window
    if settings.examples is not None:
        count = min(count, settings.examples)
    windows = np.asarray(ids[: count * settings.window], np.int64).reshape(count, settings.window)
    return LanguageMaterial(
        model=torch_decoder(model, directory),
        directory=directory,
        calibration=_in_batches(prepared.calibration),
        windows=windows,
        source=settings.text,
        unit=f"windows of {settings.window} tokens",
    )
