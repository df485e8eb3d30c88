"""Files as instruments write them: the right numbers, and what was assumed in the echo."""

import gzip

import numpy as np
import pytest
from numpy.testing import assert_allclose

from xbarsim.base.errors import ConfigError
from xbarsim.calibrate import calibrate_files
from xbarsim.calibrate.tables import MeasurementFile, Wanted, read_table

IV = (
    Wanted("voltage", "V", ("v", "voltage", "bias")),
    Wanted("current", "A", ("i", "current")),
    Wanted("cell", "text", ("cell", "device"), optional=True),
)
VOLTAGE = [0.0, 0.05, 0.1, 0.15]
CURRENT = [0.0, 1e-6, 2e-6, 3.5e-6]

PREAMBLE = """Device,D7
Operator,R. Roe
Points,4
Compliance,1e-3

"""
FORMS = {
    "preamble": (
        PREAMBLE + "V (V),I (A)\n0,0\n0.05,1e-6\n0.1,2e-6\n0.15,3.5e-6\n",
        "lines 1 to 4 before the table left out",
    ),
    "long preamble": (
        "Key,3\n" * 30 + "V (V),I (A)\n0,0\n0.05,1e-6\n0.1,2e-6\n0.15,3.5e-6\n",
        "lines 1 to 30 before the table left out",
    ),
    "title": (
        "Sweep of the 3rd of May\nV (V);I (A)\n0;0\n0.05;1e-6\n0.1;2e-6\n0.15;3.5e-6\n",
        "line 1 before the table left out",
    ),
    "two header rows": (
        "SMU1,,SMU2,\nV (V),I (A),V (V),I (A)\n"
        "0,0,9,9\n0.05,1e-6,9,9\n0.1,2e-6,9,9\n0.15,3.5e-6,9,9\n",
        "header from lines 1 and 2",
    ),
    "row of units": (
        "V,I,note\nmV,(uA),-\n0,0,a\n50,1,a\n100,2,b\n150,3.5,b\n",
        "units from line 2",
    ),
    "footer": (
        "V (V),I (A)\n0,0\n0.05,1e-6\n0.1,2e-6\n0.15,3.5e-6\n\nMean,1.6e-6\nEnd\n",
        "lines 7 to 8 after it left out",
    ),
    "footer of words": (
        "V (V),I (A)\n0,0\n0.05,1e-6\n0.1,2e-6\n0.15,3.5e-6\nTest completed\n",
        "line 6 after it left out",
    ),
    "DataName": (
        "SetupTitle,I/V Sweep\nTestParameter,Measurement.Points,4\nMetaData,Flag,1\n"
        "Dimension1,4,4\nDataName, V1, I1, T1\nDataValue, 0, 0, 1\nDataValue, 0.05, 1E-06, 2\n"
        "DataValue, 0.1, 2E-06, 3\nDataValue, 0.15, 3.5E-06, 4\n",
        "DataName export",
    ),
    "decimal commas and semicolons": (
        "V (V);I (A)\n0,00;0,0000e+00\n0,05;1,0000e-06\n0,10;2,0e-06\n0,15;3,5e-6\n",
        "decimal commas",
    ),
    "decimal commas and tabs": (
        "V (V)\tI (uA)\n0\t0\n0,05\t1\n0,10\t2,0\n0,15\t3,5\n",
        "decimal commas",
    ),
    "quoted decimal commas": (
        '"V (V)","I (A)"\n"0","0"\n"0,05","1e-6"\n"0,1","2e-6"\n"0,15","3,5e-6"\n',
        "decimal commas",
    ),
    "blanks": (
        "  V (V)   I (A)\n  0.00   0.0\n  0.05   1.0e-6\n  0.10   2.0e-6\n  0.15   3.5e-6\n",
        "separated by blanks",
    ),
    "trailing separators": (
        "V (V),I (A),\n0,0,\n0.05,1e-6,\n0.1,2e-6,\n0.15,3.5e-6,\n",
        "",
    ),
    "separators beyond the header": (
        "V (V),I (A)\n0,0,,\n0.05,1e-6,\n0.1,2e-6,,\n0.15,3.5e-6\n",
        "",
    ),
    "dropped blanks": (
        "V (V)\tI (A)\tVSET\n0.0\t0.0\t0.7\n0.05\t1e-6\n0.10\t2e-6\n0.15\t3.5e-6\n",
        "3 rows are shorter than the others",
    ),
    "prefixes": (
        "V (V),I (A)\n0,0\n50m,1u\n100m,2000n\n0.15,3.5u\n",
        "",
    ),
    "units in cells": (
        "V,I\n0 V,0 uA\n50 mV,1 uA\n100 mV,2000 nA\n0.15 V,3.5 uA\n",
        "",
    ),
    "header behind #": (
        "# measured with care\n# V (V),I (A)\n0,0\n0.05,1e-6\n0.1,2e-6\n0.15,3.5e-6\n",
        "header from a comment",
    ),
    "true minus sign": (
        "V (V),I (A)\n\u22120,0\n0.05,1e\u22126\n0.1,2e\u22126\n0.15,3.5e\u22126\n",
        "",
    ),
}


