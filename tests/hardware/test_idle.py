"""Every key of a study changes a result of a tiny model, is refused, or is said to have no effect.

The oracle is the run itself: a study in which one key has another value, bit by bit against the
same study without the change.
"""

import dataclasses
import warnings

import h5py
import numpy as np
import pytest
import tomli_w
from study_keys import CHANGES, COUNTING, DEVICE, ELSEWHERE, MODES, SERIAL
from tiny import make_tiny_bert

from xbarsim.base.errors import ConfigError, IdleSettingWarning
from xbarsim.config.study import Study, load_study, merge
from xbarsim.config.tables import Table
from xbarsim.devices.presets import load_device
from xbarsim.hardware.idle_rules import rules_of
from xbarsim.models.graph import INPUT, Block, Graph, Link, Transformer, graph_of
from xbarsim.report.files import to_json
from xbarsim.report.summary import summarise
from xbarsim.report.text import render
from xbarsim.studies import run
from xbarsim.studies.pieces import Case
from xbarsim.studies.trace_reader import read_trace

SENTENCES = [
    "the film was good .",
    "a bad movie , dull acting",
    "great plot and fine story",
    "the cat eats it",
    "awful , awful film !",
    "the woman sees a dog in the story",
    "poor acting",
    "it was not great",
]
ENCODER = graph_of(
    Transformer(
        layers=1,
        hidden=12,
        heads=2,
        key_value_heads=2,
        head_width=6,
        intermediate=20,
        block=Block.POST_NORM,
        causal=False,
        embeddings_norm=True,
        activation_name="gelu",
    ),
    sequence=8,
)
_QUERY = dataclasses.replace(ENCODER.step("layer.0.query"), after=(Link(INPUT),))
MATRIX_ALONE = Graph((_QUERY,), 8)
# Every BERT has attention and functions, every array a read time, every matrix a scale of its
# inputs; an offset without slices is refused.
NEVER_IDLE = {
    "products.attention",
    "functions.softmax.unit",
    "functions.layer_norm.unit",
    "functions.gelu.unit",
    "dac.read_time_ns",
    "dac.scaling",
    "mapping.crosspoint",  # the modes have no slices of one bit: see the test below
    "mapping.scale_shift",
    "mapping.array",  # without binary weights it is refused; with them: see the test below
    "mapping.sign",
    # without a device that ages: below; a fit without a time of use is refused
    "correction.fitted_s",
    "correction.rescaling",
}
RULED = [path for path in CHANGES if rules_of(path) and path not in NEVER_IDLE]
SLOW = {"digits", "stated", "segment", "selector"}
MARKED = [pytest.param(mode, marks=[pytest.mark.long] * (mode in SLOW)) for mode in MODES]


