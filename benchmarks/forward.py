"""Time of the analog forward pass of an encoder over that of its float32 pass.

    python benchmarks/forward.py [--model minilm] [--layers 6] [--threads 1] [--case NAME ...]

Models are synthetic, of the dimensions that are named.  Inputs are coded as amplitudes of 8 bits,
every bit line of every tile of 128 x 128 cells has an 8-bit ADC, attention and functions stay in
float32.  A batch has 16 sentences of 6 to 48 tokens, as sentences of reviews have.  `alone` is the
forward pass on the chip, `with traces` what a run does with a batch: the float32 pass, the pass on
the chip with the float32 result of every matrix beside it, errors, counts and energies.  Each is
timed between two float32 passes of the same batches; ratios are of neighbours in time, and what is
printed are medians.  With several threads each has a batch of its own, as in a run.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (threads are set first)

from xbarsim.base.array_types import Integers  # noqa: E402
from xbarsim.base.workers import worker_threads  # noqa: E402
from xbarsim.config.study import Study, validate  # noqa: E402
from xbarsim.devices.presets import load_device  # noqa: E402
from xbarsim.hardware.build import Design, Hardware, build_chip  # noqa: E402
from xbarsim.hardware.hook import HardwareHook  # noqa: E402
from xbarsim.models.batches import pad  # noqa: E402
from xbarsim.models.bert import BertConfig, BertModel  # noqa: E402
from xbarsim.models.graph import Kind  # noqa: E402
from xbarsim.models.operations import Hook, float32  # noqa: E402
from xbarsim.studies.batch import run_batch  # noqa: E402
from xbarsim.studies.examples import Examples  # noqa: E402
from xbarsim.studies.held_out import held_out  # noqa: E402
from xbarsim.studies.readers import EncoderReader  # noqa: E402
from xbarsim.tasks.heads import Head  # noqa: E402

SENTENCES = 16  # of a batch, `run.batch_examples`
VOCABULARY = 1000
POSITIONS = 64

CASES: dict[str, dict[str, bool]] = {
    "ideal wires": {"wires": False, "programming": False, "read_noise": False},
    "real wires": {"read_noise": False},
    "all effects": {},
}


@dataclass(frozen=True)
class Dimensions:
    """Of an encoder."""

    hidden: int
    intermediate: int
    layers: int


MODELS = {"minilm": Dimensions(384, 1536, 6), "bert-base": Dimensions(768, 3072, 12)}


# ---------------------------------------------------------------- a synthetic model


def random_encoder(dimensions: Dimensions, layers: int) -> BertModel:
    """Random weights under which every layer sees values of order 1."""
    config = BertConfig(
        architecture="bert",
        layers=layers,
        hidden=dimensions.hidden,
        heads=dimensions.hidden // 32,
        intermediate=dimensions.intermediate,
        vocabulary=VOCABULARY,
        positions=POSITIONS,
        token_types=2,
        activation="gelu",
        norm_epsilon=1e-12,
        position_offset=0,
        relative_buckets=0,
        pooling="mean",
        normalize=True,
        max_tokens=POSITIONS,
        labels=(),
    )
    rng = np.random.default_rng(0)
    weights = {}
    for name, count in (("word", VOCABULARY), ("position", POSITIONS), ("token_type", 2)):
        shape = (count, dimensions.hidden)
        weights[f"embeddings.{name}"] = rng.standard_normal(shape, np.float32)
    model = BertModel(config, weights, head=None, sha256="", path=Path())
    for step in model.graph.matrices:
        values = rng.standard_normal((step.outputs, step.inputs), np.float32)
        weights[f"{step.name}.weight"] = values / np.float32(step.inputs**0.5)
        weights[f"{step.name}.bias"] = np.zeros(step.outputs, np.float32)
    for step in model.graph.functions:
        if step.kind is Kind.NORM:
            weights[f"{step.name}.weight"] = np.ones(dimensions.hidden, np.float32)
            weights[f"{step.name}.bias"] = np.zeros(dimensions.hidden, np.float32)
    return model


def random_sentences(batches: int) -> list[Integers]:
    """Token lists of so many batches."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(6, 49, batches * SENTENCES)
    return [rng.integers(VOCABULARY, size=length) for length in lengths]


def study_of(effects: dict[str, bool]) -> Study:
    """Inputs as amplitudes and 8 bits are what a study has if it says nothing else."""
    return validate({"products": {"attention": "digital"}, "effects": effects}, "benchmark")


# ---------------------------------------------------------------- the benchmark


@dataclass(frozen=True)
class Passes:
    """What is timed, on all batches at once."""

    model: BertModel
    examples: Examples
    pool: Executor

    @property
    def batches(self) -> list[slice]:
        return self.examples.batches(SENTENCES)

    def forward(self, hook: Hook) -> None:
        """The forward pass alone."""

        def one(batch: slice) -> None:
            token_ids, mask = pad(self.examples.of(batch))
            self.model.forward(token_ids, mask, hook)

        list(self.pool.map(one, self.batches))

    def traced(self, chip: Hardware) -> None:
        """What a run does."""
        classes = np.ones((2, self.model.config.hidden), np.float32)
        reader = EncoderReader(self.model, Head("probe", classes, np.zeros(2, np.float32)))
        list(self.pool.map(partial(run_batch, reader, chip, self.examples), self.batches))


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ratios(actions: Sequence[Callable[[], Any]], peer: Callable[[], Any], repeats: int) -> Any:
    """Medians of the times of actions over those of a peer before and after, and of the peer."""
    found = []
    peers = []
    for _ in range(repeats):
        of_round = []
        for action in actions:
            before = seconds(peer)
            taken = seconds(action)
            after = seconds(peer)
            of_round.append(2 * taken / (before + after))
            peers += [before, after]
        found.append(of_round)
    return np.median(found, axis=0), float(np.median(peers))


def main() -> None:
    """Print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="minilm")
    parser.add_argument("--layers", type=int, help="of them, all if absent")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    dimensions = MODELS[options.model]
    model = random_encoder(dimensions, options.layers or dimensions.layers)
    examples = Examples(random_sentences(options.threads))
    print(
        f"synthetic weights, dimensions of {options.model}, {model.config.layers} layers, "
        f"{examples.token_counts.sum()} tokens, {options.threads} threads, "
        f"load of the machine {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':<16}{'float32':>10}{'alone':>10}{'with traces':>14}")
    with worker_threads(options.threads) as pool:
        found = held_out(model, examples, SENTENCES, pool, threads=options.threads)
        passes = Passes(model, examples, pool)
        for name in options.case:
            study = study_of(CASES[name])
            design = Design.of(model, study, load_device(study.device.name), found)
            chip = build_chip(design, study.seed, pool)
            alone = partial(passes.forward, HardwareHook(chip))
            traced = partial(passes.traced, chip)
            alone()
            traced()
            middle, peer = ratios(
                [alone, traced], partial(passes.forward, float32), options.repeats
            )
            print(
                f"{name:<16}{1e3 * peer:>7.0f} ms{middle[0]:>10.2f}{middle[1]:>14.2f}", flush=True
            )


if __name__ == "__main__":
    main()
