"""Causal attention on computation crossbars, see `causal_parts`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.counting.crossbars import Crossbars
from xbarsim.base.array_types import AnyArray, Singles
from xbarsim.config.study import Study
from xbarsim.hardware.causal_parts import Block, Query, ResultPlace, Results
from xbarsim.hardware.counting import Codes, code_scale, keys_of, read_energy, to_codes
from xbarsim.hardware.steps import (
    CachePerToken,
    ConverterBits,
    ProductCosts,
    ProductDescription,
    Tokens,
)
from xbarsim.models.graph import Role, Step


@dataclass(frozen=True)
class CausalCountedAttention:
    """A product whose heads take the computation crossbars of a chip in turn.

    The cache is codes in a memory; switches are set anew for every pass, by the keys or values of
    all tokens so far.  With `computation.sign = "offset"` word lines of masked values are driven by
    the offset, and a saturated conversion of a later key that a prefill has set counts.

    index : names the random numbers, with the chip's `seed`
    largest : (largest |a|, largest |b|) of held-out sequences
    longest : tokens of the longest sequence
    """

    step: Step
    index: int
    settings: Study
    crossbars: Crossbars
    largest: tuple[float, float]
    seed: int
    longest: int

    def description(self) -> ProductDescription:
        bits = ConverterBits.counting(self.settings)
        return ProductDescription(
            self.step.kind, self.step.role, self.step.layer, adc_bits=bits.adc, dac_bits=bits.dac
        )

    def cache_per_token(self) -> CachePerToken:
        return CachePerToken(bytes=self.step.second)

    @property
    def _holds_keys(self) -> bool:
        return self.step.role is Role.ATTENTION_SCORES

    @property
    def _block(self) -> int:
        """Positions of a block, one tile."""
        computation = self.settings.computation
        if self._holds_keys:
            return min(computation.bit_lines, self.longest)
        return min(computation.word_lines // self.crossbars.physics.cells, self.longest)

    def multiply(self, a: Singles, b: Singles, tokens: Tokens) -> tuple[Singles, ProductCosts]:
        """See `steps.ProductOnHardware`."""
        result = Results(self.step, a, b, tokens)
        for query, place in result.queries():
            self._one_head(query, place)
        return result.output, result.of_tokens()

    def _one_head(self, query: Query, place: ResultPlace) -> None:
        scales = [code_scale(value) for value in self.largest]
        values = to_codes(query.values, scales[1])
        inputs = to_codes(query.inputs, scales[0])
        coded = dataclasses.replace(query, inputs=_as_floats(inputs), values=_as_floats(values))
        heads, new, _ = query.inputs.shape
        width = len(query.values) if self._holds_keys else query.values.shape[1]
        output = np.zeros((heads, new, width))
        joules = read_energy(self.settings.computation, self.settings.dac.read_time_ns)
        for block in Block.all_of(coded, self._block):
            operand = self.crossbars.prepare(
                self._switches(values, block),
                query.head + block.number,
                None if self._holds_keys else [block.written],
                widths=[block.written] if self._holds_keys else None,
            )
            lines = block.inputs_of(coded, holds_keys=self._holds_keys).astype(np.int8)
            names = query.names(block.first)
            of_chip = np.column_stack([np.full(len(names), query.sequence), names])
            of_block = np.column_stack([of_chip, np.full(len(names), block.number)])
            keys = keys_of(self.seed, self.index, of_block)
            flat = np.ascontiguousarray(lines.reshape(-1, lines.shape[-1]))
            counted = self.crossbars.multiply(flat, operand, keys, any_batch=True)
            found = counted.output.reshape(*lines.shape[:2], -1)
            if self._holds_keys:
                output[:, block.first :, block.positions] = found[..., : block.written]
            else:
                output[:, block.first :] += found
            saturations = counted.saturations.reshape(heads, -1).sum(axis=0)
            conducting = counted.conducting.reshape(heads, -1).sum(axis=0)
            place.add_cost("adc_saturations", saturations, block.first)
            place.add_cost("array_energy", conducting * joules, block.first)
        unmasked = np.arange(output.shape[-1]) <= query.positions[:, None]
        if self._holds_keys:
            output = np.where(unmasked, output, 0.0)
        place.put((output * (scales[0] * scales[1])).astype(np.float32))
        self._count(query, place, inputs, values)

    def _switches(self, values: Codes, block: Block) -> AnyArray:
        """Codes (depth, outputs) of a whole block, 0 where there is no token yet."""
        switches = np.zeros((block.size, values.values.shape[1]), np.int8)
        switches[: block.written] = values.values[block.positions]
        return switches.T if self._holds_keys else switches

    def _count(self, query: Query, place: ResultPlace, inputs: Codes, values: Codes) -> None:
        """Events of every new token with the tokens that it sees, and the switches that are set."""
        width = query.values.shape[1]
        for number, position in enumerate(query.positions):
            seen = int(position) + 1
            shape = (width, seen) if self._holds_keys else (seen, width)
            events = self.crossbars.events(*shape)
            for name in ("tile_reads", "adc_conversions", "dac_drives", "shift_adds"):
                of_heads = getattr(events, name) * len(query.heads)
                place.result.costs[name][place.row, number] += of_heads
        total = len(query.values)
        shape = (width, total) if self._holds_keys else (total, width)
        place.add_cost("cells_set", self.crossbars.switch_settings(*shape) / place.length)
        held = inputs.outside.sum(axis=(0, 2)) + values.outside[query.past :].sum(axis=1)
        place.add_cost("dac_saturations", held)


def _as_floats(codes: Codes) -> Singles:
    return codes.values.astype(np.float32)