def leaves(table, prefix=""):
    """Paths of all keys of a table."""
    found = set()
    for name, field in table.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Table):
            found |= leaves(kind, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def nested(path, value):
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("idle")
    make_tiny_bert(directory / "model", layers=1, hidden=16, heads=2, intermediate=32, classes=2)
    (directory / "full.toml").write_text(DEVICE)
    rows = [f"{text}\t{k % 2}\t{'train' if k < 4 else 'test'}" for k, text in enumerate(SENTENCES)]
    (directory / "task.tsv").write_text("sentence\tlabel\tsplit\n" + "\n".join(rows) + "\n")
    return directory


def study_of(place, **tables):
    content = {"model": {"name": str(place / "model")}, "task": {"name": str(place / "task.tsv")}}
    text = tomli_w.dumps(content | tables).replace('"FULL"', f'"{place / "full.toml"}"')
    (place / "study.toml").write_text(text)
    return load_study(place / "study.toml")


def results(place, mode, changes):
    """{path: {data set: values}} of a mode with one key changed; of the mode itself under ""."""
    cases = [{"name": "0"}]
    for number, (path, value) in enumerate(changes, 1):
        cases.append({"name": str(number), **nested(path, value)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdleSettingWarning)
        trace = run.run_study(study_of(place, **MODES[mode], case=cases), place / "runs", 1)
    found = {}
    with h5py.File(trace) as file:
        for number, path in enumerate(["", *(path for path, _ in changes)]):
            data = {}
            file[f"cases/{number}/0"].visititems(
                lambda name, item, data=data: (
                    data.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None
                )
            )
            found[path] = data
    return found


def differ(first, second):
    """Whether two cases have another result anywhere."""
    if first.keys() != second.keys():
        return True
    return any(not np.array_equal(first[name], second[name], equal_nan=True) for name in first)


def test_every_key_of_a_study_is_walked():
    assert set(CHANGES) | ELSEWHERE == leaves(Study)


@pytest.mark.parametrize("mode", MARKED)
def test_every_key_matters_where_it_must(place, mode):
    changes = [(path, value) for path, (own, value) in CHANGES.items() if own == mode]
    found = results(place, mode, changes)
    same = [path for path, _ in changes if not differ(found[path], found[""])]
    assert not same


def idle_of(study, graph=ENCODER):
    """What is said of a study on a model, by default of one layer."""
    cases = [Case(name, case, load_device(case.device.name)) for name, case in study.cases()]
    return run.find_idle_settings(cases, graph)


def is_idle(place, mode, path, value):
    """Whether a study of one case says that the key has no effect, or refuses it for that."""
    try:
        found = idle_of(study_of(place, **merge(MODES[mode], nested(path, value))))
    except ConfigError as error:
        return "has no effect" in str(error)
    return any(sentence.startswith(f"{path} = ") for sentence in found)


@pytest.mark.parametrize("mode", MODES)
def test_no_key_is_called_idle_where_it_matters(place, mode):
    own = [(path, value) for path, (where, value) in CHANGES.items() if where == mode]
    assert not [path for path, value in own if is_idle(place, mode, path, value)]


@pytest.mark.parametrize("path", RULED)
def test_every_ruled_key_is_idle_somewhere(place, path):
    _, value = CHANGES[path]
    value = True if path.startswith("effects.") and value is False else value
    assert any(is_idle(place, mode, path, value) for mode in MODES)


def test_weighted_crosspoints_need_digits_of_several_bits(place):
    slices = {"encoding": "slices", "crosspoint": "weighted"}
    serial = {"encoding": "bit_serial", "digit_bits": 2}
    for bits, says_so in ((1, True), (2, False)):
        mapping = slices | {"bits_per_cell": bits}
        found = idle_of(study_of(place, mapping=mapping, dac=serial))
        named = any(sentence.startswith("mapping.crosspoint = ") for sentence in found)
        assert named == says_so


SIGNS = {"encoding": "binary", "sign": "offset"}


def test_binary_weights_choose_no_clip_and_need_weights_for_an_array(place):
    clips = study_of(place, mapping=SIGNS | {"clip": "quantile", "clip_quantile": 0.9})
    found = idle_of(clips)
    assert [sentence.split(" = ")[0] for sentence in found] == [
        "mapping.clip",
        "mapping.clip_quantile",
    ]
    counted = study_of(place, mapping=SIGNS | {"array": "twin"}, **COUNTING)
    assert any(sentence.startswith("mapping.array = ") for sentence in idle_of(counted))


@pytest.mark.parametrize("encoding", ["binary", "ternary"])
def test_activations_are_not_written_as_signs(place, encoding):
    attention = {"products": {"attention": "in_situ"}}
    study = study_of(place, mapping={"encoding": encoding}, **attention)
    with pytest.raises(ConfigError, match="keeps their signs alone"):
        idle_of(study)
    layer = [{"match": "*.attention_*", "mapping": {"encoding": "amplitude"}}]
    idle_of(study_of(place, mapping={"encoding": encoding}, layer=layer, **attention))


IDLE = {
    "plain": [
        "mapping.clip_quantile",
        "mapping.weight_bits",
        "mapping.bits_per_cell",
        "dac.digit_bits",
        "dac.quantile",
        "dac.scaling_quantile",
        "dac.scaling_blocks",
        "adc.quantile",
        "adc.steps",
        "adc.element_spread",
        "adc.shared_by",
        "correction.reads",
        "correction.reference_us",
        "computation.adc_bits",
        "memory.errors",
        "functions.softmax.entries",
        "functions.layer_norm.seed_bits",
        "effects.telegraph_multiplier",
    ],
    "serial": ["mapping.clip_quantile", "dac.quantile"],
    "ideal": [
        "dac.bits",
        "dac.encoding",
        "adc.bits",
        "adc.per",
        "adc.range",
        "adc.full_scale_ua",
        "adc.noise_lsb",
        "adc.inl_lsb",
        "dac.noise_mv",
        "dac.inl_lsb",
        "wires.node",
        "wires.source_resistance_ohm",
        "device.time_s",
    ],
    "counting": [
        "mapping.word_lines",
        "adc.bits",
        "dac.bits",
        "device.write",
        "computation.digit_cells",
        "memory.rows",
        "memory.cell_error_rate",
    ],
    "stated": ["memory.rows", "memory.sense_noise_ua", "memory.bias"],
    "segment": [
        "memory.cell_error_rate",
        "memory.bias",
        "memory.lumped_rows",
        "memory.selector_voltage_v",
    ],
    "selector": ["memory.transistor_resistance_ohm", "memory.transistor_overdrive_v"],
}


@pytest.mark.parametrize(("mode", "path"), [(mode, path) for mode in IDLE for path in IDLE[mode]])
def test_keys_that_need_another_key_are_idle_without_it(place, mode, path):
    _, value = CHANGES[path]
    assert is_idle(place, mode, path, value)


@pytest.mark.parametrize("path", [path for path in CHANGES if path.startswith("functions.")])
def test_keys_of_functions_and_attention_are_idle_without_them(place, path):
    """A model of one matrix asks for no key of functions, whatever unit they state."""
    _, value = CHANGES[path]
    _, function, key = path.split(".")
    unit = "table" if function == "layer_norm" else "polynomial"
    settings = {"functions": {function: {"unit": unit, key: value}}}
    found = idle_of(study_of(place, **settings), MATRIX_ALONE)
    assert {sentence.partition(" = ")[0] for sentence in found} == {
        f"functions.{function}.unit",
        path,
    }
    found = idle_of(study_of(place, products={"attention": "in_situ"}), MATRIX_ALONE)
    assert found == [
        "products.attention = 'in_situ' has no effect in this study: it needs a model with attention"
    ]


@pytest.mark.parametrize(
    ("tables", "path"),
    [
        (
            {"wires": {"word_line_resistance_ohm": 1.0, "bit_line_resistance_ohm": 1.0}},
            "wires.node",
        ),
        (
            {
                "wires": {
                    "word_line_resistance_ohm": 1.0,
                    "bit_line_resistance_ohm": 1.0,
                    "geometry": {"half_pitch_nm": 20.0},
                }
            },
            "wires.geometry.aspect_ratio",
        ),
        ({"wires": {"geometry": {"half_pitch_nm": 20.0}}}, "wires.node"),
        ({"adc": {"range": "unit"}, **SERIAL}, "adc.per"),
        ({"adc": {"full_scale_ua": 30.0}}, "adc.per"),
        ({"adc": {"steps": "sar"}}, "adc.shared_by"),
        ({"device": {"name": "ideal", "time_s": 1e5}}, "correction.fitted_s"),
        (
            {"device": {"name": "ideal", "time_s": 1e5}, "correction": {"fitted_s": 10.0}},
            "correction.rescaling",
        ),
        ({"effects": {"without": ["converter_errors"]}}, "adc.gain_error"),
        ({"dac": {"bits": "ideal"}}, "dac.range"),
        ({"adc": {"bits": "ideal"}}, "adc.range"),
        ({"functions": {"gelu": {"unit": "table"}}}, "functions.gelu.degree"),
        (COUNTING | {"computation": {"mode": "direct"}}, "computation.ir_drop"),
        (COUNTING | {"effects": {"read_noise": False}}, "computation.telegraph_amplitude"),
        (COUNTING | {"effects": {"programming": False}}, "computation.resistor_spread"),
        (COUNTING | {"effects": {"stuck": False}}, "computation.stuck_open_rate"),
        (COUNTING | {"effects": {"converters": False}}, "computation.adc_bits"),
    ],
)
def test_keys_that_another_value_switches_off_are_idle(place, tables, path):
    _, value = CHANGES[path]
    found = idle_of(study_of(place, **merge(tables, nested(path, value))))
    assert any(sentence.startswith(f"{path} = ") for sentence in found)


@pytest.mark.parametrize(
    "effect",
    [
        "levels",
        "spread",
        "relaxation",
        "drift",
        "read_disturb",
        "temperature",
        "stuck",
        "flicker",
        "telegraph",
    ],
)
def test_an_effect_that_the_device_lacks_is_idle_when_switched_on(place, effect):
    said = f"effects.{effect} = True has no effect"
    assert idle_of(study_of(place, effects={effect: True}))[0].startswith(said)
    full = {"device": {"name": "FULL"}, "effects": {effect: True}}
    assert not idle_of(study_of(place, **full))


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_no_key_that_is_called_idle_changes_a_result(place, mode):
    changes = [
        (path, value)
        for path, (own, value) in CHANGES.items()
        if own != mode
        and path not in ("device.temperature_k", "device.reads", "device.name")
        and is_idle(place, mode, path, value)
    ]
    found = results(place, mode, changes)
    assert not [path for path, _ in changes if differ(found[path], found[""])]


def test_a_layer_that_matches_nothing_is_refused(place):
    for match, near in (("layer.0.qery", "layer.0.query"), ("layer.7.*", "layer.0.")):
        study = study_of(place, layer=[{"match": match, "adc": {"bits": 4}}])
        with pytest.raises(ConfigError) as error:
            run.run_study(study, place / "runs", 1)
        assert f"{match!r} matches no matrix" in str(error.value) and near in str(error.value)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"match": "*.attention_softmax", "adc": {"bits": 4}}, "adc.bits = 4"),
        ({"match": "layer.0.query", "memory": {"errors": "stated"}}, "memory.errors = 'stated'"),
        (
            {"match": "layer.0.query", "functions": {"gelu": {"unit": "table"}}},
            "functions.gelu.unit",
        ),
        ({"match": "*attention_scores", "mapping": {"word_lines": 8}}, "mapping.word_lines = 8"),
    ],
)
def test_a_layer_table_that_reaches_none_of_its_steps_is_said(place, layer, said):
    found = idle_of(study_of(place, layer=[layer]))
    assert len(found) == 1 and found[0].startswith(f"[[layer]] {layer['match']!r} {said}")
    fits = {"match": "layer.0.*", "adc": {"bits": 4}, "functions": {"gelu": {"unit": "table"}}}
    assert not idle_of(study_of(place, layer=[fits]))


