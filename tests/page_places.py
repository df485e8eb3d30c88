"""What a reader of a page has before its first block: files in the working directory, names of Python.

Pages speak of models and arrays of their reader. Here these are tiny, and a command that would run a real model
is given the tiny one.
"""

import tomllib
from glob import glob
from pathlib import Path
from shutil import copyfile

import h5py
import numpy as np
import tomli_w
from page_blocks import blocks_of
from tiny import make_tiny_place
from tiny_decoders import make_tiny_decoder
from tiny_images import tiny_images

import xbarsim
from xbarsim.circuit.crossbar import Crossbar
from xbarsim.config.study import load_study
from xbarsim.config.training import Training
from xbarsim.devices.presets import device_text, load_device
from xbarsim.studies.run import run_study
from xbarsim.studies.training_record import TrainingRecord

Names = dict[str, object]
DOCS = Path(__file__).parents[1] / "docs"
MEASURED = Path(__file__).parents[2] / "shared" / "data" / "devices"

TEXT = "the crossbar holds every weight and reads it where it lies, token by token. " * 20
DECODER = "smollm2-135m-instruct"
SMALL_TASK = {"name": "task.tsv", "limit": 6, "calibration_examples": 4}
SMALL_STUDY = {
    "name": "mine",
    "model": {"name": "model"},
    "task": SMALL_TASK,
    "mapping": {"word_lines": 16, "bit_lines": 16},
    "run": {"batch_examples": 4},
    "case": [{"name": "2 ohm", "run": {"chips": 4}}],
}
SMALL_ENCODER = ["--model", "model", "--task", "task.tsv", "--limit", "2"]
SMALL_DECODER = ["--model", "decoder", "--window", "24", "--windows", "1"]
# further options of a command, so that it takes a second and not minutes
SHORTER = {
    "sweep": ["--set", "task.limit=4"],
    "budget": ["--evaluations", "8", "--layers", "none", "--effects", "wires", "--effects", "adc"],
    "memory": ["--columns", "16"],
    "train": ["--set", "task.name=images.npz", "--set", "training.examples=60"],
}


def made_small(words: list[str]) -> list[str]:
    """Words of a command whose model, task and lengths are those of the tiny place."""
    words = ["decoder" if word == DECODER else word for word in words]
    words = [match for word in words for match in sorted(glob(word)) or [word]]
    command = words[0]
    is_decoder = "decoder" in words
    if command == "run" and is_decoder:
        return [*words, *(SMALL_DECODER if "--task" not in words else SMALL_DECODER[:2])]
    named = [word for word in words[1:2] if not word.startswith("-")]
    if command == "run" and runs_real_model(named):
        return [*words, *SMALL_ENCODER]
    if command in SHORTER and not {"--status", "--resume"} & set(words):
        return [*words, *SHORTER[command]]
    return words


def runs_real_model(named: list[str]) -> bool:
    """Whether a study, the default one if none is named, is of a model that would be fetched."""
    study = load_study(*(named or ["default"]))
    return not Path(study.model.name).exists()


def lacks_measurement(words: list[str]) -> bool:
    """Whether a measurement of others is wanted that is not on this machine."""
    published = {"levels_3c.csv", "iv_3b.csv", "gong_et_al.csv", "techC_relaxdata.min.tsv.gz"}
    return any(word in published and not Path(word).exists() for word in words)


def common_place() -> Names:
    """A tiny model, a task, a study `mine.toml`; nothing of Python but the package."""
    make_tiny_place(Path.cwd())
    Path("mine.toml").write_text(tomli_w.dumps(SMALL_STUDY))
    return {"xbarsim": xbarsim}


def arrays_of_a_reader() -> Names:
    """Conductances, inputs, a weight matrix, and names for them that pages use."""
    rng = np.random.default_rng(0)
    conductance = rng.uniform(1e-6, 40e-6, (16, 8))
    voltage = rng.uniform(0, 0.2, (3, 16))
    return {
        "np": np,
        "rng": rng,
        "conductance": conductance,
        "input_voltage": voltage,
        "voltage": voltage,
        "weight": rng.standard_normal((20, 30)),
        "x": rng.standard_normal((40, 30)),
    }


def readme() -> Names:
    return common_place() | arrays_of_a_reader()


