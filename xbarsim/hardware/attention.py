"""Products of two activations on hardware: counted on computation crossbars, or written anew to
in-situ tiles for every sentence.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.counting.crossbars import Crossbars
from xbarsim.arrays.counting.moments import rounded
from xbarsim.arrays.in_situ.correction import mean_squares
from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.arrays.in_situ.programmed import program_matrix
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import AnyArray, Booleans, Integers, Singles
from xbarsim.config.arrays import Mapping
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import Streams
from xbarsim.hardware.counting import Codes, code_scale, keys_of, read_energy, to_codes
from xbarsim.hardware.steps import (
    CachePerToken,
    ConverterBits,
    ProductCosts,
    ProductDescription,
    Tokens,
    input_scaling,
)
from xbarsim.models.graph import Role, Step

COSTS = tuple(field.name for field in dataclasses.fields(ProductCosts))


@dataclass(frozen=True)
class _Sum:
    """Results of the parts of a batch in their places.

    output : (b, heads, s, n);  costs : {name: (b, s)}
    """

    output: Singles
    costs: dict[str, AnyArray]

    @classmethod
    def empty(cls, a: Singles, b: Singles, mask: Booleans) -> "_Sum":
        output = np.zeros((*a.shape[:3], b.shape[-1]), np.float32)
        return cls(output, {name: np.zeros(mask.shape) for name in COSTS})

    def add(
        self, sentences: Integers, heads: slice, longest: int, output: Singles, costs: ProductCosts
    ) -> None:
        """output (sentences, heads, longest, n), costs (sentences, longest) or what spreads so."""
        self.output[sentences, heads, :longest, : output.shape[-1]] = output
        for name, values in costs.by_name().items():
            self.costs[name][sentences, :longest] += values

    def of_tokens(self, mask: Booleans) -> ProductCosts:
        return ProductCosts(**{name: values[mask] for name, values in self.costs.items()})


def _cut(step: Step, left: Singles, right: Singles, longest: int) -> tuple[Singles, Singles]:
    """Both operands without positions beyond `longest`."""
    if step.role is Role.ATTENTION_SCORES:
        return left, right[..., :longest]
    return left[..., :longest], right[:, :, :longest]


# ---------------------------------------------------------------- on computation crossbars


@dataclass(frozen=True)
class CountedAttention:
    """A product whose heads take the computation crossbars of a chip in turn.

    index : names the random numbers, with the chip's `seed`
    largest : (largest |a|, largest |b|) of held-out sentences
    """

    step: Step
    index: int
    settings: Study
    crossbars: Crossbars
    largest: tuple[float, float]
    seed: int

    def description(self) -> ProductDescription:
        bits = ConverterBits.counting(self.settings)
        return ProductDescription(
            self.step.kind, self.step.role, self.step.layer, adc_bits=bits.adc, dac_bits=bits.dac
        )

    def cache_per_token(self) -> CachePerToken:
        return CachePerToken()

    def multiply(self, a: Singles, b: Singles, tokens: Tokens) -> tuple[Singles, ProductCosts]:
        """See `steps.ProductOnHardware`: sentences of similar length together, padded with zeros."""
        mask = tokens.mask
        lengths = tokens.lengths
        sizes = np.array([rounded(length) for length in lengths])
        total = _Sum.empty(a, b, mask)
        heads = slice(None)
        for size in np.unique(sizes):
            sentences = np.flatnonzero(sizes == size)
            longest = lengths[sentences].max()
            left, right = _cut(
                self.step, a[sentences, heads, :longest], b[sentences, heads], longest
            )
            output, costs = self._together(
                left, right, lengths[sentences], tokens.first_sentence + sentences
            )
            total.add(sentences, heads, longest, output, costs)
        return total.output, total.of_tokens(mask)

    def _together(
        self, a: Singles, b: Singles, lengths: Integers, sentences: Integers
    ) -> tuple[Singles, ProductCosts]:
        """All heads of several sentences, (n, heads, s, k) and (n, heads, k, m)."""
        count, heads, longest, _ = a.shape
        scales = [code_scale(value) for value in self.largest]
        left = to_codes(a, scales[0])
        right = to_codes(b, scales[1])
        of_head = np.repeat(lengths, heads)
        operand = self.crossbars.prepare(
            right.values.reshape(-1, *b.shape[2:]),
            np.tile(np.arange(heads), count),
            None if self._is_scores else of_head,
            widths=of_head if self._is_scores else None,
        )
        names = np.meshgrid(sentences, np.arange(heads), np.arange(longest), indexing="ij")
        rows = np.stack([name.ravel() for name in names]).T
        counted = self.crossbars.multiply(
            left.values.reshape(-1, *a.shape[2:]), operand, keys_of(self.seed, self.index, rows)
        )
        output = counted.output.reshape(count, heads, longest, -1)
        output = output * np.float32(scales[0] * scales[1])
        saturations = counted.saturations.reshape(count, heads, longest).sum(axis=1)
        conducting = counted.conducting.reshape(count, heads, longest).sum(axis=1)
        joules = read_energy(self.settings.computation, self.settings.dac.read_time_ns)
        shapes = [self._shape(b, length) for length in lengths]
        events = [self.crossbars.events(*shape) * heads for shape in shapes]
        switches = [heads * self.crossbars.switch_settings(*shape) for shape in shapes]
        costs = ProductCosts(
            tile_reads=_column([one.tile_reads for one in events]),
            adc_conversions=_column([one.adc_conversions for one in events]),
            dac_drives=_column([one.dac_drives for one in events]),
            shift_adds=_column([one.shift_adds for one in events]),
            comparisons=_column([one.comparisons for one in events]),
            multiplications=_column([one.multiplications for one in events]),
            dac_saturations=_outside(left, right, lengths),
            adc_saturations=saturations,
            array_energy=conducting * joules,
            cells_set=_column(switches) / lengths[:, None],
            write_energy=np.zeros(1),
        )
        return output, costs

    @property
    def _is_scores(self) -> bool:
        return self.step.role is Role.ATTENTION_SCORES

    def _shape(self, b: Singles, length: int) -> tuple[int, int]:
        """(inputs, outputs) of the second operand of one head of a sentence."""
        return (b.shape[2], length) if self._is_scores else (length, b.shape[3])


def _column(values: list[int]) -> AnyArray:
    return np.array(values)[:, None]


def _outside(left: Codes, right: Codes, lengths: Integers) -> AnyArray:
    """Codes of a token that were held; those of the second operand are shared over the tokens."""
    shared = right.outside.sum(axis=(1, 2, 3)) / lengths
    found: AnyArray = left.outside.sum(axis=(1, 3)) + shared[:, None]
    return found


# ---------------------------------------------------------------- on in-situ tiles


@dataclass(frozen=True)
class WrittenAttention:
    """A product whose second operand is written to in-situ tiles, each just as large as it needs,
    for every head of every sentence.

    index : names the random numbers, with the chip's `seed`
    device : as the study sets it
    """

    step: Step
    index: int
    settings: Study
    seed: int
    device: DeviceModel

    def description(self) -> ProductDescription:
        bits = ConverterBits.in_situ(self.settings)
        return ProductDescription(
            self.step.kind,
            self.step.role,
            self.step.layer,
            adc_bits=bits.adc,
            dac_bits=bits.dac,
            input_scaling=input_scaling(self.settings),
        )

    def cache_per_token(self) -> CachePerToken:
        return CachePerToken()

    def multiply(self, a: Singles, b: Singles, tokens: Tokens) -> tuple[Singles, ProductCosts]:
        """See `steps.ProductOnHardware`."""
        mask = tokens.mask
        lengths = tokens.lengths
        total = _Sum.empty(a, b, mask)
        for sentence in range(len(a)):
            longest = lengths[sentence]
            places = np.array([sentence])
            for head in range(a.shape[1]):
                heads = slice(head, head + 1)
                left, right = _cut(self.step, a[places, heads, :longest], b[places, heads], longest)
                output, costs = self._one_head(
                    left[0, 0], right[0, 0], tokens.first_sentence + sentence, head
                )
                total.add(places, heads, longest, output, costs)
        return total.output, total.of_tokens(mask)

    def _one_head(
        self, a: Singles, b: Singles, sentence: int, head: int
    ) -> tuple[Singles, ProductCosts]:
        """a (s, k) @ b (k, n); converter ranges are those of this very sentence."""
        names = np.random.SeedSequence(self.seed, spawn_key=(self.index, sentence, head))
        seed = int(names.generate_state(1)[0])
        mapping = self._smallest(*b.shape)
        programmed = program_matrix(
            name=self.step.name,
            index=0,
            weight=b.T,
            moment=mean_squares(a),
            settings=dataclasses.replace(
                InSituSettings.of_activations(self.settings), mapping=mapping
            ),
            device=self.device,
            seed=seed,
            periphery=self._periphery(head),
        )
        array = with_ranges(programmed, a, cross_terms=False)
        rows = np.column_stack([np.full(len(a), head), np.arange(len(a))])
        product = array.multiply(a, rows, seed)
        events = array.events_per_row
        costs = ProductCosts(
            tile_reads=np.array(events.tile_reads),
            adc_conversions=np.array(events.adc_conversions),
            dac_drives=np.array(events.dac_drives),
            shift_adds=np.array(events.shift_adds),
            comparisons=np.array(events.comparisons),
            multiplications=np.array(events.multiplications),
            dac_saturations=product.dac_saturations,
            adc_saturations=product.adc_saturations,
            array_energy=product.array_energy,
            cells_set=np.array(programmed.encoded.target.size / len(a)),
            write_energy=np.array((programmed.counts.write_energy or 0.0) / len(a)),
        )
        return product.output, costs

    def _periphery(self, head: int) -> Streams:
        """Random streams of the converters of a head: those of every sentence, as tiles are."""
        key = (self.index, head)
        seed = np.random.SeedSequence(self.seed, spawn_key=key).generate_state(1)[0]
        return Streams(int(seed))

    def _smallest(self, inputs: int, outputs: int) -> Mapping:
        """The study's mapping on tiles that are no larger than a matrix of this size needs; what is
        written while the model runs is not compensated.
        """
        mapping = self.settings.mapping
        columns = outputs
        if mapping.placement != "twin":
            columns = outputs * layout_of(1, 1, mapping).planes
        return mapping.model_copy(
            update={
                "word_lines": min(mapping.word_lines, inputs),
                "bit_lines": min(mapping.bit_lines, columns),
                "compensation": "none",
            }
        )
