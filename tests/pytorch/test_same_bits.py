"""Products of a PyTorch model are those of `xbarsim run`, bit by bit."""

import dataclasses

import numpy as np
import pytest
from tiny import make_tiny_bert
from tiny_decoders import make_tiny_decoder
from torch_wanted import want_pytorch

want_pytorch()

import torch  # noqa: E402
import transformers  # noqa: E402

from xbarsim.base import fetch  # noqa: E402
from xbarsim.base.errors import FetchError  # noqa: E402
from xbarsim.base.workers import one_blas_thread, worker_threads  # noqa: E402
from xbarsim.hardware.build import Design, build_chip  # noqa: E402
from xbarsim.hardware.hook import HardwareHook  # noqa: E402
from xbarsim.hardware.matrices import InSituMatrix  # noqa: E402
from xbarsim.models.architectures import load_network  # noqa: E402
from xbarsim.torch import convert  # noqa: E402
from xbarsim.torch.training.decoders import torch_decoder  # noqa: E402

TILES = {"word_lines": 16, "bit_lines": 16}
UNITS = {name: {"unit": "table"} for name in ("softmax", "gelu", "layer_norm")}
STUDIES = {
    "wires": {"mapping": TILES, "products": {"attention": "in_situ"}},
    "no wires": {
        "mapping": TILES,
        "effects": {"wires": False},
        "products": {"attention": "computation"},
    },
    "units": {"mapping": TILES, "functions": UNITS, "adc": {"bits": 5}},
    "ideal converters": {"mapping": TILES, "effects": {"converters": False}},
}
MODELS = {
    "bert": (make_tiny_bert, {}, transformers.BertModel),
    "llama": (make_tiny_decoder, {"family": "llama"}, transformers.LlamaForCausalLM),
    "gpt2": (make_tiny_decoder, {"family": "gpt2"}, transformers.GPT2LMHeadModel),
}
RMS = {"llama"}  # has no integer norm


class Recorded:
    """A matrix or product that keeps what it was asked and what it answered."""

    def __init__(self, inner):
        self.inner = inner
        self.calls = []

    def multiply(self, *operands):
        found = self.inner.multiply(*operands)
        self.calls.append((operands, found))
        return found