@pytest.mark.parametrize(
    ("key", "value", "needed"),
    [
        ("temperature_k", 350.0, "temperature"),
        ("reads", 5, "read_disturb"),
    ],
)
def test_a_device_without_the_table_refuses_its_condition(place, key, value, needed):
    study = study_of(place, device={"name": "rram-wan2022", key: value})
    with pytest.raises(ConfigError, match=rf"device.{key} = {value:g} has no effect.*\[{needed}\]"):
        run.run_study(study, place / "runs", 1)
    assert not idle_of(study_of(place, device={"name": "FULL", key: value}))


def test_a_setting_of_one_case_is_enough(place):
    quantile = {"name": "b", "adc": {"range": "quantile"}}
    assert not idle_of(study_of(place, adc={"quantile": 0.9}, case=[{"name": "a"}, quantile]))
    assert idle_of(study_of(place, adc={"quantile": 0.9}, case=[{"name": "a"}]))
    assert idle_of(study_of(place, device={"name": "hrs-hong2025"})) == [
        "device hrs-hong2025 states [iv], which has no effect in a run: its cells are ohmic"
    ]


def test_the_report_repeats_what_had_no_effect(place):
    study = study_of(place, adc={"quantile": 0.9})
    with pytest.warns(IdleSettingWarning, match="adc.quantile = 0.9 has no effect"):
        path = run.run_study(study, place / "runs", 1)
    summary = summarise(read_trace(path))
    said = "adc.quantile = 0.9 has no effect in this study: it needs in-situ arrays with converters"
    assert summary.idle_settings == (f'{said} and adc.range = "quantile"',)
    assert f"NO EFFECT: {said}" in render(summary)
    assert to_json(summary)["idle_settings"] == list(summary.idle_settings)


