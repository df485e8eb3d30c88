"""The trace: its specification, what is refused, what survives damage, and a run repeated from
it."""

import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from full_trace import command, full_study, make_full_place, tables_of_page
from tiny import tiny_study
from typer.testing import CliRunner

from xbarsim.base.errors import TraceError
from xbarsim.cli.app import app
from xbarsim.devices.presets import device_text
from xbarsim.report import accuracy_and_cost
from xbarsim.report.summary import summarise
from xbarsim.report.text import render
from xbarsim.studies import repeat, run, trace_writer
from xbarsim.studies.trace_layout import ExampleTable, RunAttributes, Sources, arrays_of
from xbarsim.studies.trace_reader import read_trace
from xbarsim.studies.trace_writer import TraceWriter
from xbarsim.tasks.task import Task

SOURCES = Sources()
KINDS = {"L": "layers/<matrix>", "P": "products/<product>", "O": "operations/<operation>"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """See `make_full_place`."""
    return make_full_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def copied(place, tmp_path):
    """A copy of the trace that a test may spoil."""
    return Path(shutil.copy(place / "runs" / "tiny.h5", tmp_path / "copy.h5"))


# ---------------------------------------------------------------- the specification


def names_of(cell):
    """Names that a cell of the page states: `x`, or local_x and accumulated_x of "either `x`"."""
    name = re.search(r"`(.+?)`", cell)[1]
    return [f"local_{name}", f"accumulated_{name}"] if cell.startswith("either") else [name]


def stated(key, more):
    """{path pattern: row} of the rows with a column `key`, spread over layers, products and
    operations."""
    found = {}
    for row in [row for table in tables_of_page() for row in table if key in row]:
        kinds = [
            f"cases/<case>/<chip>/{path}"
            for column, path in KINDS.items()
            if row.get(column) == "x"
        ]
        groups = kinds if "L" in row else [re.search(r"`(.+?)`", row["of"])[1] if more else ""]
        for group in groups:
            for name in names_of(row[key]):
                found[f"{group}/{name}".strip("/") if not more else f"{group} {name}"] = row
    return found


def pattern_of(name):
    """A path in a file as the page writes it."""
    parts = name.strip("/").split("/")
    if parts[0] == "reference" and len(parts) > 1:
        parts[1] = "<path>"
    if parts[0] == "sources" and len(parts) > 2:
        parts[2] = "<number>"
    for place, pattern in ((1, "<case>"), (2, "<chip>")):
        if parts[0] == "cases" and len(parts) > place:
            parts[place] = pattern
    if parts[0] == "cases" and len(parts) > 4:
        parts[4] = {"layers": "<matrix>", "products": "<product>", "operations": "<operation>"}[
            parts[3]
        ]
    return "/".join(parts) or "/"


def test_the_page_states_every_data_set(place):
    page, seen = stated("data set", more=False), {}
    with h5py.File(place / "runs" / "tiny.h5") as file:

        def look(name, item):
            if isinstance(item, h5py.Dataset):
                seen.setdefault(pattern_of(name), (str(item.dtype), item.attrs["unit"], item.shape))

        file.visititems(look)
        examples = len(file["examples/label"])
    assert seen.keys() == page.keys() - {NOISE_ERROR}
    for name, (kind, unit, shape) in seen.items():
        row = page[name]
        assert kind in row["type"].split(", ") and unit in row["unit"].split(", "), name
        assert (shape[0] == examples) == row["shape"].startswith("n"), name
        assert len(shape) == len(row["shape"].split(", ")), name


# Of runs with `read_noise.wires = "adjoint"`.
NOISE_ERROR = "cases/<case>/<chip>/layers/<matrix>/read_noise_error"
SHARES = "cases/<case>/<chip>/layers/<matrix> shares"  # of ALBERT, see test_encoder_runs.py
OF_OTHER_STUDIES = {  # of inputs, see tests/hardware/test_decoders_on_chips.py
    "cases/<case>/<chip>/layers/<matrix> input_scaling",
    "cases/<case>/<chip>/layers/<matrix> scale_shift",
    "cases/<case>/<chip>/layers/<matrix> unshifted_inputs",
    "cases/<case>/<chip>/layers/<matrix> converters",
    "cases/<case>/<chip>/layers/<matrix> missing_codes",
    "/ training",  # see tests/report/test_training_report.py
    "cases/<case>/<chip>/layers/<matrix> rows_per_image",  # see test_image_run.py
    *(
        f"cases/<case>/<chip>/layers/<matrix> {name}"  # see tests/hardware/test_matrices.py
        for name in (
            "compensation",
            "compensation_scale",
            "held_cells",
            "weight_error",
            "rewritten_cells",
        )
    ),
    *(
        f"cases/<case>/<chip>/layers/<matrix> {name}"  # see tests/hardware/test_beside_arrays.py
        for name in (
            "mapped_cells",
            "map_pulses",
            "map_energy",
            "dummy_cells",
            "dummy_conversions",
            "dummy_multiplications",
            "raised_drivers",
        )
    ),
    "cases/<case>/<chip>/layers/<matrix> rescaling_mean",
    "cases/<case>/<chip>/layers/<matrix> rescaling_std",
    "cases/<case>/<chip>/layers/<matrix> reference_tile_reads",
    "cases/<case>/<chip>/layers/<matrix> reference_adc_conversions",
    "cases/<case>/<chip>/layers/<matrix> reference_dac_drives",
    "cases/<case>/<chip>/layers/<matrix> reference_array_energy",
    "cases/<case>/<chip>/products/<product> input_scaling",
}


def test_the_page_states_every_attribute(place):
    page, seen = stated("attribute", more=True), {}
    kinds = {"text": str, "int": (int, np.integer), "bool": np.bool_, "float": (float, np.floating)}
    with h5py.File(place / "runs" / "tiny.h5") as file:

        def look(name, item):
            if isinstance(item, h5py.Group):
                for key, value in item.attrs.items():
                    key = "<file>" if name == "sources/model" else key
                    seen[f"{pattern_of(name)} {key}"] = value

        look("", file)
        file.visititems(look)
    assert seen.keys() == page.keys() - {SHARES} - OF_OTHER_STUDIES
    for name, value in seen.items():
        assert isinstance(value, kinds[page[name]["type"]]), name


def test_another_program_reads_a_trace_by_the_page(place):
    """h5py and the words of the page alone: outputs, errors that agree with each other, energies."""
    rows = stated("data set", more=False)
    errors = {name.rpartition("local_")[2] for name in rows if "layers/<matrix>/local_" in name}
    assert {"relative_rms", "snr_db", "signal_rms", "error_rms", "cosine"} <= errors
    with h5py.File(place / "runs" / "tiny.h5") as file:
        assert file.attrs["format"] == "xbarsim-trace" and file.attrs["version"] == 5
        chip = file["cases/one/0"]
        assert chip["done"][:].all()
        assert chip["output"].shape == (len(file["examples/label"]), file.attrs["classes"])
        for layer in chip["layers"].values():
            for where in ("local", "accumulated"):
                ratio = layer[f"{where}_relative_rms"][:]
                parts = layer[f"{where}_error_rms"][:] / layer[f"{where}_signal_rms"][:]
                np.testing.assert_allclose(ratio, parts, rtol=1e-9)
                np.testing.assert_allclose(layer[f"{where}_snr_db"][:], -20 * np.log10(ratio))
            held = layer["adc_saturations"][:].sum()
            assert held == layer["codes_beyond"][:].sum()
            assert layer["code_counts"][:].sum() + held == layer["adc_conversions"][:].sum()
            assert layer["conductance_counts"][:].sum() <= layer.attrs["cells"]
            assert (layer["array_energy"][:] > 0).all()


def test_a_trace_states_its_sources_and_its_examples(place):
    trace = read_trace(place / "runs" / "tiny.h5")
    assert trace.sources.devices == {
        str(place / "device.toml"): (place / "device.toml").read_text()
    }
    assert trace.sources.chips == {str(place / "chip.toml"): (place / "chip.toml").read_text()}
    sums = subprocess.run(
        ["sha256sum", *trace.sources.model_files],
        cwd=place / "model",
        capture_output=True,
        text=True,
    )
    assert [line.split()[0] for line in sums.stdout.splitlines()] == list(
        trace.sources.model_files.values()
    )
    assert set(trace.sources.model_files) == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt",
    }
    lines = (place / "task.tsv").read_text().splitlines()[1:]
    assert [
        int(lines[k].split("\t")[1]) for k in trace.examples.index
    ] == trace.examples.label.tolist()
    assert all(lines[k].endswith("test") for k in trace.examples.index)
    words = np.array(
        [len(re.findall(r"\w+|[.,!]", lines[k].split("\t")[0])) for k in trace.examples.index]
    )
    assert trace.examples.truncated.tolist() == (
        words + 2 > 8
    ).tolist() and 0 < trace.examples.truncated.sum() < len(words)
    assert trace.run.truncated_sentences == trace.examples.truncated.sum()