def with_a_trace() -> Names:
    """A run that was made before: runs/mine.h5."""
    common_place()
    run_study(load_study("mine.toml"), "runs", threads=1)
    return {}


def results_of_all_kinds() -> Names:
    """Runs, a sweep, an error budget and a training that were made before."""
    with_a_trace()
    training = TrainingRecord(
        model="model",
        source="task.tsv",
        is_text=False,
        examples=4,
        steps=2,
        seed=1,
        device="rram-wan2022",
        trained_parameters=100,
        settings=Training(steps=2),
        study=Path("mine.toml").read_text(),
        loss=(0.75, 0.5),
    )
    Path("trained").mkdir()
    Path("trained/training.json").write_text(training.text())
    for name in ("default", "a", "b"):
        copyfile("runs/mine.h5", f"runs/{name}.h5")
    tables = {"sweep": {"adc.bits": [4]}, "budget": {"effects": ["wires"], "layers": "none"}}
    study = load_study("mine.toml", tables)
    xbarsim.sweep_study(study, "sweeps/mine", threads=1)
    xbarsim.budget_study(study, "budgets/mine", threads=1)
    return {}


def circuit_files() -> Names:
    """G and V in the forms that the page names."""
    rng = np.random.default_rng(0)
    conductance = rng.uniform(1e-6, 40e-6, (16, 8))
    voltage = rng.uniform(0, 0.2, 16)
    np.save("G.npy", conductance)
    np.save("V.npy", voltage)
    np.savetxt("G.csv", conductance, delimiter=",")
    np.savetxt("R.csv", 1e-3 / conductance, delimiter=",")
    np.savetxt("V.csv", voltage[None], delimiter=",")
    with h5py.File("G.h5", "w") as file:
        file["conductance"] = conductance
    return {}


def converter_files() -> Names:
    """Deviations of the voltage of every code of eight bits."""
    np.savetxt("dac_inl.csv", np.zeros(255))
    np.savetxt("adc_inl.csv", np.zeros(255))
    return {}


def swept_study() -> Names:
    """`wires.toml` of the page, of a tiny model, with two values on each axis."""
    first = next(block for block in blocks_of(DOCS / "sweeps.md") if block.language == "toml")
    content = tomllib.loads(first.text)
    content["sweep"] = {key: values[:2] for key, values in content["sweep"].items()}
    content["case"] = [{"name": "chip"}]
    Path("wires.toml").write_text(tomli_w.dumps(SMALL_STUDY | content | {"task": SMALL_TASK}))
    return common_place()


def decoder_files() -> Names:
    """A tiny decoder, a text, pairs, a study of a chip."""
    make_tiny_decoder(Path("decoder"), "llama", max_position_embeddings=1024)
    Path("text.txt").write_text(TEXT)
    Path("pairs.tsv").write_text("good\tbad\nthe cat\tcat the\na b c\tc a b!\nxyz\tzyx\n")
    chip = {
        "name": "chip",
        "model": {"name": "decoder"},
        "task": {"name": "text.txt", "calibration_tokens": 60, "window": 24, "windows": 1},
        "mapping": {"word_lines": 16, "bit_lines": 16},
    }
    Path("chip.toml").write_text(tomli_w.dumps(chip))
    return {}


def measured_files() -> Names:
    """Measurements: those of the page where they are there, synthetic ones for the others."""
    common_place()
    Path("mine.toml").write_text(device_text("ideal"))
    for file in MEASURED.glob("*/*"):
        if file.suffix in (".csv", ".gz", ".json"):
            Path(file.name).symlink_to(file)
    rng = np.random.default_rng(0)
    np.savetxt("map.csv", map_of_faults(rng), delimiter=",")
    Path("endurance.csv").write_text(endurance(rng))
    Path("log.csv").write_text(log_of_writes(rng))
    time = 1e-3 * np.arange(2000)
    reads = 20e-6 + 0.2e-6 * rng.standard_normal(2000)
    columns = np.stack([time, 1e6 * reads], axis=1)
    np.savetxt("trace.csv", columns, delimiter=",", header="time_s,conductance_uS", comments="")
    return array_measurement(rng) | {
        "voltage": np.linspace(-0.8, 0.8, 81),
        "current": 20e-6 * 0.3 * np.sinh(np.linspace(-0.8, 0.8, 81) / 0.3)
        + 1e-8 * rng.standard_normal(81),
        "time": time,
        "conductance": reads,
        "np": np,
    }