def test_memory_of_a_layer_reaches_its_matrices_alone(place):
    """Every cell of one matrix read wrongly: noise above its signal; the others stay sound."""
    wrong = {"errors": "stated", "cell_error_rate": 1.0}
    study = study_of(
        place,
        **COUNTING,
        case=[
            {"name": "sound"},
            {"name": "failing", "layer": [{"match": "layer.0.query", "memory": wrong}]},
            {"name": "all", "memory": wrong},
        ],
    )
    summary = summarise(read_trace(run.run_study(study, place / "runs", 1)))
    sound, failing, whole = (
        {layer.name: layer.local_snr_db for layer in case.layers} for case in summary.cases
    )
    assert sound["layer.0.query"] > 30 and failing["layer.0.query"] < 3
    assert failing["layer.0.query"] == whole["layer.0.query"]
    assert failing["layer.0.key"] > 30 and whole["layer.0.key"] < 3


@pytest.mark.parametrize(("coefficients", "negative"), [([1.0, -3.0], True), ([1.0, -1.0], False)])
def test_a_negative_sigma_in_the_window_is_refused(tmp_path, coefficients, negative):
    content = {
        "description": "t",
        "read": {"voltage_v": 0.2, "source": "t"},
        "conductance": {
            "minimum_us": 1.0,
            "maximum_us": 40.0,
            "valid_range_us": [0.0, 80.0],
            "source": "t",
        },
        "programming": {
            "scale_us": 40.0,
            "sigma": [{"polynomial_us": coefficients}],
            "source": "t",
        },
    }
    (tmp_path / "device.toml").write_text(tomli_w.dumps(content))
    if not negative:
        load_device(tmp_path / "device.toml")
        return
    with pytest.raises(ConfigError, match="the polynomial is -2 µS at 40 µS, in the window"):
        load_device(tmp_path / "device.toml")


