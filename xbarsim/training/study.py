"""`xbarsim train` of a study of images: a loop of epochs, and what it leaves in a directory."""

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from xbarsim.base.errors import ConfigError, IdleSettingWarning
from xbarsim.base.files import check_empty, replacing
from xbarsim.base.progress import Progress, silent, unsaid
from xbarsim.base.units import engineering
from xbarsim.base.workers import one_blas_thread
from xbarsim.config.image_training import Method
from xbarsim.config.study import Study
from xbarsim.config.training import Training
from xbarsim.config.training_idle import idle_training_keys
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.presets import device_text, load_device
from xbarsim.models.image_checkpoint import network_of, save_image_network
from xbarsim.models.image_classes import classes_of
from xbarsim.tasks.metrics import Metric, metrics
from xbarsim.training.array_export import check_export, export_cells
from xbarsim.training.array_trainer import InSitu
from xbarsim.training.chip_defects import matrix_steps
from xbarsim.training.defect_trainer import AroundDefects
from xbarsim.training.image_material import ImageMaterial, image_material
from xbarsim.training.states import load_state, save_state
from xbarsim.training.trainers import Backpropagation, Trainer

STATE = "state.npz"
LOG = "training.json"
MODEL = "model"
CONDUCTANCES = "conductances"
STUDY = "study.toml"


@dataclass(frozen=True)
class TrainedImages:
    """What the training of a network of images left.

    model : directory of the network;  study : the file that runs it
    losses : mean of every epoch;  accuracy : on the images that a run scores, without other effects than
        the cells' own
    facts : what else training.json says
    """

    model: Path
    study: Path
    method: Method
    images: int
    losses: tuple[float, ...]
    accuracy: Metric
    facts: dict[str, Any]

    def lines(self) -> list[str]:
        """What a reader of the command is told."""
        score = self.accuracy
        loss = f", loss {self.losses[-1]:.4f} at last" if self.losses else ""
        told = [
            f"{self.model}: {self.method}, {self.images:,} images, {len(self.losses)} epochs{loss}",
            f"accuracy {score.value:.4f} ({score.low:.4f} to {score.high:.4f}) of {score.n:,} others",
        ]
        told += _told_of_wear(self.facts.get("wear"))
        unaware = self.facts.get("accuracy_unaware")
        if unaware is not None:
            told[-1] += f"; {unaware['value']:.4f} on the same cells without knowing of defects"
        return told

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": str(self.model),
            "study": str(self.study),
            "method": str(self.method),
            "images": self.images,
            "loss": list(self.losses),
            "accuracy": vars(self.accuracy),
            **self.facts,
        }


def train_image_study(
    study: Study,
    directory: str | Path = "trained",
    *,
    resume: bool = False,
    progress: Progress = silent,
    say: Callable[[str], Any] = unsaid,
) -> TrainedImages:
    """Train the network of images of a study by its `training.method`, in NumPy.

    Parameters
    ----------
    study : with a table [training]; its first case is what the chip is, the first of the case's chips
    directory : receives `model` (config.json and model.safetensors), `conductances` of cells that were
        trained in the array, `study.toml` (runs it), `training.json` and `state.npz`
    resume : whether the state in the directory is gone on with, from the last epoch that is whole: the
        same bits come out as without an interruption
    progress, say : see `run_study`

    Raises
    ------
    ConfigError : a study that cannot be trained; a directory with something else in it
    CheckpointError, TaskError, FetchError, OutputError : what is read, fetched or written
    """
    place = Path(directory)
    check_empty(place, resume=resume)
    training = study.training or Training()
    for sentence in idle_training_keys(training):
        warnings.warn(IdleSettingWarning(sentence), stacklevel=2)
    with one_blas_thread():
        job = _Job.of(study, training, progress)
        job.train(place, resume, progress, say)
        return job.write(place, progress)


