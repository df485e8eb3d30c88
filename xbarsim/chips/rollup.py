"""A model on a chip at one batch and sequence length: energy, area and time."""

import math
from pathlib import Path

from xbarsim.base.errors import OutOfRangeError
from xbarsim.chips.assumptions import assumptions
from xbarsim.chips.files.chip import ReadEnergy
from xbarsim.chips.load import Description
from xbarsim.chips.plans import Lowered, Workload
from xbarsim.chips.result import RollUp, checked
from xbarsim.models.shapes import Shape, load_shape


def workload_of(
    model: str | Path, sequence: int, batch: int, shape: Shape | None = None
) -> Workload:
    """The Workload of a model.

    model : name of data/models.toml or checkpoint directory (only a label where `shape` is given)

    Raises
    ------
    ConfigError, OutOfRangeError : unknown model, less than one token or sequence
    """
    if sequence < 1 or batch < 1:
        raise OutOfRangeError(
            f"sequence = {sequence} tokens and batch = {batch} sequences must both be at least 1"
        )
    if shape is None:
        shape = load_shape(model)
    return Workload(str(model), shape, sequence, batch)


def roll_up(
    description: Description,
    model: str | Path,
    sequence: int,
    batch: int,
    *,
    shape: Shape | None = None,
    read_energy: ReadEnergy | None = None,
) -> RollUp:
    """RollUp of a model on a chip.

    Parameters
    ----------
    model : name of data/models.toml or checkpoint directory (only a label where `shape` is given)
    read_energy : {matrix: J per token} of a trace's circuit solve; the mean conductance or the
        component otherwise

    Raises
    ------
    ConfigError, OutOfRangeError : unknown model, less than one token or sequence, a model that the
        chip cannot hold, a figure that is no number
    """
    workload = workload_of(model, sequence, batch, shape)
    lowered = description.chip.lower(workload)
    return priced(description, workload, lowered, read_energy)


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
