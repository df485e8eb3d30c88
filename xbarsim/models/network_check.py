"""Whether a network is what its graph says: sizes of its weights, and one short forward pass."""

from typing import Any

import numpy as np

from xbarsim.base.array_types import Integers, Singles
from xbarsim.base.errors import CheckpointError
from xbarsim.models.graph import Kind, Step
from xbarsim.models.network import Encoder, Network
from xbarsim.models.operations import Reference

SMALL = 4_000_000  # weights up to which a model is sent through its forward pass when it is loaded
MASK = np.array([[True, True, True], [True, True, False]])


def check_network(model: Network) -> None:
    """Check what `network.Network` promises.

    The weight of every matrix is (outputs, inputs), its bias (outputs,).  The forward pass of two
    short sentences, one of them padded, calls the hook for every step of the graph once, in their
    order, with a row for every real token; its states are (b, s, hidden), 0 at padding.

    Raises
    ------
    CheckpointError : a promise that is not kept
    """
    check_weights(model)
    seen: list[str] = []

    def record(step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
        seen.append(step.name)
        output = reference(*operands)
        if not np.array_equal(rows, np.argwhere(MASK)):
            raise _broken(
                model, f"{step.name}: rows are not (sequence, position) of the real tokens"
            )
        if step.kind is Kind.MATRIX:
            _check_shape(model, f"input of {step.name}", operands[0], (len(rows), step.inputs))
            _check_shape(model, f"output of {step.name}", output, (len(rows), step.outputs))
        return output

    states = model.forward(np.zeros(MASK.shape, np.int64), MASK, record)
    _check_order(model, seen)
    _check_shape(model, "the result of forward", states, (*MASK.shape, model.config.hidden))
    if states[~MASK].any():
        raise _broken(model, "the result of forward is not 0 at padding")


def check_encoder(model: Encoder) -> None:
    """Check a network that has just been loaded: always its weights; of a small one (`SMALL`
    weights) also the forward pass, and that a sentence's vector is `hidden` wide.

    Raises
    ------
    CheckpointError : a promise that is not kept
    """
    if sum(step.weights for step in model.graph.matrices) > SMALL:
        check_weights(model)
        return
    check_network(model)
    states = model.forward(np.zeros(MASK.shape, np.int64), MASK)
    features = model.features(states, MASK, "auto")
    _check_shape(model, "the result of features", features, (len(MASK), model.config.hidden))


def check_weights(model: Network) -> None:
    """Check the shapes of the weights and biases of all matrices."""
    for step in model.graph.matrices:
        weight, bias = model.matrix(step.name)
        _check_shape(model, f"the weight of {step.name}", weight, (step.outputs, step.inputs))
        _check_shape(model, f"the bias of {step.name}", bias, (step.outputs,))


def _check_order(model: Network, seen: list[str]) -> None:
    outside = {step.name for step in model.graph.after_forward}
    expected = [step.name for step in model.graph.steps if step.name not in outside]
    if seen == expected:
        return
    for number, name in enumerate(expected):
        found = seen[number] if number < len(seen) else "nothing more"
        if found != name:
            raise _broken(
                model,
                f"forward calls the hook for {found} where step {number} of its graph, {name}, is "
                "due",
            )
    raise _broken(model, f"forward calls the hook for {seen[len(expected)]} after the last step")


def _check_shape(model: Network, what: str, values: Singles, expected: tuple[int, ...]) -> None:
    if values.shape != expected:
        raise _broken(model, f"{what} has shape {values.shape}, its graph asks for {expected}")


def _broken(model: Network, what: str) -> CheckpointError:
    return CheckpointError(
        f"the network of {model.path}: {what}; the contract is in xbarsim/models/network.py"
    )
