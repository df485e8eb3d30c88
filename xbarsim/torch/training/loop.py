"""`train_study`: the loop of `xbarsim train`."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from torch import nn

from xbarsim.base.array_types import Integers
from xbarsim.base.errors import ConfigError, IdleSettingWarning, OutOfRangeError
from xbarsim.base.files import check_empty, replacing
from xbarsim.base.progress import Progress, silent, unsaid
from xbarsim.config.study import Study
from xbarsim.config.training import Training, trains_images
from xbarsim.config.training_idle import idle_training_keys
from xbarsim.models.checkpoint import file_hashes
from xbarsim.studies.training_record import (
    RECORD,
    HeldOutScore,
    HeldOutScores,
    TrainingRecord,
)
from xbarsim.torch.conversion import convert
from xbarsim.torch.known_models import known_structure
from xbarsim.torch.training.checkpoints import load_state, save_checkpoint, save_state
from xbarsim.torch.training.chips import TrainingChips, check_in_situ
from xbarsim.torch.training.foreign_words import without_foreign_words
from xbarsim.torch.training.material import (
    LanguageMaterial,
    Material,
    inputs_of,
    material_of,
)
from xbarsim.torch.training.scoring import parted, score

STATE = "state.pt"
MODEL = "model"
STUDY = "study.toml"

# First names of random numbers of training, beside those of chips.
ORDER, DROPOUT = 7, 8


@dataclass(frozen=True)
class Trained:
    """What training left.

    model : directory of the checkpoint;  study : the file that runs it
    record : what was trained, and how it went
    """

    model: Path
    study: Path
    record: TrainingRecord

    @property
    def steps(self) -> int:
        return self.record.steps

    @property
    def loss(self) -> float | None:
        """Mean of the last steps."""
        return self.record.last_loss

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        record = self.record.model_dump(mode="json")
        return {
            "model": str(self.model),
            "study": str(self.study),
            "steps": self.steps,
            "loss": self.loss,
            "held_out": record["held_out"],
        }


def train_study(
    study: Study,
    directory: str | Path = "trained",
    *,
    resume: bool = False,
    progress: Progress = silent,
    say: Callable[[str], Any] = unsaid,
) -> Trained:
    """Fine-tune the model of a study, every step on another chip of it.

    Parameters
    ----------
    study : with a table [training], or its defaults; its first case is what the chips are
    directory : receives `model` (an ordinary checkpoint), `study.toml` (runs it), `training.json`
        (losses) and `state.pt`
    resume : whether the state in the directory is gone on with: the same bits come out as without an
        interruption, on the same machine with the same number of threads
    progress, say : see `run_study`

    Returns
    -------
    Trained : where the checkpoint is, and the study that runs it

    Raises
    ------
    ConfigError : a study that cannot be trained; a directory with something else in it
    OutOfRangeError : a loss that is no number
    CheckpointError, TaskError, FetchError, OutputError : what is read, fetched or written
    """
    directory = Path(directory)
    state_file = directory / STATE
    check_empty(directory, resume=resume)
    _, case = study.cases()[0]
    settings = study.training or Training()
    if trains_images(settings):
        raise ConfigError(
            f'training.method = "{settings.method}" trains networks of images without PyTorch: '
            "xbarsim train, or xbarsim.training.study.train_image_study"
        )
    for sentence in idle_training_keys(settings):
        warnings.warn(IdleSettingWarning(sentence), stacklevel=2)
    material = material_of(study, progress)
    directory.mkdir(parents=True, exist_ok=True)
    run = _Run.of(case, settings, material, study)
    if resume and state_file.exists():
        run.restore(load_state(state_file, run.fingerprint))
        say(f"going on after step {run.step} of {settings.steps}")
    elif resume:
        say(f"no state in {directory}: training starts anew")
    run.score_before()
    done = progress("steps of training", settings.steps)
    done(run.step)
    while run.step < settings.steps:
        run.take_step(state_file)
        done(1)
        if run.step % settings.save_every == 0 or run.step == settings.steps:
            save_state(state_file, run.state())
            _write(directory / RECORD, run.record(study).text())
    run.score_after()
    record = run.record(study)
    place = directory / MODEL
    save_checkpoint(material, place)
    for where in (directory, place):
        _write(where / RECORD, record.text())
    _write(directory / STUDY, _study_of(study, place, run.full_scales()))
    return Trained(place, directory / STUDY, record)


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text)


@dataclass
class _Run:
    """A training on its way.

    step : updates done
    chips : None of plain training
    passing : the model, through the chips or in float32
    trained, held_out : numbers of examples
    """

    settings: Training
    material: Material
    fingerprint: str
    case: Study
    trained: Integers
    held_out: Integers
    passing: nn.Module
    chips: TrainingChips | None
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)
    before: HeldOutScore | None = None
    after: HeldOutScore | None = None

    @classmethod
    def of(cls, case: Study, settings: Training, material: Material, study: Study) -> _Run:
        trained, held_out = parted(material, settings)
        model: nn.Module = material.model
        if settings.lora_rank is not None:
            _add_lora(material, settings)
            model = material.model
        passing: nn.Module = model
        chips = None
        if settings.hardware_aware:
            analog = convert(model, case, material.calibration[0], in_place=True)
            check_in_situ(analog)
            chips = TrainingChips(analog, settings, material.calibration)
            passing = analog
        hashes = json.dumps(file_hashes(material.directory), sort_keys=True)
        named = f"{study.to_toml()}\n{hashes}\n{len(material)}"
        return cls(
            settings=settings,
            material=material,
            fingerprint=hashlib.sha256(named.encode()).hexdigest(),
            case=case,
            trained=trained,
            held_out=held_out,
            passing=passing,
            chips=chips,
            optimizer=_optimizer(passing, settings),
        )

    # ---------------------------------------------------------------- a step

    def take_step(self, state_file: Path) -> None:
        """One update of the weights.

        Raises
        ------
        OutOfRangeError : a loss that is no number
        """
        if self.chips is not None:
            self.chips.begin(self.step)
        torch.manual_seed(_seed(self.case.seed, DROPOUT, self.step))
        self.passing.train()
        batch = self.material.batch(self._numbers())
        loss = self.material.loss(self.passing(**inputs_of(batch)), batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            kept = f"; {state_file} holds the last state" if state_file.exists() else ""
            raise OutOfRangeError(
                f"the loss of step {self.step + 1} is {value}; allowed: a finite number. Train with a "
                f"smaller training.learning_rate than {self.settings.learning_rate:g}{kept}"
            )
        self.optimizer.zero_grad()
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.settings.gradient_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * _share_of_rate(self.step, self.settings)
        self.optimizer.step()
        if self.chips is not None:
            self.chips.after_update()
        self.losses.append(value)
        self.step += 1

    def _numbers(self) -> Integers:
        """Examples of the step: all of them in a random order, then in another one."""
        size = self.settings.batch_examples
        per_epoch = len(self.trained) // size
        epoch, place = divmod(self.step, per_epoch)
        order = np.random.default_rng(_seed(self.case.seed, ORDER, epoch))
        numbers: Integers = self.trained[order.permutation(len(self.trained))]
        return numbers[place * size : (place + 1) * size]

    # ---------------------------------------------------------------- examples that are held out

    def score_before(self) -> None:
        """Before the first step; of a run that goes on it is known."""
        if len(self.held_out) and self.before is None:
            self.before = score(self.passing, self.material, self.held_out, self.chips)

    def score_after(self) -> None:
        """After the last step."""
        if len(self.held_out):
            self.after = score(self.passing, self.material, self.held_out, self.chips)

    # ---------------------------------------------------------------- states

    def state(self) -> dict[str, Any]:
        before: dict[str, Any] = {}
        if self.before is not None:
            before = self.before.model_dump()
        return {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "losses": self.losses,
            "before": before,
            "weights": {name: value.detach() for name, value in self._trained().items()},
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.losses = list(state["losses"])
        if state["before"]:
            self.before = HeldOutScore(**state["before"])
        with torch.no_grad():
            for name, parameter in self._trained().items():
                parameter.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])

    def _trained(self) -> dict[str, nn.Parameter]:
        return {
            name: parameter
            for name, parameter in self.passing.named_parameters()
            if parameter.requires_grad
        }

    def full_scales(self) -> dict[str, float]:
        """{matrix: learned full scale of its inputs}."""
        if self.chips is None:
            return {}
        return self.chips.learned_ranges

    def record(self, study: Study) -> TrainingRecord:
        """What was done so far."""
        held_out = None
        if self.before is not None:
            held_out = HeldOutScores(
                examples=len(self.held_out), before=self.before, after=self.after
            )
        return TrainingRecord(
            model=study.model.name,
            source=self.material.source,
            is_text=self.material.is_text,
            examples=len(self.trained),
            steps=self.step,
            seed=self.case.seed,
            device=self.case.device.name,
            trained_parameters=sum(p.numel() for p in self._trained().values()),
            settings=self.settings,
            study=study.to_toml(),
            held_out=held_out,
            loss=tuple(self.losses),
        )


def _seed(seed: int, *names: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=names).generate_state(1)[0])


def _share_of_rate(step: int, settings: Training) -> float:
    """Of the learning rate: rises over the warm-up, and falls to 0 in a line."""
    rising = settings.warmup * settings.steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return (settings.steps - step) / max(settings.steps - rising, 1)


def _optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, norms) and full scales do not decay."""
    ranges = []
    matrices = []
    vectors = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("input_ranges."):
            ranges.append(parameter)
        elif parameter.dim() > 1:
            matrices.append(parameter)
        else:
            vectors.append(parameter)
    rate = settings.learning_rate
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay, "highest": rate},
        {"params": vectors, "weight_decay": 0.0, "highest": rate},
        {"params": ranges, "weight_decay": 0.0, "highest": settings.range_learning_rate},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate)