def map_of_faults(rng: np.random.Generator) -> np.ndarray:
    """(64, 64) S: cells of 20 uS, 40 of them stuck at either end, and word line 7 off."""
    found = rng.normal(20e-6, 1e-6, (64, 64))
    stuck = rng.choice(64 * 64, 40, replace=False)
    found.flat[stuck] = np.where(rng.random(40) < 0.5, 1e-6, 40e-6)
    found[7] = 1e-6
    return found


def endurance(rng: np.random.Generator) -> str:
    """Six cells, 30 cycles, two states."""
    lines = ["cell,cycle,state,conductance_uS"]
    for cell in range(6):
        shift = rng.normal(0, 1)
        for cycle in range(30):
            lines.append(f"{cell},{cycle},LRS,{30 + shift + rng.normal(0, 2):.4f}")
            lines.append(f"{cell},{cycle},HRS,{2 + 0.1 * rng.normal():.4f}")
    return "\n".join(lines)


def log_of_writes(rng: np.random.Generator) -> str:
    """Forty writes up, forty down, by steps of 0.5 uS until a read is within 0.6 uS of the target."""
    lines = ["write,target_uS,conductance_uS"]
    for write in range(80):
        up = write % 2 == 0
        target = 20.0 if up else 10.0
        state = 10.0 if up else 20.0
        while True:
            read = state + 0.02 * rng.standard_normal()
            lines.append(f"{write},{target},{read:.5f}")
            if abs(read - target) < 0.6:
                break
            state += (0.5 if up else -0.5) * (1 + 0.1 * rng.standard_normal())
    return "\n".join(lines)


def array_measurement(rng: np.random.Generator) -> Names:
    """Currents of a 6 x 5 array behind its wires, as files and as names."""
    crossbar = Crossbar(rng.uniform(18e-6, 22e-6, (6, 5)), 3.0, 3.0, 100.0, 100.0)
    inputs = rng.uniform(0.05, 0.2, (12, 6))
    noise = 1e-9 * rng.standard_normal((12, 5))  # A
    outputs = crossbar.solve(inputs).output_current + noise
    nominal = np.full((6, 5), 20e-6)
    np.save("voltage.npy", inputs)
    np.save("current.npy", outputs)
    np.save("nominal.npy", nominal)
    transfer = crossbar.transfer_matrix()
    return {
        "voltages": inputs,
        "currents": outputs,
        "nominal": nominal,
        "transfer_matrix": transfer,
        "m": 6,
    }


def device_files() -> Names:
    """`mine.toml` is a device, and the names of the page's Python."""
    Path("mine.toml").write_text(device_text("rram-wan2022"))
    target = np.full((8, 8), 12e-6)
    device = load_device("pcm").at(time=86400.0)
    return {
        "target": target,
        "seed": 1,
        "Crossbar": Crossbar,
        "device": device,
        "written": device.program(target, 1),
    }


def small_images() -> Names:
    """Grey images in the place of MNIST, and trains of pulses that were measured."""
    images, classes = tiny_images(150)
    test = np.arange(150) % 3 == 0
    np.savez("images.npz", images=images[..., 0], labels=classes, test=test)
    rng = np.random.default_rng(0)
    up = np.linspace(5, 60, 150) + 0.2 * rng.standard_normal(150)
    columns = np.stack([up, up[::-1]], axis=1)
    np.savetxt("pulses.csv", columns, delimiter=",", header="up (uS),down (uS)", comments="")
    small = {"task": {"name": "images.npz"}, "training": {"examples": 60}}
    return {"xbarsim": xbarsim, "small": small}


PLACES = {
    "README.md": readme,
    "calibration.md": measured_files,
    "chips.md": with_a_trace,
    "circuit.md": circuit_files,
    "conductances.md": with_a_trace,
    "converters.md": converter_files,
    "decoders.md": decoder_files,
    "devices.md": device_files,
    "in-situ.md": small_images,
    "report.md": results_of_all_kinds,
    "sweeps.md": swept_study,
}
