"""`xbarsim solve` as a user sees it: files of many forms in, files out, and what is refused."""

import json

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from xbarsim import Crossbar
from xbarsim.base import array_files
from xbarsim.base.errors import ConfigError, OutputError, ShapeError
from xbarsim.circuit import cells
from xbarsim.circuit.files import Asked, CrossbarFiles, solve_files
from xbarsim.cli import app as cli

G = np.array([[1e-5, 2.5e-5], [3e-5, 4e-5], [5e-5, 6.5e-5]])
V = np.array([0.1, 0.2, 0.3])


def solve(*arguments):
    return CliRunner().invoke(cli.app, ["solve", *map(str, arguments)])


def printed(*arguments):
    done = solve(*arguments)
    assert done.exit_code == 0, done.output
    return [[float(cell) for cell in line.split(",")] for line in done.stdout.strip().splitlines()]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savetxt("g.csv", G, delimiter=",")
    np.savetxt("v.csv", V)
    return tmp_path


def test_one_row_is_one_input(place):
    np.savetxt("row.csv", V[None], delimiter=",")
    np.save("row.npy", V[None])
    expected = printed("g.csv", "--input", "v.csv")
    for row in ("row.csv", "row.npy"):
        assert printed("g.csv", "--input", row) == expected
        done = solve(
            "g.csv",
            "--input",
            row,
            "--sensitivity",
            "--noise",
            1e-6,
            "--settle",
            "1e-15,1e-15",
            "--out",
            "all.h5",
            "--spice",
            "net.cir",
            "--picture",
            "map.png",
        )
        assert done.exit_code == 0, done.output
        with h5py.File("all.h5") as file:
            assert file["output_noise"].shape == (2,) and file["sensitivity"].shape == (2, 3, 2)
    np.savetxt("two.csv", [V, 2 * V], delimiter=",")
    np.testing.assert_allclose(
        printed("g.csv", "--input", "two.csv"), [expected[0], 2 * np.array(expected[0])]
    )


def test_a_notebook_solves_files_with_one_call(place):
    """Its result against a Crossbar of the same numbers, and against what the command prints."""
    wired = CrossbarFiles("g.csv", word_line_resistance="2", sense_resistance="5", cell="sinh:0.3")
    solved = solve_files(wired, Asked(voltage="v.csv", bias="0.05"))
    twin = Crossbar(G, 2.0, 1.0, 0.0, 5.0, cell=cells.Sinh(0.3)).solve(V, 0.05)
    np.testing.assert_array_equal(solved.solution.output_current, twin.output_current)
    found = printed(
        *("g.csv", "--input", "v.csv", "--word-line", 2, "--sense", 5),
        *("--cell", "sinh:0.3", "--bias", 0.05),
    )
    np.testing.assert_array_equal(found, [twin.output_current])
    for wrong in ({"cell": "selector:1e-5,0.1"}, {"access": "sinh:0.3"}):
        with pytest.raises(ConfigError, match="is no (memristor|access device); allowed"):
            solve_files(CrossbarFiles("g.csv", **wrong), Asked())