def _add_lora(material: Material, settings: Training) -> None:
    """Put two thin matrices beside each of the model's, and train nothing else but a head.

    Raises
    ------
    ConfigError : peft is not here, or a model whose matrices are not known
    """
    try:
        import peft
    except ImportError:
        raise ConfigError("training.lora_rank needs peft: pip install peft") from None
    network = material.model if isinstance(material, LanguageMaterial) else material.model.network
    structure = known_structure(network)
    if structure is None:
        raise ConfigError("training.lora_rank needs a model of a family that xbarsim run reads")
    torch.manual_seed(0)  # the first of the two is random, and the same in a run that goes on
    targets = [site.path for site in structure.matrices if "logits" not in site.steps]
    config = peft.LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=0.0,
        target_modules=targets,
    )
    with without_foreign_words():
        adapted = peft.get_peft_model(network, config)
    if isinstance(material, LanguageMaterial):
        material.model = adapted
    else:
        material.model.network = adapted


def _study_of(study: Study, place: Path, full_scales: dict[str, float]) -> str:
    """The study that runs what was trained, as TOML, with learned full scales as `[[layer]]`
    tables."""
    content = study.model_dump(
        mode="json", exclude={"training"}, exclude_unset=True, exclude_none=True
    )
    content["model"] = content.get("model", {}) | {"name": str(place.resolve())}
    layers = content.pop("layer", [])
    for name, value in full_scales.items():
        layers.append({"match": name, "dac": {"input_full_scale": value}})
    if layers:
        content["layer"] = layers
    return tomli_w.dumps(content)