def batch(vocabulary=40):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, vocabulary, (3, 11), generator=generator)
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[1, 7:] = 0
    mask[2, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(scope="module", params=[(m, s) for m in MODELS for s in STUDIES], ids="-".join)
def chain(request, tmp_path_factory):
    """(model on a chip, its network in NumPy, the same chip of it)."""
    name, study_name = request.param
    make, options, kind = MODELS[name]
    directory = make(tmp_path_factory.mktemp(name) / "model", **options)
    study = dict(STUDIES[study_name])
    if name in RMS and "functions" in study:
        study["functions"] = {"softmax": UNITS["softmax"]}
    model = kind.from_pretrained(directory, dtype=torch.float32).eval()
    analog = convert(model, study, batch())
    network = load_network(directory).model
    with worker_threads(1) as pool:
        design = Design.of(network, analog.study, analog.device_model, analog.held_out)
        chip = build_chip(design, analog.seed, pool)
    return analog, network, chip


def recorded(analog, inputs=None):
    """What every product of a pass was asked and answered, {step: (operands, answer)}."""
    matrices = {}
    for forward in analog._matrices:
        for step, products in forward.products.items():
            matrices[step] = products.matrix = Recorded(products.matrix)
    products = analog.hardware.products
    for step in products:
        products[step] = Recorded(products[step])
    analog.rewind()
    with torch.no_grad():
        output = analog(**(inputs or batch()))
    for forward in analog._matrices:
        for product in forward.products.values():
            product.matrix = product.matrix.inner
    kept = {step: found.calls[0] for step, found in {**matrices, **products}.items()}
    for step in products:
        products[step] = products[step].inner
    return output, kept


def test_products_have_the_same_bits(chain):
    analog, network, chip = chain
    _, calls = recorded(analog)
    assert set(calls) == {*chip.matrices, *chip.products}
    with one_blas_thread():
        for step, (operands, answer) in calls.items():
            if step in chip.matrices:
                again = chip.matrices[step].multiply(*operands).output
                assert (again == answer.output).all(), step
                assert answer.output.any()
            else:
                again, _ = chip.products[step].multiply(*operands)
                assert (again == answer[0]).all(), step


def test_a_row_has_the_same_bits_alone(chain):
    analog, _, chip = chain
    _, calls = recorded(analog)
    for step, matrix in chip.matrices.items():
        (x, rows, seed), answer = calls[step]
        any_batch = getattr(getattr(matrix, "array", None), "any_batch", True)
        if any_batch:
            alone = matrix.multiply(x[3:4], rows[3:4], seed).output
            assert (alone == answer.output[3:4]).all(), step


def test_what_lies_between_agrees(chain):
    """The float32 passes, and the share of codes of converters that their rounding changes."""
    analog, network, chip = chain
    ids, mask = (value.numpy() for value in batch().values())
    real = mask.astype(bool)
    with torch.no_grad():
        own = states(analog.digital(**batch(), output_hidden_states=True))
    reference = network.forward(ids, mask)
    assert np.abs(own - reference)[real].max() <= 1e-5 * max(1, np.abs(reference).max())
    seen = {}

    class Hook(HardwareHook):
        def matrix(self, step, x, rows):
            seen[step.name] = x
            return super().matrix(step, x, rows)

    network.forward(ids, mask, Hook(chip))
    _, calls = recorded(analog)
    differ = 0
    total = 0
    for step, x in seen.items():
        matrix = chip.matrices[step]
        if isinstance(matrix, InSituMatrix):
            theirs = codes(matrix.array, calls[step][0][0])
            ours = codes(matrix.array, x)
            differ += np.count_nonzero(theirs != ours)
            total += ours.size
    print(f"{differ} of {total} codes of converters differ ({differ / max(total, 1):.2%})")
    assert differ <= 0.01 * total


@pytest.mark.long
@pytest.mark.real
def test_smollm2_has_the_same_bits():
    """Its first and its last layer on tiles with wires and in-situ attention, 48 tokens; the rest is
    the framework's, so that the last states differ by its rounding."""
    name = "smollm2-135m-instruct"
    try:
        fetch.fetch(name)
    except FetchError as error:
        pytest.skip(f"{name} cannot be fetched: {error}")
    pytest.importorskip("gguf", reason="gguf is not installed: pip install 'xbarsim[gguf]'")
    study = {"wires": {"node": "32nm", "pitch": "2F"}, "products": {"attention": "in_situ"}}
    directory = fetch.locate(name, "model")
    network = load_network(directory).model
    model = torch_decoder(network, directory).eval()
    ids = torch.randint(5, 4000, (2, 24), generator=torch.Generator().manual_seed(1))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    between = [f"layer.{number}.*" for number in range(1, 29)]
    analog = convert(model, study, inputs, exclude=between, in_place=True)
    design = Design.of(network, analog.study, analog.device_model, analog.held_out)
    design = dataclasses.replace(design, settings=analog.design.settings)
    with worker_threads(1) as pool:
        chip = build_chip(design, analog.seed, pool)
    _, calls = recorded(analog, inputs)
    assert {step.partition(".")[2].partition(".")[0] for step in chip.matrices} == {"0", "29"}
    assert set(calls) == {*chip.matrices, *chip.products} and len(chip.matrices) == 14
    with one_blas_thread():
        for step, (operands, answer) in calls.items():
            if step in chip.matrices:
                again = chip.matrices[step].multiply(*operands).output
                assert (again == answer.output).all(), step
            else:
                again, _ = chip.products[step].multiply(*operands)
                assert (again == answer[0]).all(), step
    mask = np.ones(ids.shape, bool)
    reference = network.forward(ids.numpy(), mask)
    on_chip = network.forward(ids.numpy(), mask, HardwareHook(chip))
    analog.rewind()
    with torch.no_grad():
        own = states(analog.digital(**inputs, output_hidden_states=True))
        own_on_chip = states(analog(**inputs, output_hidden_states=True))
    largest = np.abs(reference).max()
    between = np.abs(own - reference).max() / largest
    error = np.sqrt(np.mean((on_chip - reference) ** 2))
    differs = np.sqrt(np.mean((own_on_chip - on_chip) ** 2)) / error
    print(
        f"float32 states differ by {between:.1e} of the largest; those of the chips by {differs:.1e} of its error"
    )
    assert between <= 1e-5
    assert differs <= 0.1


def states(output):
    if "hidden_states" in output and output.hidden_states is not None:
        return output.hidden_states[-1].numpy()
    return output.last_hidden_state.numpy()


def codes(array, x):
    """Codes of DACs, and of ADCs without noise: by their definition, of amplitude voltages."""
    scaled = array.scale.scaled(x)
    held, _ = array.coder.hold(scaled.values)
    if array.coder.bits == "ideal":
        return np.zeros(0)
    found = [np.rint(held / array.coder.lsb)]
    volts = held * (array.coder.read_voltage / array.coder.full_scale)
    for block, transfer in enumerate(array.programmed.transfer):
        current = volts[:, array.programmed.layout.rows(block)] @ transfer.T
        found.append(np.clip(np.rint(current / array.lsb[block].ravel()), *array.codes))
    return np.concatenate(found, axis=1)
