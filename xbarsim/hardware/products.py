"""The products of a study that are not left digital: weight matrices on computation crossbars,
attention on either kind.

A weight matrix has the interface of `in_situ.matrix.Array` wherever it lies: `multiply(x, rows, seed) ->
Product` and `events_per_row`.  An attention product has `multiply(a, b, mask,
first_sentence)`, see `AttentionProduct`.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.counting.crossbars import Crossbars
from xbarsim.arrays.counting.moments import rounded
from xbarsim.arrays.counting.operands import SwitchOperand
from xbarsim.arrays.events import EVENTS
from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.arrays.in_situ.matrix import Product
from xbarsim.arrays.in_situ.programmed import program_matrix
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.settings import CountingSettings, InSituSettings
from xbarsim.base.units import NANO
from xbarsim.kernels.devices.random import row_keys
from xbarsim.models import int8 as quantize
from xbarsim.models.graph import Role


class Pool:
    """The computation crossbars of one chip: one set per distinct settings, tiles numbered in the
    order of the products.
    """

    def __init__(self, seed):
        self.seed, self._sets, self._tiles = seed, {}, 0

    def crossbars(self, study):
        """Crossbars of a product's study."""
        settings = CountingSettings.of(study)
        if settings not in self._sets:
            self._sets[settings] = Crossbars(settings, self.seed)
        return self._sets[settings]

    def first_tile(self, tiles):
        """Number of the first of so many further tiles."""
        self._tiles += tiles
        return self._tiles - tiles


def _keys(seed, index, names):
    """(b,) uint64 random keys of rows named (b, k)."""
    return row_keys(
        np.uint64(seed), np.column_stack([np.full(len(names), index), names]).astype(np.int64)
    )


def _read_energy(study):
    """Joule of one unit conductance in one read."""
    return (
        study.computation.read_voltage_v**2
        / study.computation.resistance_ohm
        * study.dac.read_time_ns
        * NANO
    )


def _to_codes(x, scale):
    """Integer codes of x, and which of them were held at the end of the range."""
    wide = np.rint(x * np.float32(1 / scale))
    return np.clip(wide, -quantize.LEVELS, quantize.LEVELS).astype(np.int8), np.abs(
        wide
    ) > quantize.LEVELS


# ---------------------------------------------------------------- weights on computation crossbars


@dataclass(frozen=True)
class CountedMatrix:
    """A weight matrix that the computation crossbars multiply: int8 per output, inputs int8 with a
    static range.
    """

    name: str
    index: int
    study: object
    crossbars: Crossbars
    operand: SwitchOperand
    input_scale: float
    weight_scale: np.ndarray

    @classmethod
    def prepare(cls, name, index, weight, largest_input, study, pool, read=None):
        """weight (out, in);  largest_input : full scale of the inputs;  read : as of
        `int8.int8_hook`.
        """
        scale = np.abs(weight).max(axis=1) / quantize.LEVELS
        scale[scale == 0] = 1
        codes = quantize.codes(weight, scale[:, None])
        codes = np.clip(
            codes if read is None else read(name, codes), -quantize.LEVELS, quantize.LEVELS
        )
        crossbars = pool.crossbars(study)
        first = pool.first_tile(crossbars.tiles(*weight.shape[::-1]))
        return cls(
            name,
            index,
            study,
            crossbars,
            crossbars.prepare(codes.T, first, keep=True),
            largest_input / quantize.LEVELS or 1.0,
            scale,
        )

    @property
    def events_per_row(self):
        return self.crossbars.events(*self.operand.codes.shape[1:])

    @property
    def tiles(self):
        return self.crossbars.tiles(*self.operand.codes.shape[1:])

    def multiply(self, x, rows, seed):
        """Product of inputs x (b, in) float32 with the matrix; rows, seed : as of
        `in_situ.matrix.Array.multiply`.
        """
        codes, outside = _to_codes(x, self.input_scale)
        counted = self.crossbars.multiply(codes, self.operand, _keys(seed, self.index, rows))
        output = counted.output * (self.weight_scale * self.input_scale).astype(np.float32)
        return Product(
            output.astype(np.float32, copy=False),
            outside.sum(axis=1),
            counted.saturations,
            counted.conducting * _read_energy(self.study),
        )


# ---------------------------------------------------------------- products of two activations


