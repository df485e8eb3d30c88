"""Causal attention on in-situ tiles: the key-value cache as written cells, see `causal_parts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from xbarsim.arrays.in_situ.fixed_ranges import FixedRanges, SampleProduct
from xbarsim.arrays.in_situ.full_scale import choose_clip
from xbarsim.arrays.in_situ.input_coder import InputCoder
from xbarsim.arrays.in_situ.matrix import Array
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import Floats, Singles
from xbarsim.base.errors import ConfigError
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.streams import Streams
from xbarsim.hardware.causal_parts import Block, Query, ResultPlace, Results, Shares
from xbarsim.hardware.key_value_cells import KeyValueCells, joined, part_of
from xbarsim.hardware.steps import (
    CachePerToken,
    ConverterBits,
    ProductCosts,
    ProductDescription,
    ProductSample,
    Tokens,
)
from xbarsim.models.graph import Role, Step

CALIBRATION = 1  # sets the random numbers of sample sequences apart from those of a study


@dataclass
class Written:
    """Cells of one head of one sequence: what was written, and the arrays of its blocks."""

    values: Singles
    cells: Programmed
    arrays: list[Array] = field(default_factory=list)


@dataclass(frozen=True)
class CausalWrittenAttention:
    """A product whose second operand is a key-value cache of written cells.

    The cells of a position are drawn once, by random numbers that the chip, the step, the sequence,
    the head and the position name: they are the same however the sequence comes.  Ranges and gain
    are those of held-out sequences.

    index : names the random numbers, with the chip's `seed`
    """

    step: Step
    index: int
    settings: Study
    seed: int
    cells: KeyValueCells
    ranges: FixedRanges

    @classmethod
    def prepare(
        cls,
        step: Step,
        index: int,
        samples: Sequence[ProductSample],
        *,
        longest: int,
        settings: Study,
        seed: int,
        device: DeviceModel,
    ) -> CausalWrittenAttention:
        """samples : of held-out sequences, at least one;  longest : tokens of a sequence

        Raises
        ------
        ConfigError : an input code that drives a word line whose input is 0
        """
        _check_masked_inputs(step, settings)
        scale = _full_scale(step, samples, settings, device)
        cells = KeyValueCells.of(
            step, InSituSettings.of_activations(settings), device, longest, scale
        )
        coder = _coder(step, samples, settings, device)
        written = []
        for number, sample in enumerate(samples):
            for query in _queries_of(step, sample, number):
                own = _name(seed, index, query, CALIBRATION)
                written += _sample_products(cells, query, own)
        return cls(step, index, settings, seed, cells, FixedRanges.of(coder, written))

    def description(self) -> ProductDescription:
        bits = ConverterBits.in_situ(self.settings)
        return ProductDescription(
            self.step.kind, self.step.role, self.step.layer, adc_bits=bits.adc, dac_bits=bits.dac
        )

    def cache_per_token(self) -> CachePerToken:
        return CachePerToken(cells=self.step.second_copies * self.cells.cells_per_token)

    def multiply(self, a: Singles, b: Singles, tokens: Tokens) -> tuple[Singles, ProductCosts]:
        """See `steps.ProductOnHardware`."""
        result = Results(self.step, a, b, tokens)
        for query, place in result.queries():
            self._one_head(query, place, tokens)
        return result.output, result.of_tokens()

    def _one_head(self, query: Query, place: ResultPlace, tokens: Tokens) -> None:
        seed = _name(self.seed, self.index, query)
        written = self._written(query, place, tokens, seed)
        heads, new, _ = query.inputs.shape
        width = len(query.values)
        if not self.cells.holds_keys:
            width = self.cells.width
        output = np.zeros((heads, new, width), np.float32)
        for block in Block.all_of(query, self.cells.block):
            array = written.arrays[block.number]
            inputs = block.inputs_of(query, holds_keys=self.cells.holds_keys)
            wanted = None
            if self.cells.holds_keys:
                wanted = np.tile(block.wanted, (heads, 1))
            flat = np.ascontiguousarray(inputs.reshape(-1, inputs.shape[-1]))
            product = array.multiply(flat, query.names(block.first), seed, wanted)
            found = product.output.reshape(*inputs.shape[:2], -1)
            if self.cells.holds_keys:
                output[:, block.first :, block.positions] = found[..., : block.written]
            else:
                output[:, block.first :] += found
            place.add_events(array.events_per_row, self._shares(block), block.first)
            for name in ("dac_saturations", "adc_saturations", "array_energy"):
                of_heads = getattr(product, name).reshape(heads, -1)
                place.add_cost(name, of_heads.sum(axis=0), block.first)
        place.put(output)

    def _periphery(self, head: int, block: int) -> Streams:
        """Random streams of the converters of a block: those of every sequence, as tiles are."""
        key = (self.index, head)
        seed = np.random.SeedSequence(self.seed, spawn_key=key).generate_state(1)[0]
        return Streams(int(seed), block)

    def _shares(self, block: Block) -> Shares:
        seen = block.seen / block.size
        if self.cells.holds_keys:
            return Shares(inputs=1.0, outputs=seen)
        return Shares(inputs=seen, outputs=1.0)

    def _written(self, query: Query, place: ResultPlace, tokens: Tokens, seed: int) -> Written:
        """The cells of a head with those of the new tokens, whose writing is counted."""
        name = (self.step.name, query.sequence, query.head)
        known = _known(tokens.written, name, query)
        cells = None
        arrays: list[Array] = []
        start = 0
        if known is not None:
            cells = known.cells
            start = len(known.values)
            arrays = known.arrays[: start // self.cells.block]
        if start < query.past:  # written before, by the same random numbers
            again = self.cells.write(query.values[start : query.past], start, seed)
            cells = joined(cells, again)
        new = self.cells.write(query.values[query.past :], query.past, seed)
        cells = joined(cells, new)
        held = np.abs(query.values[query.past :]) > self.cells.full_scale
        place.add_cost("dac_saturations", held.sum(axis=1))
        place.add_cost("cells_set", self.cells.cells_per_token)
        place.add_cost("write_energy", (new.counts.write_energy or 0.0) / place.length)
        for block in Block.all_of(query, self.cells.block):
            if block.number >= len(arrays):
                of_block = part_of(cells, block.positions)
                periphery = self._periphery(query.head, block.number)
                programmed = self.cells.matrix(of_block, block.number, seed, periphery)
                arrays.append(self.ranges.array(programmed))
        written = Written(np.array(query.values), cells, arrays)
        if tokens.written is not None:
            tokens.written[name] = written
        return written


def _name(seed: int, index: int, query: Query, *purpose: int) -> int:
    """Seed of the cells of a head of a sequence."""
    key = (index, query.sequence, query.head, *purpose)
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0])


def _known(
    kept: dict[tuple[str, int, int], Written] | None, name: tuple[str, int, int], query: Query
) -> Written | None:
    """What was written of this very sequence before, None if nothing or another was."""
    known = None if kept is None else kept.get(name)
    if known is None or len(known.values) > query.past:
        return None
    same = np.array_equal(known.values, query.values[: len(known.values)])
    return known if same else None


def _check_masked_inputs(step: Step, settings: Study) -> None:
    """Refuse inputs whose code of 0 is a voltage, where later values must be left undriven."""
    dac = settings.dac
    if step.role is Role.ATTENTION_SCORES or not settings.effects.with_dac:
        return
    if dac.bits == 1:
        raise ConfigError(
            f"{step.name}: dac.bits = 1 has no code for 0, so later values cannot be left "
            "undriven; use 2 bits or more"
        )
    serial = dac.encoding == "bit_serial" and dac.bits != "ideal"
    if serial and dac.digit_bits > 1 and dac.polarity == "signed":
        raise ConfigError(
            f"{step.name}: signed digits of dac.digit_bits = {dac.digit_bits} are offset binary, "
            "which drives the word lines of later values too; use dac.polarity = "
            '"two_phase" or dac.digit_bits = 1'
        )


def _full_scale(
    step: Step, samples: Sequence[ProductSample], settings: Study, device: DeviceModel
) -> float:
    """Full-scale weight of the cells by the criterion of `mapping.clip`, on sample sequences."""
    mapping = settings.mapping.model_copy(update={"scale": "matrix"})
    values = np.concatenate([sample.values.reshape(-1, sample.width) for sample in samples])
    weight = values.astype(np.float64)
    if step.role is Role.ATTENTION_SCORES:
        squares = [sample.inputs.reshape(-1, sample.width) ** 2 for sample in samples]
        moment = np.concatenate(squares).mean(axis=0, dtype=np.float64)
        return float(choose_clip(weight.T, moment, mapping, device)[0])
    moments = [_moments_of_positions(sample) for sample in samples]
    return float(choose_clip(weight, np.concatenate(moments), mapping, device)[0])


def _moments_of_positions(sample: ProductSample) -> Floats:
    """(heads of values * n,) mean square of the score of every position."""
    heads = len(sample.values)
    squares = sample.inputs.astype(np.float64) ** 2  # (query heads, r, n)
    of_heads: Floats = squares.reshape(heads, -1, squares.shape[-1]).mean(axis=1)
    return of_heads.ravel()


def _coder(
    step: Step, samples: Sequence[ProductSample], settings: Study, device: DeviceModel
) -> InputCoder:
    width = samples[0].width if step.role is Role.ATTENTION_SCORES else 1
    inputs = np.concatenate([sample.inputs.reshape(-1, width) for sample in samples])
    power = np.ones(1)
    if step.role is Role.ATTENTION_SCORES:
        keys = np.concatenate([sample.values.reshape(-1, width) for sample in samples])
        power = (keys.astype(np.float64) ** 2).sum(axis=0)
    return InputCoder.covering(
        inputs,
        power,
        settings.dac,
        InSituSettings.of(settings).read_voltage(device),
        ideal=not settings.effects.with_dac,
        even=not settings.effects.with_converter_errors,
    )


def _queries_of(step: Step, sample: ProductSample, number: int) -> Iterator[Query]:
    """Every head of keys or values of a sample sequence."""
    heads = len(sample.values)
    group = len(sample.inputs) // heads
    for head in range(heads):
        own = np.arange(head * group, (head + 1) * group)
        yield Query(
            inputs=sample.inputs[own],
            values=sample.values[head],
            heads=own,
            positions=sample.positions,
            sequence=number,
            head=head,
        )


def _sample_products(cells: KeyValueCells, query: Query, seed: int) -> list[SampleProduct]:
    """What some tokens of a sample sequence read, block by block."""
    written = cells.write(query.values, 0, seed)
    found = []
    for number in range(-(-len(query.values) // cells.block)):
        start = number * cells.block
        seen = np.clip(query.positions + 1 - start, 0, cells.block)
        block = Block(
            number=number,
            size=cells.block,
            written=min(cells.block, len(query.values) - start),
            first=0,
            seen=seen,
        )
        inputs = block.inputs_of(query, holds_keys=cells.holds_keys)
        weight = np.zeros((cells.block, cells.width))
        weight[: block.written] = query.values[block.positions]
        wanted = block.wanted
        if not cells.holds_keys:
            weight = weight.T
            wanted = np.repeat((seen > 0)[:, None], cells.width, axis=1)
        found.append(
            SampleProduct(
                programmed=cells.matrix(part_of(written, block.positions), number, seed),
                weight=weight,
                inputs=np.ascontiguousarray(inputs.reshape(-1, inputs.shape[-1])),
                wanted=np.tile(wanted, (len(inputs), 1)),
            )
        )
    return found
