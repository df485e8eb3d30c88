"""A study becomes a trace: activations of a real model through programmed, calibrated arrays.

Sentences travel in batches of fixed composition on a pool of threads, each with BLAS on one thread,
so results do not depend on the number of threads.
"""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.errors import IdleSettingWarning
from xbarsim.base.interrupts import Interrupts
from xbarsim.base.progress import silent, unsaid
from xbarsim.base.workers import worker_threads
from xbarsim.chips.load import chip_text, parse_chip
from xbarsim.config.study import Study
from xbarsim.devices.presets import device_text, parse_device
from xbarsim.hardware import functions, idle, products
from xbarsim.hardware.build import Hardware, chip_seed, program_arrays
from xbarsim.hardware.description import layer_attributes, product_attributes
from xbarsim.models import checkpoint, int8
from xbarsim.models.operations import float32
from xbarsim.studies import prepare as tasks
from xbarsim.studies.batch import run_batch
from xbarsim.studies.calibration import calibration_inputs
from xbarsim.studies.examples import Examples
from xbarsim.studies.references import digital_features
from xbarsim.studies.trace import Sources
from xbarsim.studies.trace_writer import TraceWriter


def run_case(
    writer,
    name,
    study,
    model,
    device,
    examples,
    inputs,
    ranges,
    input_ranges,
    head,
    pool,
    progress=silent,
):
    """Program, calibrate and evaluate every chip of one case; its part of the trace grows batch by
    batch.

    inputs, ranges : see `calibration_inputs`;  input_ranges : see `program_arrays`
    head : function (sentence features (examples * parts, hidden)) -> outputs (examples, k)
    """
    writer.add_case(name, study.to_toml())
    units = functions.build(study, model, ranges)
    for number in range(study.run.chips):
        chip = study.model_copy(update={"seed": chip_seed(study.seed, number)})
        title = name if study.run.chips == 1 else f"{name}, chip {number + 1}"
        counting = products.Pool(chip.seed)
        arrays = program_arrays(
            model,
            chip,
            device,
            inputs,
            input_ranges,
            counting,
            pool,
            progress,
            f"{title}: tiles programmed",
        )
        hardware = Hardware(
            arrays,
            products.attention_products(chip, model, ranges, chip.seed, counting, device),
            units,
            chip.seed,
        )
        path = writer.add_chip(
            name,
            chip.seed,
            {matrix: layer_attributes(array) for matrix, array in arrays.items()},
            {key: product_attributes(product) for key, product in hardware.products.items()},
            units,
        )
        batches = examples.batches(study.run.batch_examples)
        done = progress(f"{title}: examples evaluated", len(examples))
        results = pool.map(
            lambda batch, hardware=hardware: run_batch(model, hardware, examples, batch), batches
        )
        for batch, (features, entries) in zip(batches, results, strict=True):
            writer.write(path, batch, head(features), **vars(entries))
            done(batch.stop - batch.start)


def sources_of(study):
    """trace.Sources of a study: the texts of its device and chip files as they are now."""
    cases = [case for _, case in study.cases()]
    devices = dict.fromkeys(case.device.name for case in cases)
    chips = dict.fromkeys(case.chip for case in cases if case.chip is not None)
    return Sources(
        devices={name: device_text(name) for name in devices},
        chips={name: chip_text(name) for name in chips},
    )


