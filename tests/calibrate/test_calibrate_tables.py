"""Tables of measurements: columns and units found or given, malformed files refused with the number
of the line.
"""

import gzip

import numpy as np
import pytest
from numpy.testing import assert_allclose

from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.tables import Wanted, read_table, split_header, unit_scale

IV = (
    Wanted("voltage", "V", ("v", "voltage", "bias")),
    Wanted("current", "A", ("i", "current")),
    Wanted("branch", "text", ("branch",), optional=True),
)


def written(tmp_path, content, name="iv.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "header, name, unit",
    [
        ("v_V", "v", "V"),
        ("i_uA", "i", "uA"),
        ("Current (µA)", "Current", "µA"),
        ("Bias [mV]", "Bias", "mV"),
        ("R/kohm", "R", "kohm"),
        ("time_s", "time", "s"),
        ("G_initial_S", "G_initial", "S"),
        ("target value uS", "target value", "uS"),
        ("read_cycle", "read_cycle", ""),
    ],
)
def test_headers(header, name, unit):
    assert split_header(header) == (name, unit)


@pytest.mark.parametrize(
    "text, unit, factor",
    [
        ("uA", "A", 1e-6),
        ("µA", "A", 1e-6),
        ("\u03bcS", "S", 1e-6),
        ("mS", "S", 1e-3),
        ("ms", "s", 1e-3),
        ("h", "s", 3600),
        ("kOhm", "ohm", 1e3),
        ("S", "s", None),
        ("V", "A", None),
        ("\u2126", "ohm", 1),
    ],
)
def test_units(text, unit, factor):
    scale = unit_scale(text, unit)
    assert scale is None if factor is None else scale == (factor, False)


@pytest.mark.parametrize(
    "content",
    [
        "v_V,i_uA,branch\n0,0,up\n0.5,2,up\n",
        "Bias (mV)\tCurrent [nA]\tbranch\n0\t0\tup\n500\t2000\tup\n",
        "# probe 7\n\nbranch;t;voltage/V;current_mA\nup;0;0;0\nup;1;0.5;0.002\n",
        "V,I,branch\n0 mV,0 uA,up\n500mV,2 uA,up\n",
        "\ufeffV (V), I (A), Branch\r\n0,0,up\r\n0.5,2e-6,up\r\n",
    ],
)
def test_reads(content, tmp_path):
    table = read_table(written(tmp_path, content), IV)
    assert_allclose(table["voltage"], [0, 0.5])
    assert_allclose(table["current"], [0, 2e-6], rtol=1e-12)
    assert list(table["branch"]) == ["up", "up"]
    assert "voltage from" in table.echo and "guessed" in table.echo


def test_latin1_gzip_numbers_and_resistances(tmp_path):
    assert_allclose(
        read_table(written(tmp_path, "V (V),I (\xb5A)\n1,2\n".encode("latin-1")), IV)["current"],
        [2e-6],
    )
    cells = (Wanted("conductance", "S", ("g",)),)
    path = written(tmp_path, gzip.compress(b"1\t2000\n2\t4000\n"), "r.tsv.gz")
    assert_allclose(
        read_table(path, cells, {"conductance": "2:ohm"})["conductance"], [5e-4, 2.5e-4]
    )