def test_a_trace_says_what_converters_and_scales_there_are(place):
    """Counts of a matrix of 16 inputs and 16 outputs on a pair of tiles, by hand."""
    study = study_of(
        place,
        device={"name": "pcm", "time_s": 86400.0},
        mapping={"word_lines": 8, "bit_lines": 8},
        adc={"steps": "sar", "element_spread": 0.4, "bits": 6, "shared_by": 4},
        correction={"fitted_s": 20.0, "rescaling": "column", "reads": 3},
    )
    trace = read_trace(run.run_study(study, place / "runs", 1))
    query = trace.cases["chip"].chips[0].layers["layer.0.query"].attributes
    assert query.converters == 2 * 2 * 2  # row blocks, tiles side by side, converters of a tile
    assert query.missing_codes > 0
    assert 1.2 < query.rescaling_mean < 2.0 and query.rescaling_std > 0
    assert query.reference_tile_reads == 3 * 2 * 2 * 2
    assert query.reference_adc_conversions == 3 * 2 * 2 * 16
    assert query.reference_dac_drives == 3 * 2 * 2 * 16
    text = render(summarise(trace))
    assert "ADC    elements that vary by 0.4, one for 4 bit lines, steps sar, " in text
    assert "that never give " in text and "\ndrift  scales of matrices 1." in text