def run_study(
    study: Study,
    directory: str | Path = "runs",
    threads: int | None = None,
    progress: Callable[[str, int], Callable[[int], Any]] = silent,
    say: Callable[[str], Any] = unsaid,
    sources: Sources | None = None,
) -> Path:
    """Run every case of a study on its examples.

    Whatever was evaluated before an error or an interruption stays in the trace; the error carries
    a note that says where it is and what it holds.

    Parameters
    ----------
    study : config.Study
    directory : where the trace is written
    threads : int, all cores if None
    progress : see `silent`
    say : function (text) for what a user must hear on the way
    sources : trace.Sources to take the place of the device and chip files that the study names

    Returns
    -------
    Path of the trace, for `read_trace`

    Raises
    ------
    ConfigError : a study, device or chip file that cannot be used as it is
    OutOfRangeError : conditions that the device does not state; a result that is no number
    CheckpointError, TaskError, FetchError, OutputError : what is read, fetched or written
    """
    sources = sources or sources_of(study)
    devices = {name: parse_device(name, text) for name, text in sources.devices.items()}
    cases = [(name, case, devices[case.device.name]) for name, case in study.cases()]
    for name, text in sources.chips.items():
        parse_chip(name, text)  # a mistake there is found before the run, not after it
    for _, case, device in cases:
        device.in_study(case)  # conditions outside the device's range, likewise
    with Interrupts(say) as interrupts:
        progress = interrupts.watch(progress)
        prepared = tasks.prepare(study, threads, progress)
        idle_settings = find_idle_settings(cases, prepared.model.graph)
        for sentence in idle_settings:
            warnings.warn(IdleSettingWarning(sentence), stacklevel=2)
        hashes = checkpoint.file_hashes(prepared.model.path)
        sources = dataclasses.replace(sources, model_files=hashes)
        interrupts.keep()
        with (
            worker_threads(threads) as pool,
            open_trace(directory, study, prepared, sources, idle_settings) as writer,
        ):
            run_paths(writer, study, cases, prepared, pool, threads, progress)
        interrupts.check(writer.holds())  # one that came after the last batch
    return writer.path


def open_trace(directory, study, prepared, sources, idle_settings):
    """The TraceWriter of a study and its tasks.Prepared; idle_settings : see `find_idle_settings`."""
    model, task, head, scored = prepared.model, prepared.task, prepared.head, prepared.scored
    pairs = task.kind == "pairs"
    cut = np.asarray(prepared.tokens.cut).reshape(len(scored), -1)
    return TraceWriter(
        directory,
        study.name,
        label=scored.targets,
        label_unit="score" if pairs else "class",
        tokens=examples_of(study, prepared).token_counts,
        index=scored.places,
        truncated=cut.sum(axis=1),
        outputs=1 if pairs else len(head.weight),
        sources=sources,
        seed=study.seed,
        study=study.to_toml(),
        model=str(study.model.name),
        model_sha256=model.sha256,
        task=task.name,
        task_sha256=task.sha256,
        task_kind=task.kind,
        metric=prepared.metric,
        head=head.kind,
        classes=len(scored.classes),
        heads=model.config.heads,
        truncated_sentences=prepared.tokens.truncated,
        notes="\n".join(prepared.notes),
        idle_settings="\n".join(idle_settings),
    )


def find_idle_settings(cases, graph):
    """Sentences on the settings of a study that have no effect on a model; see `idle`.

    cases : [(name, study of the case, DeviceModel)];  graph : of the model

    Raises
    ------
    ConfigError : settings that cannot be meant
    """
    found = []
    for name, case, device in cases:
        steps = idle.places(case, device, graph)
        idle.refuse(name, case, steps)
        found.append((case, steps))
    return idle.idle_settings(found)


def examples_of(study, prepared):
    """The Examples that a study evaluates."""
    return Examples(prepared.tokens, 2 if prepared.task.kind == "pairs" else 1, study.task.pooling)


def run_paths(writer, study, cases, prepared, pool, threads, progress):
    """Both digital references and every case, into the trace.  cases : [(name, study,
    DeviceModel)]"""
    model, head, size = prepared.model, prepared.head, study.run.batch_examples
    examples = examples_of(study, prepared)

    def outputs(features):
        return head.outputs(features).reshape(len(features) // examples.parts, -1)

    inputs, ranges = calibration_inputs(model, Examples(prepared.calibration), size, pool)
    input_ranges = int8.input_ranges(model, prepared.calibration, threads=threads)
    for path, hook in (("float32", float32), ("int8", int8.int8_hook(model, input_ranges))):
        writer.add_reference(path)
        title = f"{path} reference"
        features = digital_features(
            model, examples, size, pool, hook=hook, progress=progress, description=title
        )
        for batch, of_batch in features:
            writer.write(f"reference/{path}", batch, outputs(of_batch))
    for name, case, device in cases:
        run_case(
            writer,
            name,
            case,
            model=model,
            device=device,
            examples=examples,
            inputs=inputs,
            ranges=ranges,
            input_ranges=input_ranges,
            head=outputs,
            pool=pool,
            progress=progress,
        )