def test_rows_are_chosen(tmp_path):
    path = written(
        tmp_path, "icc_uA,v_V,i_uA,branch\n50,0.1,1,a\n200,0.1,2,a\n200,0.9,3,a\n200,-0.2,4,b\n"
    )
    table = read_table(path, IV, where={"icc_uA": "200", "v_V": "-0.8..0.8"})
    assert_allclose(table["current"], [2e-6, 4e-6])
    assert list(table.lines) == [3, 5] and "where icc_uA = 200" in table.echo
    assert list(read_table(path, IV, where={"branch": "b"}).lines) == [5]
    for where, message in (
        ({"icc_uA": "7"}, "no row fulfils"),
        ({"x": "7"}, "no column 'x'"),
        ({"branch": "0..1"}, "not a number"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_table(path, IV, where=where)


@pytest.mark.parametrize(
    "content, message",
    [
        ("v_V,x\n0,0\n", r"no column for current \(A\).*'v_V', 'x'.*--column current=HEADER"),
        ("0,0\n1,1\n", r"no column for voltage.*no header.*voltage=NUMBER:UNIT"),
        ("v_V,i\n0,0\n", r"line 2: 'i' has no unit of current.*--column current=NAME:A"),
        ("v_V,i (V)\n0,0\n", "no column for current"),
        ("v,i\n0 V,0 uA\n1 V,1 mV\n", "line 3: unit 'mV' of 'i' is not one of current"),
        (
            "v_V,i_uA\n0,0\n1,1 nA\n",
            "line 3: mixed units in 'i_uA': 'nA' where the header says 'uA'",
        ),
        (
            "v_V,i\n0,0 nA\n1,1\n",
            "line 3: mixed units in 'i': 'none' where a line before says 'nA'",
        ),
        (
            "v_V,i_uA\n0,0\nnan,1\n2,2\nnan,3\n",
            "line 3 and 1 more rows: 'nan' in 'v_V' is not a measurement",
        ),
        ("v_V,i_A\n0,9.9e37\n", "line 2: '9.9e37' in 'i_A' is not a measurement"),
        ("v_V,i_uA\n0,0\n1,\n", "line 3: an empty cell in 'i_uA'"),
        ("v_V,i_uA\n0,0\n1,low\n", "line 3: 'low' is not a number in 'i_uA'"),
        ("v_V,i_uA\n0,0\n1,2,3\n", "line 3: 3 cells where the header has 2; decimal commas"),
        ("v_V,i_uA,j_uA,current_uA\n0,0,0,0\n", None),
        ("i1_V,v_V,v_A,v_V2\n0,0,0,0\n", None),
        ("v_V,i a_uA,i b_uA\n0,0,0\n", "'i a_uA' and 'i b_uA' could both be current"),
        ("v_V,v_V,i_A\n0,0,0\n", "line 1: column 'v_V' appears more than once"),
        ("v_V,i_uA\n", "line 1: a header and no data"),
        ("", "line 1: the file is empty"),
        ("# only this\n", "line 1: the file is empty but for comments"),
        (b"v_V,i_uA\n0,0\n\0\1", "line 3: binary data"),
        (b"\x89PNG\r\n\x1a\n\x00", "binary data"),
        (b"a,b\n\xff\x01,2\n", "line 2: binary data"),
        (b"\x1f\x8b\x08broken", "cannot be read"),
    ],
)
def test_malformed_files(content, message, tmp_path):
    path = written(tmp_path, content)
    if message is None:
        read_table(path, IV)
        return
    with pytest.raises(ConfigError, match=message):
        read_table(path, IV)


def test_given_columns_that_are_wrong(tmp_path):
    path = written(tmp_path, "v_V,i_uA\n0,0\n")
    for given, message in (
        ({"volt": "v_V"}, "column 'volt' is not one of this kind"),
        ({"voltage": "w"}, "no column 'w'; columns are 'v_V'"),
        ({"voltage": "v_V:A"}, "unit 'A' given for column 'voltage'"),
        ({"current": "v_V", "voltage": "v_V"}, "unit 'V' of 'v_V'"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_table(path, IV, given)
    with pytest.raises(ConfigError, match="1 row of data .line 2.; the fit needs at least 3"):
        read_table(path, IV).require(3, "the fit")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_table(tmp_path / "absent.csv", IV)


def test_arbitrary_units(tmp_path):
    table = read_table(
        written(tmp_path, "0.1\n0.2\n"), (Wanted("g", "S", ("g",), free=True),), {"g": "1"}
    )
    assert table.units == {"g": "1"} and "arbitrary units" in table.echo
    assert np.all(table["g"] == [0.1, 0.2])