class AttentionProduct:
    """One product of two activations, head by head: a (b, heads, s, k) @ b (b, heads, k, n).

    The heads take the crossbars of a chip in turn, or tiles of their own that are written anew for
    every sentence.
    """

    def __init__(self, step, index, study, largest, chip_seed, pool, device):
        """index : names the random numbers, with `chip_seed`;  largest : (largest |a|, largest |b|)
        of calibration
        pool, device : for the two kinds of hardware"""
        self.name, self.index, self.study, self.seed = step.name, index, study, chip_seed
        self.scales = [value / quantize.LEVELS or 1.0 for value in largest]
        self.scores = step.role is Role.ATTENTION_SCORES
        self.counting = study.products.attention == "computation"
        self.crossbars = pool.crossbars(study) if self.counting else None
        self.device = None if self.counting else device.in_study(study)

    def multiply(self, a, b, mask, first_sentence):
        """The product, and what it cost.

        mask : (b, s) real tokens;  first_sentence : number of the first sentence of the batch

        Returns
        -------
        (b, heads, s, n) float32, 0 at padding
        {name: (t,)} of every real token: the events of `Array.events_per_row`, dac_saturations,
        adc_saturations, array_energy; of the second operand, shared over the tokens: cells_set
        (written, or switches set) and write_energy (J, 0 where the device states none)
        """
        lengths = mask.sum(axis=1)
        output = np.zeros((*a.shape[:3], b.shape[-1]), np.float32)
        data = {
            name: np.zeros(mask.shape)
            for name in (
                *EVENTS,
                "dac_saturations",
                "adc_saturations",
                "array_energy",
                "cells_set",
                "write_energy",
            )
        }
        if self.counting:  # sentences of similar length together, padded with zeros
            size = np.array([rounded(length) for length in lengths])
            jobs = [(np.flatnonzero(size == one), None) for one in np.unique(size)]
        else:
            jobs = [
                (np.array([sentence]), head)
                for sentence in range(len(a))
                for head in range(a.shape[1])
            ]
        for sentences, head in jobs:
            longest = lengths[sentences].max()
            heads = slice(None) if head is None else slice(head, head + 1)
            left, right = a[sentences, heads, :longest], b[sentences, heads]
            left, right = (
                (left, right[..., :longest])
                if self.scores
                else (left[..., :longest], right[:, :, :longest])
            )
            one = self._count if self.counting else self._write
            product, costs = one(
                left, right, lengths[sentences], first_sentence + sentences, heads.start or 0
            )
            output[sentences, heads, :longest, : product.shape[-1]] = product
            for name, values in costs.items():  # (sentences, longest)
                data[name][sentences, :longest] += values
        return output, {name: values[mask] for name, values in data.items()}

    def _count(self, a, b, lengths, sentences, _):
        """All heads of several sentences, (b, heads, s, k) and (b, heads, k, n)."""
        count, heads, longest, _ = a.shape
        a_codes, a_outside = _to_codes(a, self.scales[0])
        b_codes, b_outside = _to_codes(b, self.scales[1])
        depths = None if self.scores else np.repeat(lengths, heads)
        widths = np.repeat(lengths, heads) if self.scores else None
        first = np.tile(np.arange(heads), count)
        operand = self.crossbars.prepare(
            b_codes.reshape(-1, *b.shape[2:]), first, depths, widths=widths
        )
        names = np.stack(
            [
                x.ravel()
                for x in np.meshgrid(sentences, np.arange(heads), np.arange(longest), indexing="ij")
            ]
        )
        counted = self.crossbars.multiply(
            a_codes.reshape(-1, *a.shape[2:]), operand, _keys(self.seed, self.index, names.T)
        )
        output = counted.output.reshape(count, heads, longest, -1) * np.float32(
            self.scales[0] * self.scales[1]
        )
        # what one row of a sentence costs, in all heads
        costs = [
            (self.crossbars.events(*shape) * heads).by_name()
            | {"cells_set": heads * self.crossbars.switch_settings(*shape) / length}
            for length in lengths
            for shape in [(b.shape[2], length) if self.scores else (length, b.shape[3])]
        ]
        data = {name: np.array([cost[name] for cost in costs])[:, None] for name in costs[0]}
        data["dac_saturations"] = (
            a_outside.sum(axis=(1, 3)) + (b_outside.sum(axis=(1, 2, 3)) / lengths)[:, None]
        )
        saturations, conducting = (
            x.reshape(count, heads, longest).sum(axis=1)
            for x in (counted.saturations, counted.conducting)
        )
        return output, data | {
            "adc_saturations": saturations,
            "array_energy": conducting * _read_energy(self.study),
        }

    def _write(self, a, b, _, sentences, head):
        """One head of one sentence: b is written to in-situ tiles just as large as it needs;
        converter ranges are those of this very sentence."""
        a, b, sentence = a[0, 0], b[0, 0], sentences[0]
        mapping = self.study.mapping
        seed = np.random.SeedSequence(
            self.seed, spawn_key=(self.index, sentence, head)
        ).generate_state(1)[0]
        small = mapping.model_copy(
            update={
                "word_lines": min(mapping.word_lines, len(b)),
                "bit_lines": min(mapping.bit_lines, self._bit_lines(b.shape[1])),
            }
        )
        programmed = program_matrix(
            name=self.name,
            index=0,
            weight=b.T,
            moment=(a.astype(np.float64) ** 2).mean(axis=0),
            settings=dataclasses.replace(InSituSettings.of(self.study), mapping=small),
            device=self.device,
            seed=int(seed),
        )
        array = with_ranges(programmed, a, cross_terms=False)
        names = np.column_stack([np.full(len(a), head), np.arange(len(a))])
        product = array.multiply(a, names, int(seed))
        data = {
            key: getattr(product, key)
            for key in ("dac_saturations", "adc_saturations", "array_energy")
        }
        return product.output, data | array.events_per_row.by_name() | {
            "cells_set": array.programmed.encoded.target.size / len(a),
            "write_energy": (array.programmed.counts.write_energy or 0.0) / len(a),
        }

    def _bit_lines(self, outputs):
        mapping = self.study.mapping
        return outputs if mapping.placement == "twin" else outputs * layout_of(1, 1, mapping).planes


def attention_products(study, model, largest, seed, pool, device):
    """{name: AttentionProduct} of the products that the study, `[[layer]]` overrides included, does
    not leave digital.

    largest : {name: (largest |a|, largest |b|)}
    """
    result = {}
    for index, step in enumerate(model.graph.products, start=len(model.graph.matrices)):
        own = study.for_layer(step.name)
        if own.products.attention != "digital":
            result[step.name] = AttentionProduct(
                step, index, own, largest[step.name], seed, pool, device
            )
    return result