def test_the_index_survives_split_and_limit():
    task = Task(
        "t", "labels", tuple("abcdefghij"), np.arange(10) % 2, ("0", "1"), np.arange(10) > 3, ""
    )
    assert task.held_out().limited(3).places.tolist() == [4, 6, 8]
    assert task.held_out().limited(3).sentences == ("e", "g", "i")


def small_writer(place, study="", sources=SOURCES):
    """A TraceWriter of two examples of a label task."""
    run = RunAttributes(
        software_version="0",
        created="now",
        complete=False,
        seed=0,
        study=study,
        model="x",
        model_sha256="x",
        task="x",
        task_sha256="x",
        task_kind="labels",
        metric="accuracy",
        head="x",
        classes=2,
        truncated_sentences=0,
    )
    examples = ExampleTable(
        label=np.arange(2),
        tokens=np.ones(2, int),
        index=np.arange(2),
        truncated=np.zeros(2, int),
    )
    return TraceWriter(place, "small", run, examples, outputs=2, sources=sources)


def test_a_study_of_any_length_fits(tmp_path):
    study = "a = 1\n#" + "#" * 200_000
    sources = Sources({"d": "x" * 300_000})
    with small_writer(tmp_path, study=study, sources=sources) as writer:
        writer.add_reference("float32")
        writer.write("reference/float32", slice(0, 2), np.ones((2, 2)))
    trace = read_trace(tmp_path / "small.h5")
    assert trace.run.study == study and trace.sources == sources
    assert list(tmp_path.iterdir()) == [tmp_path / "small.h5"]


