"""Tokens per second of a decoder in float32, in INT8 and on a chip, beside this machine's own matrix
product.

    python benchmarks/decoders.py [MODEL] [--tokens 256]

A random Llama of 4 layers if no model is named.  The peer is a float32 matrix product of the sizes of
one layer's matrices on one thread: a path that only multiplied would do as many tokens per second
as `GEMM`; the table gives every path over it.
"""

import argparse
import time

import numpy as np

from xbarsim.base.workers import worker_threads
from xbarsim.config.study import Study
from xbarsim.devices.presets import load_device
from xbarsim.hardware.build import Design, build_chip
from xbarsim.hardware.hook import HardwareHook
from xbarsim.models import int8
from xbarsim.models.decoder import DecoderConfig, DecoderModel, graph_of_decoder
from xbarsim.models.operations import Norm, float32
from xbarsim.models.rotary import Rotary
from xbarsim.studies.calibration import held_out
from xbarsim.studies.examples import Examples


def random_llama(seed=0):
    """Four layers of SmolLM2's sizes with a vocabulary of 8,192."""
    config = DecoderConfig(
        architecture="llama",
        layers=4,
        hidden=576,
        heads=9,
        key_value_heads=3,
        head_width=64,
        intermediate=1536,
        vocabulary=8192,
        positions=2048,
        norm=Norm.RMS,
        norm_epsilon=1e-5,
        activation="silu",
        gated=True,
        parallel=False,
        tied=True,
        rotary=Rotary(64, (1e5 ** (-np.arange(32) / 32)).astype(np.float32)),
    )
    rng = np.random.default_rng(seed)
    weights = {"embeddings.word": rng.standard_normal((8192, 576)).astype(np.float32)}
    for step in graph_of_decoder(config).steps:
        if step.weights:
            values = rng.standard_normal((step.outputs, step.inputs)) / np.sqrt(step.inputs)
            weights[f"{step.name}.weight"] = values.astype(np.float32)
        elif step.kind.value == "norm":
            weights[f"{step.name}.weight"] = np.ones(step.inputs, np.float32)
    return DecoderModel(config, weights, "")


def named(model):
    from xbarsim.base import fetch
    from xbarsim.models.architectures import load_generator

    return load_generator(fetch.locate(model, "model")).model


def seconds(action, repeats=3):
    """The least of several times."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)


def gemm(model, tokens):
    """Seconds of the bare matrix products of all layers."""
    rng = np.random.default_rng(1)
    steps = [step for step in model.graph.matrices if step.layer is not None]
    inputs = {
        width: rng.standard_normal((tokens, width)).astype(np.float32)
        for width in {step.inputs for step in steps}
    }

    def run():
        for step in steps:
            weight, _ = model.matrix(step.name)
            inputs[step.inputs] @ weight.T

    return seconds(run)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--tokens", type=int, default=256)
    given = parser.parse_args()
    model = named(given.model) if given.model else random_llama()
    rng = np.random.default_rng(2)
    ids = rng.integers(0, model.config.vocabulary, (1, given.tokens))
    mask = np.ones(ids.shape, bool)
    with worker_threads(1) as pool:
        held = held_out(model, Examples([ids[0]]), 1, pool, threads=1)
        study = Study()
        design = Design.of(model, study, load_device(study.device.name), held)
        started = time.perf_counter()
        chip = build_chip(design, study.seed, pool)
        programmed = time.perf_counter() - started
        hooks = {
            "float32": float32,
            "INT8": int8.int8_hook(model, held.input_ranges),
            "chip": HardwareHook(chip),
        }
        peer = gemm(model, given.tokens)
        print(f"{given.tokens} tokens, one thread, without logits")
        print(f"{'GEMM':<10}{given.tokens / peer:>12.1f} tokens/s")
        for name, hook in hooks.items():
            took = seconds(lambda hook=hook: model.forward(ids, mask, hook))
            rate = given.tokens / took
            print(f"{name:<10}{rate:>12.1f} tokens/s{peer / took:>10.3f} of GEMM")
        tiles = sum(matrix.array.programmed.layout.tiles for matrix in chip.matrices.values())
        print(
            f"{tiles:,} tiles programmed in {programmed:.1f} s, {1e3 * programmed / tiles:.2f} ms each"
        )


if __name__ == "__main__":
    main()