@dataclass(frozen=True)
class _Job:
    """A training of a study.

    case : the first, by its name `case_name`;  fingerprint : of all that decides the result
    """

    study: Study
    case_name: str
    case: Study
    device: DeviceModel
    training: Training
    material: ImageMaterial
    trainer: Trainer
    fingerprint: str

    @classmethod
    def of(cls, study: Study, training: Training, progress: Progress) -> "_Job":
        name, case = study.cases()[0]
        device = load_device(case.device.name)
        material = image_material(study, training, progress)
        named = [study.to_toml(), device_text(case.device.name), material.training.sha256]
        named.append(json.dumps(dict(material.content), sort_keys=True))
        for tensor in (material.tensors or {}).values():
            named.append(hashlib.sha256(tensor.tobytes()).hexdigest())
        return cls(
            study=study,
            case_name=name,
            case=case,
            device=device,
            training=training,
            material=material,
            trainer=_trainer_of(training, material, case, device),
            fingerprint=hashlib.sha256("\n".join(named).encode()).hexdigest(),
        )

    def train(
        self, place: Path, resume: bool, progress: Progress, say: Callable[[str], Any]
    ) -> None:
        """Every epoch that is left, with a state after each."""
        trainer = self.trainer
        state = place / STATE
        if resume and state.exists():
            trainer.restore(load_state(state, self.fingerprint))
            say(f"going on after epoch {len(trainer.losses)} of {trainer.epochs}")
        elif resume:
            say(f"no state in {place}: training starts anew")
        images = len(self.material.training)
        done = progress("images of training", trainer.epochs * images)
        done(len(trainer.losses) * images)
        while len(trainer.losses) < trainer.epochs:
            trainer.epoch(done)
            save_state(state, self.fingerprint, trainer.state())

    def write(self, place: Path, progress: Progress) -> TrainedImages:
        """The network, the study that runs it, and what is to be said of it."""
        trainer = self.trainer
        model = save_image_network(place / MODEL, self.material.content, trainer.tensors())
        changes: dict[str, Any] = {"model": {"name": str(model.resolve())}}
        facts = trainer.facts()
        tensors = trainer.tensors()
        if isinstance(trainer, InSitu):
            steps = matrix_steps(self.material)
            cells = place / CONDUCTANCES
            layers = trainer.network.layers
            export_cells(layers, steps, model, cells, self.case, self.case_name, self.device)
            changes["mapping"] = {"conductances": str(cells.resolve())}
        if isinstance(trainer, AroundDefects):
            facts["accuracy_unaware"] = vars(self.accuracy(trainer.on_chip(trainer.first_held)))
            tensors = trainer.on_chip(tensors)
        if not isinstance(trainer, Backpropagation):
            changes["run"] = {"chips": 1}  # others have other cells
        trained = TrainedImages(
            model=model,
            study=place / STUDY,
            method=self.training.method,
            images=len(self.material.training),
            losses=tuple(trainer.losses),
            accuracy=self.accuracy(tensors),
            facts=facts,
        )
        _write(place / STUDY, _study_of(self.study, changes))
        _write(place / LOG, json.dumps(trained.as_dict(), indent=1) + "\n")
        return trained

    def accuracy(self, tensors: dict[str, Any]) -> Metric:
        """Of the images that a run scores."""
        network = network_of(self.material.content, tensors)
        scored = self.material.scored
        found, *_ = metrics(scored, classes_of(network, scored.pixels()), seed=0)
        return found


def _told_of_wear(wear: dict[str, Any] | None) -> list[str]:
    if wear is None:
        return []
    energy = "" if wear["energy"] is None else f"; {engineering(wear['energy'], 'J')}"
    heating = ""
    if wear["heating_pulses"]:
        heating = f" and {wear['heating_pulses']:,} heating pulses"
    return [
        f"{wear['pulses']:,} pulses{heating}, {wear['pulses_per_cell']:.1f} of a cell on average and "
        f"{wear['most_of_a_cell']:,} at most; {wear['not_responding']:,} of {wear['cells']:,} cells do "
        f"not respond{energy}"
    ]


def _trainer_of(
    training: Training, material: ImageMaterial, case: Study, device: DeviceModel
) -> Trainer:
    if training.method is Method.BACKPROPAGATION:
        return Backpropagation(training, material, case.seed)
    if training.method is Method.DEFECT_AWARE:
        return AroundDefects(training, material, case, device)
    if training.method is Method.IN_SITU:
        trainer = InSitu(training, material, case, device)
        check_export(case, matrix_steps(material))
        return trainer
    raise ConfigError(
        f'training.method = "{training.method}" is of encoders and decoders; of a network of images '
        f"allowed: {Method.BACKPROPAGATION}, {Method.IN_SITU}, {Method.DEFECT_AWARE}"
    )


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text)


def _study_of(study: Study, changes: dict[str, dict[str, Any]]) -> str:
    """The study that runs what was trained, as TOML."""
    content = study.model_dump(
        mode="json", exclude={"training"}, exclude_unset=True, exclude_none=True
    )
    for table, keys in changes.items():
        content[table] = content.get(table, {}) | keys
    return tomli_w.dumps(content)