def written(tmp_path, content, name="iv.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def assert_is_the_sweep(table, echo=""):
    assert_allclose(table["voltage"], VOLTAGE, rtol=1e-12, atol=0)
    assert_allclose(table["current"], CURRENT, rtol=1e-12, atol=0)
    assert echo in table.echo, table.echo


def given_of(form):
    """Two header rows still leave two channels to choose from."""
    if form == "two header rows":
        return {"voltage": "SMU1 V (V)", "current": "2"}
    return None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_forms_in_all_encodings(form, encoding, tmp_path):
    content, echo = FORMS[form]
    path = written(tmp_path, content.encode(encoding))
    table = read_table(path, IV, given_of(form))
    assert_is_the_sweep(table, echo)
    assert ("UTF-16" in table.echo) == encoding.startswith("utf-16")


def test_line_ends_of_old_and_compression(tmp_path):
    content = FORMS["preamble"][0]
    for ends in ("\r\n", "\r"):
        path = written(tmp_path, gzip.compress(content.replace("\n", ends).encode("utf-16")))
        assert_is_the_sweep(read_table(path, IV), "lines 1 to 4")


def test_skip_where_the_table_is_not_found(tmp_path):
    """Lines of numbers above the header look like data without one."""
    content = "1,2\n3,4\nV (V),I (A)\n0,0\n0.05,1e-6\n0.1,2e-6\n0.15,3.5e-6\n"
    path = written(tmp_path, content)
    with pytest.raises(ConfigError, match="no column for voltage.*no header.*--skip N"):
        read_table(path, IV)
    assert_is_the_sweep(read_table(MeasurementFile(path, skip=2), IV))
    with pytest.raises(ConfigError, match="the file is empty beyond the 20 lines of --skip"):
        read_table(MeasurementFile(path, skip=20), IV)


def test_tables_one_after_the_other(tmp_path):
    """A header that repeats, or several DataName exports appended, counts its tables."""
    repeated = "V (V),I (A)\n0,0\n0.05,1e-6\nV (V),I (A)\n0.1,2e-6\n0.15,3.5e-6\n"
    exported = (
        "SetupTitle,a\nDataName,V1,I1\nDataValue,0,0\nDataValue,0.05,1e-6\n"
        "SetupTitle,a\nDataName,V1,I1\nDataValue,0.1,2e-6\nDataValue,0.15,3.5e-6\n"
    )
    for content in (repeated, exported):
        path = written(tmp_path, content)
        table = read_table(path, (*IV, Wanted("sweep", "text", ("block",))))
        assert_is_the_sweep(table)
        assert list(table["sweep"]) == ["1", "1", "2", "2"]
        assert_allclose(read_table(path, IV, where={"block": "2"})["voltage"], [0.1, 0.15])
    path = written(tmp_path, exported.replace("DataName,V1,I1", "DataName,V2,I2", 1))
    with pytest.raises(ConfigError, match="line 6: a second table with other columns"):
        read_table(path, IV)


def test_repeated_names_are_chosen_by_number(tmp_path):
    path = written(
        tmp_path, "V (V),I (A),V (V),I (A)\n9,9,0,0\n9,9,0.05,1e-6\n9,9,0.1,2e-6\n9,9,0.15,3.5e-6\n"
    )
    for given in (None, {"voltage": "V (V)"}):
        with pytest.raises(
            ConfigError,
            match="line 1: column 'V .V.' appears more than once, as 1 "
            "and 3; choose one by its number",
        ):
            read_table(path, IV, given)
    with pytest.raises(ConfigError, match="more than once"):
        read_table(path, IV, {"voltage": "3", "current": "4"}, where={"V (V)": "9"})
    table = read_table(path, IV, {"voltage": "3", "current": "4"})
    assert_is_the_sweep(table, "voltage from 'V (V)' (column 3)")
    unrelated = written(
        tmp_path, "x,x,V (V),I (A)\n1,2,0,0\n1,2,0.05,1e-6\n1,2,0.1,2e-6\n1,2,0.15,3.5e-6\n"
    )
    assert_is_the_sweep(read_table(unrelated, IV))


@pytest.mark.parametrize(
    "content, message",
    [
        (
            "V (V);I (A)\n0,1;1e-6\n0.2;2e-6\n",
            "line 2: a decimal comma in 'V .V.' where line 3 has a",
        ),
        ("V (V);I (A)\n0.1;1,000\n0.2;2,000\n", "'I .A.' has commas.*'V .V.' decimal points"),
        (
            "V (V),I (A)\n0,05,1,5\n0,10,2,0\n",
            "line 2: 4 cells where the header has 2; decimal commas",
        ),
        ("V (V),I (A),x,y\n0,05,1,5\n0,10,2,0\n", "line 2: '05' in 'I .A.' begins with 0"),
        ("V (V),I (uA)\n0,1u\n1,2u\n", "line 2: '1u' in 'I .uA.' leaves its unit open"),
        ("V (V),I (A)\n0,null\n1,2\n1,2\n", "line 2: 'null' is not a number in 'I .A.'"),
        ("V (V),I (A)\n0,1\n1,2\n1,nan\n", "line 4: 'nan' in 'I .A.' is not a measurement"),
        ("V (V),I (A)\n0,1\n1,1_0\n2,3\n", "line 3: '1_0' is not a number"),
        ("V (V),I (A)\n0,1\n1,1e400\n", "line 3: '1e400' in 'I .A.' is not a measurement"),
        ("cell,V (V),I (A)\na,0,1\nnan,1,2\n", "line 3: 'nan' is no label in 'cell'"),
        ("cell,V (V),I (A)\na,0,1\n,1,2\n", "line 3: no label in 'cell'"),
        ("cell,V (V),I (A)\n1,0,1\n1.0,1,2\n", "line 3: '1.0' in 'cell' where line 2 has '1'"),
        ("V (V),I (A)\nlow,0\n1,2\n2,3\n3,4\n", "line 2: 'low' is not a number in 'V .V.'"),
        ("V (V),I (A)\n0,1\n1,2\n2,low\n3,4\n", "line 4: 'low' is not a number in 'I .A.'"),
        ("DataName,V1,I1\nDimension,3\n", "line 1: a DataName row and no DataValue row"),
        ("DataName,V1,V2,I1\nDataValue,1,2,3\n", "'V1' and 'V2' could both be voltage"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel file .*save it as .xlsx or CSV"),
        (b"PK\x03\x04broken", "no readable workbook"),
        (b"\xff\xfeV\x00,\x00\xd8", "damaged UTF-16"),
    ],
)
def test_what_cannot_be_known_is_refused(content, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        read_table(written(tmp_path, content), IV)


def test_prefix_of_minutes_or_milliseconds(tmp_path):
    path = written(tmp_path, "time,G (uS)\n1m,50\n2m,49\n")
    with pytest.raises(ConfigError, match="line 2: '1m' in 'time' leaves its unit open"):
        read_table(path, (Wanted("time", "s", ("time",)),))


def test_workbooks(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    page = book.active
    page.title = "Run7"
    for row in (["My device"], [], ["V (V)", "I (uA)"], [0, 0], [0.05, 1], [0.1, 2.0], [0.15, 3.5]):
        page.append(row)
    book.create_sheet("Notes").append(["nothing measured here"])
    path = tmp_path / "measured.xlsx"
    book.save(path)
    assert_is_the_sweep(read_table(path, IV), "sheet 'Run7', line 1 before the table left out")
    book["Notes"].append([1, 2])
    book.save(path)
    with pytest.raises(ConfigError, match="2 sheets hold numbers; .*measured.xlsx:Run7"):
        read_table(path, IV)
    assert_is_the_sweep(read_table(f"{path}:Run7", IV))
    with pytest.raises(ConfigError, match="no sheet 'Run8'; sheets are 'Run7', 'Notes'"):
        read_table(f"{path}:Run8", IV)


def test_a_workbook_without_openpyxl(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(ConfigError, match=r"needs openpyxl: pip install 'xbarsim\[excel\]'"):
        read_table(written(tmp_path, b"PK\x03\x04", "a.xlsx"), IV)


def test_command_skips_lines_and_says_what_it_assumed(tmp_path):
    from typer.testing import CliRunner

    from xbarsim.cli.app import app

    voltage = np.linspace(0, 0.5, 21)
    rows = [f"{v:.3f};{20e-6 * v:.4e}".replace(".", ",") for v in voltage]
    path = written(tmp_path, "\n".join(["1;2", "V (V);I (A)", *rows]))
    run = CliRunner().invoke(app, ["calibrate", "iv", str(path), "--skip", "1"])
    assert run.exit_code == 0, run.output
    assert "decimal commas" in run.stdout and "separated by semicolons" in run.stdout
    fit = calibrate_files("iv", [path], skip=1)
    assert_allclose(fit.conductance.value, 20e-6, rtol=1e-6)
    assert "decimal commas" in fit.inputs[0]
    with pytest.raises(ConfigError, match="--skip is for tables of measurements"):
        calibrate_files("array", [path], skip=1)