def test_a_path_is_saved_with_its_last_example(tmp_path, monkeypatch):
    monkeypatch.setattr(trace_writer, "SAVING_SHARE", 1e-9)  # never in between
    with small_writer(tmp_path) as writer:
        for name in ("float32", "int8"):
            writer.add_reference(name)
            writer.write(f"reference/{name}", slice(0, 1), np.ones((1, 2)))
            writer.write(f"reference/{name}", slice(1, 2), np.ones((1, 2)))
            assert read_trace(writer.path).reference[name].done.all()


# ---------------------------------------------------------------- damage


def kept(trace, whole):
    """Names of the paths of a damaged trace; what it holds must be what the whole one holds."""
    names = []
    for name, path in trace.reference.items():
        np.testing.assert_array_equal(path.output, whole.reference[name].output)
        names.append(name)
    for name, case in trace.cases.items():
        for chip, exact in zip(case.chips, whole.cases[name].chips, strict=False):
            np.testing.assert_array_equal(chip.output, exact.output)
            for matrix, layer in chip.layers.items():
                for key, values in arrays_of(layer.rows).items():
                    np.testing.assert_array_equal(values, arrays_of(exact.layers[matrix].rows)[key])
            names.append(name)
    return names


def test_of_a_cut_file_what_is_there_is_kept(copied):
    whole, content = read_trace(copied), copied.read_bytes()
    held = []
    for share in np.linspace(0.02, 0.998, 40):
        copied.write_bytes(content[: int(share * len(content))])
        try:
            trace = read_trace(copied)
        except TraceError as error:
            assert "truncated or not HDF5" in str(error) and "\n" not in str(error)
            held.append(0)
            continue
        assert trace.damage and copied.name in trace.damage[0]
        held.append(len(kept(trace, whole)))
    assert held == sorted(held)
    assert held[1] == 2 and set(held) <= {0, 2, 3} and held.count(3) > 10  # then the first case
    assert "DAMAGED: copy.h5 is damaged" in render(summarise(trace))


