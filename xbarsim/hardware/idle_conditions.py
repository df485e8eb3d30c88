"""What a step of a model has that settings of a study may act on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from xbarsim.circuit.wires import have_resistance
from xbarsim.devices.conditions import Effect
from xbarsim.hardware.place import Place
from xbarsim.models.graph import Kind


@dataclass(frozen=True)
class Rule:
    """When a step asks for a key or a table; `needs` completes "it needs ..."."""

    needs: str
    holds: Callable[[Place], bool]


def depends_on_time(place: Place) -> bool:
    if place.table("relaxation") is not None or place.table("drift") is not None:
        return True
    flicker = place.table("flicker")
    if flicker is not None and flicker.frequency_low_hz is None:
        return True
    programming = place.table("programming")
    if programming is None:
        return False
    return any(entry.time_s is not None for entry in programming.sigma)


def depends_on_the_write(place: Place) -> bool:
    for effect in ("programming", "relaxation", "drift"):
        if place.table(effect) is not None:
            return True
    spread = place.table("spread")
    if spread is not None and spread.cycle_to_cycle_relative_sigma > 0:
        return True
    verified = place.device.file.write_verify is not None and not place.measured
    return verified and place.programmed and place.on("programming")


def switches(place: Place, effect: str) -> bool:
    """Whether a switch that is on has a table, or resistors of computation crossbars, to act on."""
    counted = effect in ("spread", "stuck", "telegraph") and place.counts
    own = getattr(place.study.effects, effect)
    return own is not True or counted or place.table(effect) is not None


def multiplies_telegraph_noise(place: Place) -> bool:
    if place.counts:
        return place.on("telegraph")
    return place.table("telegraph") is not None


def leaves_out(place: Place) -> bool:
    """Whether the step would have one of the effects that are left out."""
    study = place.study
    whole = study.effects.model_copy(update={"without": ()})
    with_all = replace(place, study=study.model_copy(update={"effects": whole}))
    return any(with_all.acts(switch) for switch in study.effects.without)


def has_read_noise(place: Place) -> bool:
    white = place.table("read_noise")
    if white is not None and white.relative_sigma > 0:
        return True
    return has_slow_noise(place)


def has_slow_noise(place: Place) -> bool:
    return place.table("flicker") is not None or place.table("telegraph") is not None


def follows_inputs(place: Place) -> bool:
    """Whether inputs become codes whose full scale may follow them."""
    if place.step.kind is Kind.MATRIX:
        return place.hardware != "digital"
    return place.in_situ and not place.step.causal


def solves_rows(place: Place) -> bool:
    return place.segment and place.study.memory.access != "transistor"


def maps_weights(place: Place) -> bool:
    """Whether targets of weights are chosen, and not those of files."""
    return place.in_situ and not place.measured


def holds_weights(place: Place) -> bool:
    return place.in_situ and place.step.kind is Kind.MATRIX


def has_weights_behind_wires(place: Place) -> bool:
    is_weight = place.step.kind is Kind.MATRIX and not place.measured
    return is_weight and is_behind_wires(place)


def is_behind_wires(place: Place) -> bool:
    return place.in_situ and place.study.effects.with_wires and have_resistance(place.study.wires)


def raises_rows(place: Place) -> bool:
    has_drivers = place.study.wires.source_resistance_ohm > 0
    return holds_weights(place) and is_behind_wires(place) and has_drivers


def measures(place: Place) -> bool:
    """Whether cells of weights are read back and written again."""
    matrix = maps_weights(place) and place.step.kind is Kind.MATRIX
    return matrix and place.study.mapping.compensation == "measured"


def rewrites(place: Place) -> bool:
    """Whether they have errors that are measured."""
    effects = (Effect.SPREAD, Effect.RELAXATION, Effect.DRIFT, Effect.STUCK)
    errs = place.acts(Effect.PROGRAMMING) or any(map(place.acts, effects))
    return measures(place) and (errs or has_weights_behind_wires(place))


def averages_reads(place: Place) -> bool:
    noise = place.table("read_noise")
    return rewrites(place) and noise is not None and noise.relative_sigma > 0