def test_one_column_is_one_bit_line(place):
    np.savetxt("column.csv", G[:, 0])
    expected = Crossbar(G[:, :1]).solve(V).output_current
    np.testing.assert_array_equal(printed("column.csv", "--input", "v.csv"), [expected])
    np.savetxt("line.csv", G[:1], delimiter=",")
    np.savetxt("volts.csv", V)  # of one word line: three inputs
    expected = Crossbar(G[:1]).solve(V[:, None]).output_current
    np.testing.assert_array_equal(printed("line.csv", "--input", "volts.csv"), expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_headers_and_blank_lines(place, encoding):
    text = (
        "# written by an instrument, µS\n\n"
        + "\n".join(",".join(map(str, row)) for row in 1e6 * G)
        + "\n"
    )
    (place / "marked.csv").write_text(text, encoding=encoding)
    np.testing.assert_allclose(
        printed("marked.csv", "--unit", "uS", "--input", "v.csv"),
        printed("g.csv", "--input", "v.csv"),
        rtol=1e-12,
    )


def test_units(place):
    expected = printed("g.csv", "--input", "v.csv")
    for unit, scale in (("mS", 1e3), ("uS", 1e6), ("µS", 1e6), ("nS", 1e9)):
        np.savetxt("g2.csv", scale * G, delimiter=",")
        np.testing.assert_allclose(
            printed("g2.csv", "--unit", unit, "--input", "v.csv"), expected, rtol=1e-12
        )
    for unit, scale in (("ohm", 1.0), ("kohm", 1e-3), ("Mohm", 1e-6)):
        np.savetxt("r.csv", scale / G, delimiter=",")
        np.testing.assert_allclose(
            printed("r.csv", "--unit", unit, "--input", "v.csv"), expected, rtol=1e-12
        )
    ohm = np.array([[np.inf, 0.0], [1e4, 2e4], [1e5, 3e4]])
    np.savetxt("r.csv", ohm, delimiter=",")
    g = np.array([[0.0, np.inf], [1e-4, 5e-5], [1e-5, 1 / 3e4]])
    np.testing.assert_allclose(
        printed("r.csv", "--unit", "ohm", "--input", "v.csv"),
        [Crossbar(g).solve(V).output_current],
        rtol=1e-9,
    )
    assert "allowed: S, mS" in str(solve("g.csv", "--unit", "furlong").exception)


def test_siemens_that_look_like_ohms_get_a_remark(place):
    np.savetxt("r.csv", 1 / G, delimiter=",")
    with pytest.warns(UserWarning, match="--unit ohm"):
        solve("r.csv", "--input", "v.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,000012,0,000034\n0,000011,0,000025\n", "decimal commas"),
        ("1,2E-05,3,4E-05\n", "decimal commas"),
        ("0,05,0,10\n", "decimal commas"),
        ("1e-5;2e-5\n", "not numbers separated by commas"),
        ("a,b\n1,2\n", "start a line that is no data with #"),
        ("1,2\n3\n", "1 columns, the lines before have 2"),
        ("# nothing\n", "the file is empty"),
    ],
)
def test_text_that_is_no_matrix(place, text, message):
    (place / "bad.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        array_files.read_array("bad.csv")


@pytest.mark.parametrize("text", ["1,2,3,4\n", "10,20\n", "1e-5,2e-5\n", "0,1,0,1\n", "0.5,05\n"])
def test_whole_numbers_stay_what_they_are(place, text):
    (place / "good.csv").write_text(text)
    np.testing.assert_array_equal(
        array_files.read_matrix("good.csv"), [[float(cell) for cell in text.split(",")]]
    )


WRONG = {
    "complex": np.ones((2, 2)) * (1 + 1j),
    "masked": np.ma.masked_less(np.array([[1e-5, 2e-5], [3e-5, 4e-5]]), 2e-5),
    "text": np.array([["1e-5", "2e-5"], ["3e-5", "4e-5"]]),
    "dates": np.array([["2026-01-01", "2026-01-02"]] * 2, dtype="datetime64[D]"),
    "time spans": np.array([[1, 2], [3, 4]], dtype="timedelta64[s]"),
    "records": np.zeros((2, 2), dtype=[("a", float)]),
    "objects": np.array([[None, 1], [2, 3]], dtype=object),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_real_number_is_refused_and_not_cast(tmp_path, kind):
    """Wherever an array enters: crossbar, wires, inputs, biases, noise, capacitances, curves,
    files.
    """
    wrong, xb = WRONG[kind], Crossbar(np.full((2, 2), 1e-5))
    vector = wrong[0]
    for enter in (
        lambda: Crossbar(wrong),
        lambda: Crossbar(np.ones((2, 2)), wrong),
        lambda: Crossbar(np.ones((2, 2)), 1.0, wrong),
        lambda: Crossbar(np.ones((2, 2)), 1.0, 1.0, vector),
        lambda: Crossbar(np.ones((2, 2)), floating_word_lines=vector),
        lambda: xb.solve(vector),
        lambda: xb.solve([1, 1], vector),
        lambda: xb.output_noise([1, 1], wrong),
        lambda: xb.sensitivity([1, 1], vector),
        lambda: xb.settle([1, 1], wrong, 1e-15),
        lambda: xb.settle(vector, 1e-15, 1e-15),
        lambda: cells.Polynomial(vector, 1.0),
        lambda: cells.Table(vector, [0, 1]),
        lambda: cells.Table([-1, 1], vector),
    ):
        with pytest.raises(ShapeError, match="real numbers|line numbers"):
            enter()
    if kind not in ("masked", "objects"):
        np.save(tmp_path / "wrong.npy", wrong)
        with pytest.raises(ShapeError, match=kind):
            array_files.read_array(tmp_path / "wrong.npy")


@pytest.mark.parametrize("wrong", ["0.3", 1j, None, np.datetime64("2026-01-01"), [0.1, 0.2]])
def test_what_is_no_number_is_refused(wrong):
    xb = Crossbar(np.full((2, 2), 1e-5), 1.0)
    for enter in (
        lambda: cells.Sinh(wrong),
        lambda: cells.Selector(wrong, 0.1),
        lambda: cells.Transistor(1e3, wrong),
        lambda: cells.Polynomial((0.1,), wrong),
        lambda: xb.solve([1, 1], tolerance=wrong),
        lambda: xb.settle([1, 1], 1e-15, 1e-15, within=wrong),
        lambda: xb.settle([1, 1], 1e-15, 1e-15, accuracy=wrong),
    ):
        with pytest.raises(ValueError, match="real numbers|allowed"):
            enter()


def test_the_result_holds_what_was_solved(place):
    """From its own arrays and attributes the same bits again, after all other files are gone."""
    np.save("word.npy", np.linspace(1, 3, 9).reshape(3, 3))
    call = [
        "--input",
        "v.csv",
        "--word-line",
        "word.npy",
        "--source",
        5,
        "--bias",
        0.02,
        "--drive",
        "both",
        "--floating-word-lines",
        "1",
        "--cell",
        "sinh:0.3",
        "--out",
        "all.h5",
    ]
    assert solve("g.csv", *call).exit_code == 0
    for name in ("g.csv", "v.csv", "word.npy"):
        (place / name).unlink()
    with h5py.File("all.h5") as file:
        said, first = dict(file.attrs), file["output_current"][:]
        np.testing.assert_array_equal(file["solved/conductance"][:], G)
        assert file["solved/source_resistance"].attrs["unit"] == "ohm"
    assert said["drive"] == "both" and said["cell"] == "sinh:0.3" and said["xbarsim"]
    assert said["floating_word_lines"].tolist() == [1] and isinstance(
        json.loads(said["command"]), list
    )
    held = {
        option: f"all.h5:solved/{name}"
        for option, name in (
            ("--input", "input_voltage"),
            ("--word-line", "word_line_resistance"),
            ("--bit-line", "bit_line_resistance"),
            ("--source", "source_resistance"),
            ("--sense", "sense_resistance"),
            ("--bias", "bias_voltage"),
        )
    }
    again = [word for pair in held.items() for word in pair]
    found = printed(
        "all.h5:solved/conductance",
        *again,
        "--drive",
        said["drive"],
        "--cell",
        said["cell"],
        "--floating-word-lines",
        "1",
    )
    np.testing.assert_array_equal(found, [first])


def test_files_that_are_read_are_not_written(place):
    np.save("g.npy", G)
    for option, name, other in (
        ("--out", "g.npy", ()),
        ("--out", "v.csv", ()),
        ("--spice", "v.csv", ()),
        ("--picture", "./g.npy", ()),
        ("--picture", "x.h5", ("--out", "x.h5")),
    ):
        done = solve("g.npy", "--input", "v.csv", option, name, *other)
        assert isinstance(done.exception, ConfigError) and "choose another name" in str(
            done.exception
        )
    np.testing.assert_array_equal(np.load("g.npy"), G)


def test_a_failed_write_leaves_what_was_there(place, monkeypatch):
    (place / "out.csv").write_text("before\n")

    def half(file, *_, **__):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savetxt", half)
    failed = solve("g.csv", "--input", "v.csv", "--out", "out.csv").exception
    assert isinstance(failed, OutputError) and "no space left" in str(failed)
    assert (place / "out.csv").read_text() == "before\n"
    assert not [path for path in place.iterdir() if path.name.startswith(".incomplete")]


def test_a_picture_without_suffix_says_what_it_wrote(place):
    done = solve("g.csv", "--input", "v.csv", "--picture", "map")
    assert "written: map.png" in done.output and (place / "map.png").stat().st_size > 5000
    assert "choose a suffix" in str(
        solve("g.csv", "--input", "v.csv", "--picture", "map.xyz").exception
    )


def test_help_of_transposed_says_where_resistances_stay():
    text = " ".join(solve("--help").output.replace("│", " ").split())
    assert "--source at the word lines, which are then sensed" in text


def test_transposed_leaves_resistances_where_they_are(place):
    np.savetxt("two.csv", [0.1, 0.2])
    found = printed("g.csv", "--input", "two.csv", "--source", 1e4, "--sense", 10, "--transposed")
    turned = (
        Crossbar(G.T[:, ::-1][::-1], 1.0, 1.0, 10.0, 1e4).solve([0.2, 0.1]).output_current[::-1]
    )
    assert np.shape(found) == (1, 3)
    np.testing.assert_allclose(
        found[0],
        Crossbar(G.T, 1.0, 1.0, 10.0, 1e4, drive="right", sense="top")
        .solve([0.1, 0.2])
        .output_current,
        rtol=1e-9,
    )
    np.testing.assert_allclose(found[0], turned, rtol=1e-9)