def test_bytes_that_flipped_are_never_read_as_numbers_nor_end_in_another_error(copied):
    whole, content = read_trace(copied), copied.read_bytes()
    choice = np.random.default_rng(3)
    for _ in range(60):
        spoilt = bytearray(content)
        for at in choice.integers(len(content), size=8):
            spoilt[at] ^= 1 << choice.integers(8)
        copied.write_bytes(spoilt)
        try:
            trace = read_trace(copied)
            kept(trace, whole)
            render(summarise(trace))
        except TraceError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("size", [0, 2**64 - 8])
def test_a_heap_without_an_end_is_never_walked(copied, size):
    """HDF5 reads an object of no size for ever, and one whose padded size is 0 too."""
    content = bytearray(copied.read_bytes())
    heap = content.find(b"GCOL\x01\x00\x00\x00")
    assert heap > 0
    index = 0 if size == 0 else 1
    content[heap + 16 : heap + 32] = struct.pack("<HHIQ", index, 1, 0, size)
    copied.write_bytes(content)
    with pytest.raises(TraceError, match=rf"heap of its texts is damaged \(at byte {heap}\)"):
        read_trace(copied)


def test_attributes_are_looked_at_before_they_are_read(copied):
    """A flipped byte makes a text of any type and size; the library may read such a one for hours."""
    with h5py.File(copied, "a") as file:
        file["cases/one/0/layers/layer.0.query"].attrs["kind"] = np.void(b"matrix")
    damage = "\n".join(read_trace(copied).damage)
    assert "attribute 'kind' of /cases/one/0/layers/layer.0.query is neither a text nor" in damage
    with h5py.File(copied, "a", libver="latest") as file:
        del file["cases/one/0/layers/layer.0.query"].attrs["kind"]
        file["cases/one/0/layers/layer.0.query"].attrs["kind"] = np.zeros(200_000)
    assert "attribute 'kind'" in "\n".join(read_trace(copied).damage)


def test_the_error_of_read_noise_is_read(copied):
    with h5py.File(copied, "a") as file:
        of_matrix = file["cases/one/0/layers/layer.0.query"]
        of_matrix.create_dataset("read_noise_error", data=[0.01, 0.25])
    layers = read_trace(copied).cases["one"].chips[0].layers
    np.testing.assert_array_equal(layers["layer.0.query"].noise_error, [0.01, 0.25])
    assert layers["layer.0.key"].noise_error is None


def test_a_damaged_case_leaves_the_others(copied):
    whole = read_trace(copied)
    with h5py.File(copied, "a") as file:
        del file["cases/one/0/done"]
    trace = read_trace(copied)
    assert kept(trace, whole) == ["float32", "int8", "two"]
    assert len(trace.damage) == 1 and trace.damage[0].startswith(
        "chip 0 of case 'one' cannot be read"
    )
    assert "DAMAGED: chip 0 of case 'one'" in command("report", copied)[1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.attrs.update({"study": 3}),
        lambda file: file.attrs.update({"classes": 1}),
        lambda file: file.__delitem__("examples/index"),
        lambda file: file.__delitem__("sources"),
        lambda file: file["examples/tokens"].write_direct(np.zeros(26, int)),
    ],
)
def test_a_head_that_is_no_head_is_one_line(copied, spoil):
    with h5py.File(copied, "a") as file:
        spoil(file)
    status, text = command("report", copied)
    assert status == 2 and len(text.splitlines()) == 1 and "run the study again" in text


def test_a_directory_that_is_no_trace_is_one_line(tmp_path):
    (tmp_path / "x.parts").mkdir()
    for name in (tmp_path, tmp_path / "x.parts", tmp_path / "x.h5"):
        status, text = command("report", name)
        assert status == 2 and len(text.splitlines()) == 1 and "without parts of a trace" in text


