"""What a trace says about hardware."""

from xbarsim.hardware import products


def layer_attributes(array):
    """(attributes, {data set: (tiles,)}) of a matrix for the trace."""
    if isinstance(array, products.CountedMatrix):
        _, inputs, outputs = array.operand.codes.shape
        computation = array.study.computation
        nothing = dict.fromkeys(
            (
                "clipped_weights",
                "stuck_on",
                "stuck_off",
                "bounded_cells",
                "rounded_cells",
                "unverified_cells",
                "write_pulses",
            ),
            0,
        )
        stuck = array.crossbars.stuck_cells(array.operand)
        return {
            "inputs": inputs,
            "outputs": outputs,
            "tiles": array.tiles,
            "cells": array.tiles * computation.word_lines * computation.bit_lines,
            **counting_bits(array.study),
            **nothing,
            "stuck_on": stuck[0],
            "stuck_off": stuck[1],
        }, {}
    programmed, layout = array.programmed, array.programmed.layout
    counts = programmed.counts
    attributes = {
        "inputs": layout.inputs,
        "outputs": layout.outputs,
        "tiles": layout.tiles,
        "cells": layout.tiles * layout.word_lines * layout.bit_lines,
        "clipped_weights": programmed.encoded.clipped,
        "stuck_on": counts.stuck_on,
        "stuck_off": counts.stuck_off,
        "bounded_cells": counts.bounded,
        "rounded_cells": counts.rounded,
        "unverified_cells": counts.unverified,
        "write_pulses": counts.pulses,
        **converter_bits(programmed.settings),
    }
    if counts.write_energy is not None:
        attributes["write_energy"] = counts.write_energy
    return attributes, {
        "attenuation_mean": programmed.attenuation_mean,
        "attenuation_std": programmed.attenuation_std,
    }


def converter_bits(study):
    """{"adc_bits", "dac_bits"} of in-situ arrays, 0 where they are ideal."""
    ideal = not study.effects.converters
    return {
        f"{name}_bits": 0 if ideal or table.bits == "ideal" else table.bits
        for name, table in (("adc", study.adc), ("dac", study.dac))
    }


def counting_bits(study):
    """The same of computation crossbars, whose word lines are driven by single bits."""
    return {
        "adc_bits": study.computation.adc_bits if study.effects.converters else 0,
        "dac_bits": 1,
    }


def product_attributes(product):
    """Attributes of an AttentionProduct for the trace."""
    return (counting_bits if product.counting else converter_bits)(product.study)
