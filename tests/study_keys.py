"""Every key of a study, a study in which it must matter, and another value of it."""

DEVICE = """
description = "a device that has every table"
read = { voltage_v = 0.2, source = "t" }
endurance = { cycles = 100, source = "t" }
write = { pulse_energy_pj = 3.0, pulse_time_ns = 40.0, source = "t" }
spread = { device_to_device_relative_sigma = 0.02, cycle_to_cycle_relative_sigma = 0.01, source = "t" }
drift = { reference_s = 1.0, nu_mean = 0.02, nu_sigma = 0.005, valid_time_s = [1.0, 1e6], source = "t" }
stuck = { on_rate = 0.01, bit_line_off_rate = 0.03, source = "t" }
read_disturb = { rate_per_read = 1e-4, toward = "minimum", source = "t" }

[temperature]
reference_k = 300.0
activation_energy_ev = 0.01
valid_range_k = [250.0, 400.0]
source = "t"

[conductance]
minimum_us = 1.0
maximum_us = 40.0
valid_range_us = [0.0, 40.0]
levels_us = [1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0]
source = "t"

[programming]
sigma = [{ target_us = [0.0, 40.0], sigma_us = [0.2, 1.0] }]
source = "t"

[relaxation]
variance_offset_us2 = 0.5
variance_slope_us2 = 0.1
valid_time_s = [1.0, 1e6]
source = "t"

[read_noise]
relative_sigma = 0.01
flicker = { amplitude = 0.005, source = "t" }
telegraph = { relative_amplitude = 0.05, dwell_high_s = 1e-3, dwell_low_s = 1e-3, source = "t" }
source = "t"
"""
COUNTING = {"products": {"weights": "computation", "attention": "computation"}}
COARSE = {
    "word_lines": 16,
    "bit_lines": 16,
    "resistance_ohm": 2e4,
    "resistor_spread": 0.3,
    "telegraph_amplitude": 0.3,
}
SEGMENT = {"errors": "segment", "columns": 64, "rows": 64, "sense_noise_ua": 1.5}
SELECTOR = SEGMENT | {"access": "selector", "lumped_rows": 8, "selector_voltage_v": 0.1}
FINE = {"input_bits": 14, "entries": 8, "output_bits": 16, "entry_bits": 20}
FUNCTIONS = {
    "softmax": FINE | {"unit": "polynomial"},
    "layer_norm": {"unit": "table"},
    "gelu": FINE | {"unit": "polynomial"},
}
SERIAL = {"mapping": {"encoding": "slices"}, "dac": {"encoding": "bit_serial", "digit_bits": 2}}
MODES = {
    "plain": {},
    "full": {"device": {"name": "FULL", "time_s": 1000.0, "temperature_k": 320.0, "reads": 100}},
    "process": {
        "device": {"name": "FULL", "time_s": 1000.0},
        "read_noise": {"correlation": "process"},
    },
    "serial": SERIAL,
    "binary": {"mapping": {"encoding": "binary", "sign": "offset"}},
    "geometry": {"wires": {"geometry": {"half_pitch_nm": 20.0}}},
    "given": {
        "wires": {
            "word_line_resistance_ohm": 1.0,
            "bit_line_resistance_ohm": 1.0,
            "geometry": {"half_pitch_nm": 20.0},
        }
    },
    "compensated": {"mapping": {"compensation": "wires"}},
    "measured": {
        "device": {"name": "FULL", "time_s": 1000.0},
        "mapping": {"compensation": "measured"},
        "effects": {"levels": False},
    },
    "used later": {
        "device": {"name": "FULL", "time_s": 1e5},
        "correction": {"fitted_s": 10.0, "rescaling": "global"},
    },
    "reference": {
        "device": {"name": "FULL", "time_s": 1e5},
        "correction": {"fitted_s": 10.0, "rescaling": "global", "reference": "column"},
    },
    "lossy": {
        "wires": {"source_resistance_ohm": 500.0},
        "dac": {"polarity": "two_phase"},
        "correction": {"columns": "dummy"},
    },
    "uneven": {"adc": {"steps": "sar", "element_spread": 0.2}},
    "quantile": {
        "mapping": {"clip": "quantile"},
        "dac": {"range": "quantile"},
        "adc": {"range": "quantile"},
    },
    "blocks": {
        "mapping": {"word_lines": 8},
        "dac": {"scaling": "block", "scaling_quantile": 0.8},
    },
    "ideal": {
        "effects": {"wires": False, "converters": False, "programming": False, "read_noise": False}
    },
    "counting": COUNTING | {"computation": COARSE},
    "digits": COUNTING
    | {"computation": {"sign": "offset", "digit_bits": 2, "rows_per_conversion": 6}},
    "stated": COUNTING | {"memory": {"errors": "stated", "cell_error_rate": 0.05}},
    "segment": COUNTING | {"memory": SEGMENT},
    "selector": COUNTING | {"memory": SELECTOR},
    "functions": {"functions": FUNCTIONS},
}
# Every key, a mode in which it must matter, and another value of it.
CHANGES = {
    "seed": ("plain", 5),
    "device.name": ("plain", "cmo-hfox"),
    "device.time_s": ("full", 2000.0),
    "device.temperature_k": ("full", 330.0),
    "device.write": ("full", 1),
    "device.reads": ("full", 1000),
    "device.minimum_us": ("plain", 0.5),
    "device.maximum_us": ("plain", 30.0),
    "mapping.word_lines": ("plain", 8),
    "mapping.bit_lines": ("plain", 8),
    "mapping.encoding": ("plain", "slices"),
    "mapping.sign": ("serial", "offset"),
    "mapping.array": ("binary", "twin"),
    "mapping.subtraction": ("plain", "digital"),
    "mapping.placement": ("plain", "neighbour"),
    "mapping.weight_bits": ("serial", 4),
    "mapping.bits_per_cell": ("serial", 1),
    "mapping.unused": ("plain", "open"),
    "mapping.clip": ("plain", "maximum"),
    "mapping.clip_quantile": ("quantile", 0.9),
    "mapping.scale": ("plain", "matrix"),
    "mapping.gain": ("plain", "none"),
    "mapping.scale_shift": ("plain", 0.5),
    "mapping.compensation": ("plain", "wires"),
    "mapping.compensation_solves": ("compensated", 1),
    "mapping.compensation_rounds": ("measured", 1),
    "mapping.compensation_reads": ("measured", 1),
    "mapping.crosspoint": ("serial", "weighted"),
    "mapping.row_order": ("plain", "magnitude"),
    "mapping.column_order": ("plain", "magnitude"),
    "wires.node": ("plain", "7nm"),
    "wires.pitch": ("plain", "4F"),
    "wires.precision": ("plain", "single"),
    "wires.geometry.half_pitch_nm": ("geometry", 10.0),
    "wires.geometry.metal": ("geometry", "tungsten"),
    "wires.geometry.width_nm": ("geometry", 15.0),
    "wires.geometry.aspect_ratio": ("geometry", 4.0),
    "wires.geometry.grain_size_nm": ("geometry", 50.0),
    "wires.geometry.specularity": ("geometry", 0.0),
    "wires.geometry.reflection": ("geometry", 0.2),
    "wires.geometry.temperature_k": ("geometry", 400.0),
    "wires.word_line_resistance_ohm": ("plain", 20.0),
    "wires.bit_line_resistance_ohm": ("plain", 20.0),
    "wires.source_resistance_ohm": ("plain", 500.0),
    "wires.sense_resistance_ohm": ("plain", 500.0),
    "dac.bits": ("plain", 4),
    "dac.encoding": ("plain", "bit_serial"),
    "dac.digit_bits": ("serial", 1),
    "dac.polarity": ("plain", "two_phase"),
    "dac.range": ("quantile", "maximum"),
    "dac.quantile": ("quantile", 0.9),
    "dac.scaling": ("plain", "token"),
    "dac.scaling_quantile": ("blocks", 0.9),
    "dac.scaling_blocks": ("blocks", 2),
    "dac.read_time_ns": ("plain", 1000.0),
    "adc.bits": ("plain", 4),
    "adc.per": ("plain", "tile"),
    "adc.range": ("quantile", "maximum"),
    "adc.quantile": ("quantile", 0.9),
    "read_noise.wires": ("full", "adjoint"),
    "read_noise.correlation": ("full", "process"),
    "read_noise.token_interval_s": ("process", 1e-2),
    "read_noise.sequence_tokens": ("process", 64),
    "dac.full_scale_v": ("plain", 0.3),
    "dac.input_full_scale": ("plain", 1.5),
    "dac.noise_mv": ("plain", 5.0),
    "dac.inl_lsb": ("plain", [0.0] * 128 + [0.8] * 127),
    "adc.full_scale_ua": ("plain", 30.0),
    "adc.noise_ua": ("plain", 1.0),
    "adc.noise_lsb": ("plain", 2.0),
    "adc.offset_lsb": ("plain", 2.0),
    "adc.gain_error": ("plain", 0.1),
    "adc.inl_lsb": ("plain", [1.5] * 255),
    "adc.steps": ("uneven", "thermometer"),
    "adc.element_spread": ("uneven", 0.3),
    "adc.shared_by": ("uneven", 4),
    "correction.fitted_s": ("used later", 1000.0),
    "correction.rescaling": ("used later", "column"),
    "correction.reference": ("used later", "column"),
    "correction.reference_us": ("reference", 5.0),
    "correction.reads": ("used later", 100),
    "correction.rows": ("lossy", "raised"),
    "correction.columns": ("lossy", "none"),
    "correction.dummy_us": ("lossy", 5.0),
    "correction.dummy_place": ("lossy", "middle"),
    "products.weights": ("plain", "computation"),
    "products.attention": ("plain", "in_situ"),
    "computation.mode": ("counting", "direct"),
    "computation.ir_drop": ("counting", "solved"),
    "computation.word_lines": ("counting", 12),
    "computation.bit_lines": ("counting", 12),
    "computation.rows_per_conversion": ("counting", 2),
    "computation.adc_bits": ("counting", 1),
    "computation.digit_bits": ("digits", 1),
    "computation.digit_cells": ("digits", "weighted"),
    "computation.sign": ("counting", "offset"),
    "computation.crossbars": ("counting", 1),
    "computation.resistance_ohm": ("counting", 10e3),
    "computation.read_voltage_v": ("counting", 0.4),
    "computation.resistor_spread": ("counting", 0.1),
    "computation.stuck_closed_rate": ("counting", 0.05),
    "computation.stuck_open_rate": ("counting", 0.05),
    "computation.telegraph_amplitude": ("counting", 0.4),
    "effects.wires": ("plain", False),
    "effects.converters": ("plain", False),
    "effects.programming": ("full", False),
    "effects.levels": ("full", False),
    "effects.spread": ("full", False),
    "effects.relaxation": ("full", False),
    "effects.drift": ("full", False),
    "effects.read_disturb": ("full", False),
    "effects.temperature": ("full", False),
    "effects.stuck": ("full", False),
    "effects.read_noise": ("full", False),
    "effects.flicker": ("full", False),
    "effects.telegraph": ("full", False),
    "effects.telegraph_multiplier": ("full", 5.0),
    "effects.without": ("plain", ["adc"]),
    "functions.softmax.unit": ("functions", "table"),
    "functions.softmax.range": ("functions", 0.1),
    "functions.softmax.entries": ("functions", 4),
    "functions.softmax.degree": ("functions", 1),
    "functions.softmax.input_bits": ("functions", 5),
    "functions.softmax.entry_bits": ("functions", 6),
    "functions.softmax.seed_entries": ("functions", 1),
    "functions.softmax.seed_bits": ("functions", 2),
    "functions.softmax.newton_steps": ("functions", 0),
    "functions.softmax.reciprocal_bits": ("functions", 8),
    "functions.softmax.output_bits": ("functions", 4),
    "functions.layer_norm.unit": ("functions", "float"),
    "functions.layer_norm.range": ("functions", 0.3),
    "functions.layer_norm.input_bits": ("functions", 6),
    "functions.layer_norm.seed_entries": ("functions", 1),
    "functions.layer_norm.seed_bits": ("functions", 2),
    "functions.layer_norm.newton_steps": ("functions", 0),
    "functions.layer_norm.reciprocal_bits": ("functions", 8),
    "functions.layer_norm.scale_bits": ("functions", 4),
    "functions.layer_norm.output_bits": ("functions", 6),
    "functions.gelu.unit": ("functions", "table"),
    "functions.gelu.range": ("functions", 0.3),
    "functions.gelu.entries": ("functions", 4),
    "functions.gelu.degree": ("functions", 1),
    "functions.gelu.input_bits": ("functions", 5),
    "functions.gelu.entry_bits": ("functions", 16),
    "functions.gelu.output_bits": ("functions", 4),
    "memory.errors": ("segment", "none"),
    "memory.cell_error_rate": ("stated", 0.2),
    "memory.bits_per_cell": ("stated", 2),
    "memory.rows": ("segment", 4096),
    "memory.columns": ("segment", 16),
    "memory.sensed_every": ("segment", 4),
    "memory.drive": ("segment", "both"),
    "memory.access": ("segment", "none"),
    "memory.bias": ("selector", "half"),
    "memory.read_voltage_v": ("segment", 0.1),
    "memory.transistor_resistance_ohm": ("segment", 4e4),
    "memory.transistor_overdrive_v": ("segment", 0.05),
    "memory.selector_voltage_v": ("selector", 1.0),
    "memory.sense_noise_ua": ("segment", 4.0),
    "memory.threshold_ua": ("segment", 7.0),
    "memory.lumped_rows": ("selector", 63),
}
# Shared by all cases of a study, or of no effect on numbers: named, joined by the report, a policy.
ELSEWHERE = {
    "mapping.conductances",  # of files: tests/arrays/test_conductances.py
    "products.output_matrix",  # of decoders: tests/hardware/test_decoders_on_chips.py
    "name",
    "chip",
    "column",
    "row",
    "layer",
    "case",
    "device.outside_range",
    "model.name",
    "model.max_length",
    "model.convolution",  # tests/studies/test_image_run.py
    "model.sub_image_rows",  # likewise
    "task.name",
    "task.head",
    "task.pooling",
    "task.metric",
    "task.limit",
    "task.probe_examples",
    "task.calibration",
    "task.calibration_examples",
    "task.calibration_tokens",
    "task.window",
    "task.stride",
    "task.windows",
    # one that is too narrow is refused, any other holds every sum
    "functions.softmax.accumulator_bits",
    "run.batch_examples",
    "run.cache_gb",
    "run.cache_eviction",  # tests/arrays/test_kept_arrays.py
    "run.memory_gb",  # tests/studies/test_memory_budget.py
    "run.chips",
    "run.chips_half_width",  # tests/studies/test_enough_chips.py
    "sweep",
    "training",  # of `xbarsim train`: tests/pytorch/test_training.py
    "budget",  # of `xbarsim budget`: tests/report/test_budget.py
}