def test_histograms_count_every_conversion_and_every_cell(place):
    """Whatever the batches and threads of the run; the worst tile is that of the least current."""
    for case in read_trace(place / "runs" / "tiny.h5").cases.values():
        for matrix in case.chips[0].layers.values():
            codes = matrix.codes
            assert codes.counts.sum() + codes.beyond.sum() == matrix.rows.adc_conversions.sum()
            assert codes.beyond.sum() == matrix.rows.adc_saturations.sum()
            assert matrix.attributes.lowest_code == -127 and matrix.attributes.codes_per_bin == 1
            cells = 2 * matrix.attributes.inputs * matrix.attributes.outputs
            assert matrix.conductances.counts.sum() == cells
            worst = matrix.attenuation.mean.argmin()
            found = matrix.attributes
            side_by_side = -(-found.outputs // 16)
            number = 2 * side_by_side * found.worst_tile_row_block
            number += 2 * found.worst_tile_column_block + found.worst_tile_plane
            assert number == worst
            assert found.worst_tile_attenuation == matrix.attenuation.mean[worst]
            if matrix.attenuation.mean[worst] == 1.0:  # no wires
                assert matrix.worst_tile is None
            else:
                share = matrix.worst_tile
                assert share.shape == (4, 4)
                assert share.min() < matrix.attenuation.mean[worst] < share.max() <= 1


def test_a_trace_of_version_3_says_the_same(copied):
    """The layout before: kind, role and layer follow from the names; no histogram, no worst tile."""
    new = summarise(read_trace(copied))
    places = {}
    with h5py.File(copied, "a") as file:
        file.attrs["version"] = 3

        def spoil(name, group):
            for key in list(group.attrs):
                if key in ("kind", "role", "layer", "lowest_code", "codes_per_bin"):
                    places.setdefault(name, {})[key] = group.attrs[key]
                    del group.attrs[key]
                elif key.startswith("worst_tile"):
                    del group.attrs[key]
            for key in ("conductance_edges", "conductance_counts", "code_counts", "codes_beyond"):
                if isinstance(group, h5py.Group) and key in group:
                    del group[key]

        file.visititems(spoil)
    assert len(places) == 32  # steps of both cases
    old = summarise(read_trace(copied))
    for before, after in zip(old.cases, new.cases, strict=True):
        assert before.products == after.products and before.operations == after.operations
        for layer, stated in zip(before.layers, after.layers, strict=True):
            drop = replace(stated.ir_drop, worst=None)
            assert layer == replace(stated, ir_drop=drop, saturated_codes=None)


def test_a_trace_of_version_2_says_the_same(copied):
    """The layout before: no sources, no places, no error_rms, and NaN for the errors of zeros."""
    new = summarise(read_trace(copied))
    with h5py.File(copied, "a") as file:
        file.attrs["version"] = 2
        for name in ("sources", "examples/index", "examples/truncated"):
            del file[name]
        groups = []
        file.visit(lambda name: groups.append(name) if f"{name}/local_error_rms" in file else None)
        for name in groups:
            for kind in ("local", "accumulated"):
                del file[f"{name}/{kind}_error_rms"]
    old = summarise(read_trace(copied))
    for before, after in zip(old.cases, new.cases, strict=True):
        assert before.metric == after.metric and before.cost == after.cost
        np.testing.assert_allclose(
            [layer.local_snr_db for layer in before.layers],
            [layer.local_snr_db for layer in after.layers],
            rtol=1e-9,
            atol=0,
        )
    with h5py.File(copied, "a") as file:
        layer = file["cases/two/0/layers/layer.0.query"]
        for name in ("signal_rms", "relative_rms", "snr_db", "cosine"):
            layer[f"local_{name}"][0] = 0 if name == "signal_rms" else np.nan
    rows = read_trace(copied).cases["two"].chips[0].layers["layer.0.query"].rows
    local = rows.local
    assert (local.relative_rms[0], local.snr_db[0]) == (0, np.inf)
    assert (local.cosine[0], local.error_rms[0]) == (1, 0)
    with pytest.raises(TraceError, match="of version 2, which does not hold its device files"):
        repeat.study_of(read_trace(copied))


# ---------------------------------------------------------------- repeated from a trace


def test_a_run_is_repeated_after_its_files_are_gone(place, tmp_path):
    shutil.copytree(place, tmp_path / "here")
    here = tmp_path / "here"
    path = run.run_study(full_study(here), here / "again", threads=1)
    (here / "device.toml").write_text(device_text("ideal"))
    (here / "chip.toml").unlink()
    (here / "study.toml").unlink()
    status, text = command("run", "--from", path, "--out", here / "again", "--threads", "2")
    assert status == 0, text
    assert "repeated: all outputs of 4 paths are the same bits" in text
    old, new = read_trace(path), read_trace(here / "again" / "tiny-2.h5")
    for name, case in old.cases.items():
        for matrix, layer in case.chips[0].layers.items():
            for key, values in arrays_of(layer.rows).items():
                np.testing.assert_array_equal(
                    values, arrays_of(new.cases[name].chips[0].layers[matrix].rows)[key]
                )
    assert new.sources == old.sources and new.run.study == old.run.study
    rows = accuracy_and_cost.join([summarise(new)])  # the chip of the trace, whose file is gone
    assert {row.result.chip for row in rows} == {"chip"}


def test_another_device_is_told_from_the_same_bits(place):
    trace = read_trace(place / "runs" / "tiny.h5")
    case = trace.cases["two"]
    output = case.chips[0].output.copy()
    output[3, 0] += 1e-6
    chip = type(case.chips[0])(
        output,
        *[
            getattr(case.chips[0], name)
            for name in ("done", "seed", "layers", "products", "operations")
        ],
    )
    other = type(trace)(
        **{**vars(trace), "cases": trace.cases | {"two": type(case)(case.study, (chip,))}}
    )
    assert repeat.compare(trace, other).different == ("two/0",)
    assert "not repeated: the outputs of two/0 differ" in repeat.compare(trace, other).render()


def test_files_that_are_not_those_of_the_trace_are_refused(place, tmp_path):
    here = tmp_path / "here"
    shutil.copytree(place, here)
    path = here / "runs" / "tiny.h5"
    shutil.move(place / "model", place / "moved")
    try:
        status, text = command("run", "--from", path, "--out", tmp_path / "o")
        assert status == 2 and f"the model '{place / 'model'}' of the trace is gone" in text
    finally:
        shutil.move(place / "moved", place / "model")
    where = ("--model", here / "model", "--task", here / "task.tsv")
    (here / "model" / "config.json").write_text((here / "model" / "config.json").read_text() + "\n")
    status, text = command("run", "--from", path, *where, "--out", tmp_path / "o")
    assert (
        status == 2
        and f"config.json in {here / 'model'} is not what the trace was made with" in text
    )
    shutil.copy(place / "model" / "config.json", here / "model" / "config.json")
    (here / "task.tsv").write_text((here / "task.tsv").read_text() + "a man runs\t0\ttest\n")
    status, text = command("run", "--from", path, *where, "--out", tmp_path / "o")
    assert status == 2 and f"the task file {here / 'task.tsv'} has sha256" in text
    shutil.copy(place / "task.tsv", here / "task.tsv")
    assert not (tmp_path / "o").exists()
    status, text = command("run", "--from", path, *where, "--out", tmp_path / "o")
    assert status == 0 and "are the same bits" in text


@pytest.mark.parametrize("option", [("default",), ("--seed", "1"), ("--limit", "5")])
def test_what_the_trace_states_is_not_stated_again(option):
    result = CliRunner().invoke(app, ["run", "--from", "x.h5", *option])
    assert result.exit_code == 2 and "the trace states the study" in result.output


# ---------------------------------------------------------------- names of traces


def test_two_runs_never_share_a_name(place, tmp_path):
    study = tiny_study(place, task={"name": str(place / "task.tsv"), "limit": 2})
    (tmp_path / "tiny.h5").write_bytes(b"not ours")
    (tmp_path / "tiny-2.parts").mkdir()  # what a killed run has left
    assert run.run_study(study, tmp_path, threads=1).name == "tiny-3.h5"
    assert (tmp_path / "tiny.h5").read_bytes() == b"not ours"
