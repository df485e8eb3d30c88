"""A model on a chip at one batch and sequence length: energy, area and time."""

import math
from dataclasses import replace
from pathlib import Path

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.chips.assumptions import assumptions
from xbarsim.chips.files.chip import ReadEnergy
from xbarsim.chips.load import Description
from xbarsim.chips.plans import Lowered, Phase, Workload
from xbarsim.chips.result import RollUp, checked
from xbarsim.models.shapes import Shape, load_shape


def workload_of(
    model: str | Path,
    sequence: int,
    batch: int,
    *,
    shape: Shape | None = None,
    phase: Phase = Phase.PASS,
    output_matrix: bool | None = None,
) -> Workload:
    """The Workload of a model.

    model : name of data/models.toml or checkpoint directory (only a label where `shape` is given)
    output_matrix : whether logits are computed; if absent, in prefill and decode of a model that
        states its vocabulary

    Raises
    ------
    ConfigError, OutOfRangeError : unknown model, less than one token or sequence; prefill or decode
        of an encoder, or of more tokens than the model has positions
    """
    if sequence < 1 or batch < 1:
        raise OutOfRangeError(
            f"sequence = {sequence} tokens and batch = {batch} sequences must both be at least 1"
        )
    if shape is None:
        shape = load_shape(model)
    if phase is not Phase.PASS:
        _check_decoder(str(model), shape, sequence)
    if output_matrix is None:
        output_matrix = phase is not Phase.PASS and shape.vocabulary is not None
    return Workload(
        model=str(model),
        shape=shape,
        sequence=sequence,
        batch=batch,
        phase=phase,
        output_matrix=output_matrix,
    )


def _check_decoder(model: str, shape: Shape, sequence: int) -> None:
    if not shape.is_decoder:
        raise ConfigError(
            f"{model} is an encoder: its tokens all go through together and it generates none; "
            "prefill and decode are for decoders"
        )
    if shape.positions is not None and sequence > shape.positions:
        raise OutOfRangeError(
            f"a context of {sequence} tokens is longer than the {shape.positions} positions of "
            f"{model}; allowed are 1 to {shape.positions}"
        )


def roll_up(
    description: Description,
    model: str | Path,
    sequence: int,
    batch: int,
    *,
    shape: Shape | None = None,
    read_energy: ReadEnergy | None = None,
    phase: Phase = Phase.PASS,
    output_matrix: bool | None = None,
) -> RollUp:
    """RollUp of a model on a chip.

    Parameters
    ----------
    model, sequence, batch, shape, phase, output_matrix : see `workload_of`
    read_energy : {matrix: J per token} of a trace's circuit solve; the mean conductance or the
        component otherwise

    Raises
    ------
    ConfigError, OutOfRangeError : what `workload_of` raises; a model that the chip cannot hold, a
        figure that is no number
    """
    workload = workload_of(
        model, sequence, batch, shape=shape, phase=phase, output_matrix=output_matrix
    )
    chip = description.chip
    lowered = chip.lower(workload)
    result = priced(description, workload, lowered, read_energy)
    if phase is Phase.PREFILL:
        return checked(replace(result, first_token=result.latency))
    if phase is Phase.DECODE:
        prompt = chip.lower(replace(workload, phase=Phase.PREFILL))
        return checked(replace(result, first_token=prompt.latency))
    return result


def priced(
    description: Description,
    workload: Workload,
    lowered: Lowered,
    read_energy: ReadEnergy | None = None,
) -> RollUp:
    """RollUp of what a chip, or one that differs in prices alone, has been lowered to.

    Raises
    ------
    OutOfRangeError : a figure that is no number
    """
    bill = description.chip.price(lowered, workload, read_energy)
    plan = lowered.plan
    result = RollUp(
        chip=description.name,
        model=workload.model,
        sequence=workload.sequence,
        batch=workload.batch,
        lines=bill.lines,
        area=math.fsum(bill.area_by_role.values()),
        area_by_role=bill.area_by_role,
        latency=lowered.latency,
        interval=lowered.interval,
        macs=workload.macs,
        chips=plan.chips,
        copies=plan.copies,
        utilisation=plan.utilisation,
        replication=plan.replication,
        programming_energy=bill.programming_energy,
        read_energy=bill.read_energy,
        notes=(*_beyond(workload), *plan.notes, *bill.notes),
        assumed=tuple(assumption.label for assumption in assumptions(description)),
        phase=workload.phase,
        tokens=workload.tokens,
        cache=plan.cache,
    )
    return checked(result)


def _beyond(workload: Workload) -> tuple[str, ...]:
    """The note on a sequence that is longer than the model takes."""
    positions = workload.shape.positions
    if positions is None or workload.sequence <= positions:
        return ()
    return (
        f"{workload.sequence} tokens are more than the {positions} positions of the model: figures "
        "of its layers alone",
    )
