"""The programmed arrays of a study as files: what `xbarsim export` writes."""

import difflib
import fnmatch
from collections.abc import Sequence
from pathlib import Path

from xbarsim import __version__
from xbarsim.arrays.in_situ.conductance_export import Form, export_matrix
from xbarsim.arrays.in_situ.conductance_files import INDEX, ConductanceIndex
from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing
from xbarsim.base.progress import Progress, silent
from xbarsim.base.workers import worker_threads
from xbarsim.config.study import Study
from xbarsim.devices.presets import parse_device
from xbarsim.hardware.build import Design, chip_seed, matrix_plans
from xbarsim.studies.held_out import held_out
from xbarsim.studies.pieces import Case
from xbarsim.studies.repeat import check_files, study_of
from xbarsim.studies.run import sources_of
from xbarsim.studies.trace_layout import Sources
from xbarsim.studies.trace_reader import read_trace
from xbarsim.studies.work import work_of

NEAREST = 3  # names that are proposed in the place of one that matches nothing


def export_trace(
    trace: str | Path,
    directory: str | Path,
    *,
    layer: str = "*",
    form: str = "npy",
    case: str | None = None,
    chip: int = 1,
    threads: int | None = None,
    progress: Progress = silent,
) -> Path:
    """The arrays of a trace's study, with the device files that it holds; see `export_study`.

    Raises
    ------
    TraceError : the model or the task is gone or another, or the trace is of version 2
    """
    read = read_trace(trace)
    study = study_of(read)
    check_files(read, study)
    return export_study(
        study,
        directory,
        layer=layer,
        form=form,
        case=case,
        chip=chip,
        threads=threads,
        progress=progress,
        sources=read.sources,
    )


def export_study(
    study: Study,
    directory: str | Path,
    *,
    layer: str = "*",
    form: str = "npy",
    case: str | None = None,
    chip: int = 1,
    threads: int | None = None,
    progress: Progress = silent,
    sources: Sources | None = None,
) -> Path:
    """Program the in-situ arrays of a study, and write their conductances; nothing is evaluated.

    Parameters
    ----------
    study : config.Study
    directory : a new one, for `mapping.conductances` of another study
    layer : pattern of the names of matrices, such as "layer.0.*"
    form : "npy", "csv" or "netlist"
    case : of the study; the first if None
    chip : number of the simulated chip of the case, from 1
    threads, progress, sources : as of `run_study`

    Returns
    -------
    Path of the index

    Raises
    ------
    ConfigError : no such case, chip, matrix or form; a directory that holds conductances already
    OutputError : the directory cannot be written
    """
    path = Path(directory)
    if form not in list(Form):
        raise ConfigError(f"format is {form!r}; allowed: {', '.join(Form)}")
    if (path / INDEX).exists():
        raise ConfigError(f"{path} holds conductances already; name another directory")
    sources = sources or sources_of(study)
    chosen = _case_of(study, case, sources)
    if not 1 <= chip <= chosen.study.run.chips:
        raise ConfigError(
            f"chip {chip}; case {chosen.name!r} has chips 1 to {chosen.study.run.chips}"
        )
    work = work_of(study, threads, progress)
    model = work.reader.model
    with worker_threads(threads) as pool:
        found = held_out(model, work.calibration, study.run.batch_examples, pool, threads=threads)
        design = Design.of(model, chosen.study, chosen.device, found)
        seed = chip_seed(chosen.study.seed, chip - 1)
        plans = matrix_plans(design, seed)
        names = _matching(list(plans), layer)
        done = progress("tiles exported", sum(_tiles(design, name) for name in names))
        matrices = []
        for name in names:
            weight, _ = model.matrix(name)
            matrices.append(export_matrix(plans[name](), weight, path, Form(form), done))
    index = ConductanceIndex(
        format="xbarsim-conductances",
        version=1,
        software_version=__version__,
        checkpoint=str(study.model.name),
        checkpoint_sha256=model.sha256,
        study=chosen.study.to_toml(),
        case=chosen.name,
        chip=chip,
        seed=seed,
        device=chosen.device.name,
        matrices=tuple(matrices),
    )
    with replacing(path / INDEX) as file:
        file.write(index.model_dump_json(indent=1, exclude_none=True) + "\n")
    return path / INDEX


def _case_of(study: Study, name: str | None, sources: Sources) -> Case:
    cases = dict(study.cases())
    chosen = name or next(iter(cases))
    if chosen not in cases:
        raise ConfigError(f"no case {chosen!r}; the study has {', '.join(map(repr, cases))}")
    own = cases[chosen]
    return Case(chosen, own, parse_device(own.device.name, sources.devices[own.device.name]))


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    if not names:
        raise ConfigError("this study has no weights on in-situ arrays: nothing is programmed")
    found = fnmatch.filter(names, pattern)
    if not found:
        near = difflib.get_close_matches(pattern, names, NEAREST, cutoff=0.0)
        raise ConfigError(
            f"layer {pattern!r} matches no matrix on in-situ arrays; names are such as "
            f"{', '.join(near)}, with * for any part"
        )
    return found


def _tiles(design: Design, name: str) -> int:
    step = design.model.graph.step(name)
    return layout_of(step.inputs, step.outputs, design.settings[name].mapping).tiles
