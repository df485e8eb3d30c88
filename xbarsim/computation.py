"""The computation crossbar of large-and-small chips: products of two digital operands by counting conducting cells.

A cell is a fixed resistor behind a switch.  Bits of one operand drive word lines, digits of the other set the switches,
`rows_per_conversion` word lines are driven at once, and a few-level ADC counts the cells of a bit line that conduct;
shift-and-add assembles the product of the integers.  Nothing is programmed, both operands are data: products with
weights, Q·Kᵀ and scores·V are the same operation.

Two ways to simulate it (`[computation] mode`): `direct` takes every conversion of every bit pair through the transfer
matrix of its tile; `statistical` takes mean and variance of a conversion for every set of conducting lines, measured
on the same crossbars, and sums them over all conversions exactly (see `kernels.counting`).

Depth is the dimension that the product sums over: its elements lie on word lines, the outputs on bit lines.
"""
import threading
from dataclasses import dataclass

import numpy as np

from xbarsim.errors import OutOfRangeError, ShapeError
from xbarsim.kernels.counter import add_normal
from xbarsim.kernels.counting import conjunctions, conversion_moments, count_products, moebius
from xbarsim.kernels.transfer import transfer_matrix
from xbarsim.quantize import LEVELS, integer_product

RESISTORS, PATTERNS = 0, 1       # purposes of random streams: spawn_key = (COMPUTATION, crossbar, purpose)
COMPUTATION = 2**32 - 1          # in the place of a matrix's number, which is smaller
PATTERN_COUNT = 8                # switch patterns per crossbar behind the statistics of the IR drop
GRID = 32                        # used word and bit lines are rounded up to this, or a power of two, for the statistics
NEGLIGIBLE = 1e-9                # codes: a mean or variance below this in every conversion is not followed


@dataclass(frozen=True)
class Coding:
    """How integer codes become bit fields, cells and lines.

    planes : bits of a field that the word lines step through;  top_negative : the last one counts negative
    digits : bit positions of the switch operand's digits;  units : (c,) conductances of a digit's cells in units
    """

    sign: str
    digit_bits: int
    digit_cells: str

    @property
    def units(self):
        if self.digit_cells == "equal":
            return np.ones(2**self.digit_bits - 1)
        return 2.0 ** np.arange(self.digit_bits)

    @property
    def bits(self):
        """Bits of a field."""
        return 7 if self.sign == "magnitude" else 8

    @property
    def signs(self):
        """(channels,) the positive and the negative magnitude, or the one field."""
        return np.array([1, -1] if self.sign == "magnitude" else [1], np.float32)

    @property
    def offset(self):
        """What is added to every code; its part of the product is subtracted digitally."""
        return LEVELS + 1 if self.sign == "offset" else 0

    @property
    def planes(self):
        """[(bit position, weight)] of a field."""
        weights = [2.0**p for p in range(self.bits)]
        if self.sign == "twos_complement":
            weights[-1] *= -1
        return list(enumerate(weights))

    @property
    def digit_planes(self):
        """[(bit position, weight)] of the switch operand's digits."""
        return self.planes[::self.digit_bits]

    def table(self, power):
        """(256,) float32: Σ weight^power over the set bits of a field; power 0 counts them."""
        value = sum((np.arange(256) >> p & 1) * weight**power for p, weight in self.planes)
        return value.astype(np.float32)

    def fields(self, codes):
        """(channels, ...) uint8 of integer codes in ±127."""
        codes = np.asarray(codes, np.int16)
        if self.sign == "magnitude":
            return np.stack([np.maximum(codes, 0), np.maximum(-codes, 0)]).astype(np.uint8)
        return (codes + self.offset).astype(np.uint8)[None]

    def cells(self, fields):
        """(..., c) uint8: which cells of each digit are closed, at the bit position of the digit."""
        if self.digit_bits == 1:
            return fields[..., None]
        result = np.zeros((*fields.shape, len(self.units)), np.uint8)
        for p, _ in self.digit_planes:
            digit = fields >> p & (2**self.digit_bits - 1)
            for v in range(len(self.units)):
                closed = digit > v if self.digit_cells == "equal" else digit >> v & 1
                result[..., v] |= (closed.astype(np.uint8) << p).astype(np.uint8)
        return result

    @property
    def all_closed(self):
        """The field of a cell that is closed in every digit."""
        return np.uint8(sum(1 << p for p, _ in self.digit_planes))


@dataclass(frozen=True)
class Lines:
    """How the elements of one depth lie on the word lines of tiles.

    element, line : (groups, r) element and word line of its tile of every place of a group; -1 where a group has no more
    row_block, group : (groups,) tile along the depth, and group of that tile
    """

    element: np.ndarray
    line: np.ndarray
    row_block: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, depth, cells, word_lines, rows):
        per_tile, per_group = word_lines // cells, rows // cells
        groups_per_tile = -(-per_tile // per_group)
        row_block = np.repeat(np.arange(-(-depth // per_tile)), groups_per_tile)
        group = np.arange(len(row_block)) % groups_per_tile
        within = group[:, None] * per_group + np.arange(per_group)
        element = row_block[:, None] * per_tile + within
        used = (within < per_tile) & (element < depth)
        element, within = np.where(used, element, -1), np.where(used, within, -1)
        line = np.where(within[..., None] < 0, -1, within[..., None] * cells + np.arange(cells))
        kept = used.any(axis=1)
        return cls(np.repeat(element, cells, axis=1)[kept], line.reshape(len(line), -1)[kept], row_block[kept],
                   group[kept])


@dataclass(frozen=True)
class SwitchOperand:
    """The operand that sets the switches, prepared for products.

    codes : (depth, n) float32, effective codes: those of the stuck cells included, in units
    fields : (channels, n, groups, r) uint8;  total : (n,) float64, sum over the depth of the codes as given
    density : float, share of closed switches;  first : int, number of its first tile
    """

    codes: np.ndarray
    fields: np.ndarray
    total: np.ndarray
    lines: Lines
    density: float
    first: int


@dataclass(frozen=True)
class Counted:
    """A product: output (b, n) float64 in units of code · code, saturations (b,) conversions (expected ones in the
    statistical mode), conducting (b,) float64: units of
    conductance that conducted, summed over all reads of whole tiles."""

    output: np.ndarray
    saturations: np.ndarray
    conducting: np.ndarray


class Crossbars:
    """The computation crossbars of one simulated chip: their resistors, and the statistics of their conversions.

    The tiles of a product take the crossbars in turn, tile number modulo `computation.crossbars`; the digit planes of a
    tile are set one after another on the same crossbar.
    """

    def __init__(self, study, seed):
        """study : the study of the product (computation, wires, effects);  seed : int, names the chip."""
        self.study, self.seed, self.settings = study, seed, study.computation
        computation, effects = study.computation, study.effects
        self.coding = Coding(computation.sign, computation.digit_bits, computation.digit_cells)
        self.cells = len(self.coding.units)
        self.top = 2**computation.adc_bits - 1 if effects.converters else -1
        telegraph, spread, stuck = (follows if own is None else own for own, follows in (
            (effects.telegraph, effects.read_noise), (effects.spread, effects.programming),
            (effects.stuck, effects.programming)))
        self.half_swing = computation.telegraph_amplitude * effects.telegraph_multiplier / 2 * telegraph
        shape = computation.crossbars, computation.word_lines, computation.bit_lines
        self.relative, self.stuck_closed, self.stuck_open = np.ones(shape), np.zeros(shape, bool), np.zeros(shape, bool)
        for x in range(computation.crossbars):
            rng = self._rng(x, RESISTORS)
            # Log-normal: a resistor stays positive whatever its spread.
            self.relative[x] = np.exp(spread * computation.resistor_spread * rng.standard_normal(shape[1:]))
            draw = rng.random(shape[1:])
            self.stuck_closed[x] = stuck & (draw < computation.stuck_closed_rate)
            self.stuck_open[x] = stuck & (draw >= 1 - computation.stuck_open_rate)
        units = np.resize(self.coding.units, computation.word_lines)
        self.current = self.relative * units[:, None]               # LSB of a closed cell without IR drop
        self._statistics, self._lock = {}, threading.Lock()

    def _rng(self, crossbar, purpose):
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(COMPUTATION, crossbar, purpose)))

    # ------------------------------------------------------------ operands

    def prepare(self, codes, first=0):
        """SwitchOperand of integer codes (depth, n) in ±127; `first` numbers its tiles on the chip's crossbars."""
        codes = checked_codes("switch operand", codes)
        settings, depth, outputs = self.settings, *codes.shape
        lines = Lines.of(depth, self.cells, settings.word_lines, settings.rows_per_conversion)
        fields = self.coding.cells(self.coding.fields(codes.T))                           # (channels, n, depth, c)
        fields = self._on_lines(fields.reshape(*fields.shape[:2], -1), lines, self.cells)
        density = float(self.coding.table(0)[fields].sum() / (len(self.coding.signs) * outputs * depth * self.cells
                                                              * len(self.coding.digit_planes)))
        effective = codes
        if self.stuck_closed.any() or self.stuck_open.any():
            bit = np.arange(outputs)
            x = self._crossbar(lines.row_block[:, None], bit, first, outputs)[..., None]     # (groups, n, 1)
            place = x, np.maximum(lines.line, 0)[:, None], (bit % settings.bit_lines)[:, None]
            closed, opened = (stuck[place].transpose(1, 0, 2) for stuck in (self.stuck_closed, self.stuck_open))
            fields = np.where(opened, np.uint8(0), np.where(closed, self.coding.all_closed, fields))
            fields[..., lines.line < 0] = 0
            value = np.einsum("c,cngr->ngr", self.coding.signs, self.coding.table(1)[fields])
            value *= np.resize(self.coding.units, value.shape[-1])
            effective = np.zeros((outputs, depth + 1), np.float32)               # the last: places without an element
            np.add.at(effective, (slice(None), lines.element), value)
            effective = np.ascontiguousarray(effective[:, :-1].T)
        elif self.coding.offset:
            effective = codes + self.coding.offset
        return SwitchOperand(effective, fields, codes.sum(axis=0, dtype=np.float64), lines, density, first)

    def _on_lines(self, fields, lines, cells):
        """(..., depth · cells) -> (..., groups, r), 0 where a group has no element."""
        per_group = lines.element.shape[1]
        index = np.where(lines.element < 0, -1, lines.element * cells + np.arange(per_group) % cells)
        return np.where(index < 0, np.uint8(0), fields[..., index])

    def _crossbar(self, row_block, output, first, outputs):
        """Crossbar of the tile of a row block that holds a column of the product."""
        column_blocks = -(-outputs // self.settings.bit_lines)
        return (first + row_block * column_blocks + output // self.settings.bit_lines) % self.settings.crossbars

    def tiles(self, depth, outputs):
        """Tiles of a product: crossbars that it would take to hold one digit plane of it at once."""
        per_tile = self.settings.word_lines // self.cells
        return -(-depth // per_tile) * -(-outputs // self.settings.bit_lines)

    def events(self, depth, outputs):
        """What one input row of a product costs: dict of counts."""
        per_tile = self.settings.word_lines // self.cells
        per_group = self.settings.rows_per_conversion // self.cells
        full, rest = divmod(depth, per_tile)
        groups = full * -(-per_tile // per_group) + -(-rest // per_group)
        channels = len(self.coding.signs)
        pairs = channels * len(self.coding.planes) * channels * len(self.coding.digit_planes)
        conversions = pairs * groups * outputs
        columns = -(-outputs // self.settings.bit_lines)
        return {"tile_reads": pairs * groups * columns, "adc_conversions": conversions, "shift_adds": conversions,
                "dac_drives": pairs * depth * self.cells * columns}

    def stuck_cells(self, operand):
        """(closed, open) cells of the tiles of an operand, counted on the crossbars that hold them."""
        first = operand.first
        used = (first + np.arange(self.tiles(*operand.codes.shape))) % self.settings.crossbars
        return tuple(int(stuck[used].sum()) for stuck in (self.stuck_closed, self.stuck_open))

    def switch_settings(self, depth, outputs):
        """Switches set to bring one operand onto the crossbars, all digit planes."""
        return depth * self.cells * outputs * len(self.coding.signs) * len(self.coding.digit_planes)

    # ------------------------------------------------------------ products

    def multiply(self, codes, operand, keys):
        """Product of integer codes (b, depth) with a SwitchOperand.

        keys : (b,) uint64, name the random numbers of each row

        Returns
        -------
        Counted
        """
        codes = checked_codes("word-line operand", codes)
        if codes.shape[1] != len(operand.codes):
            raise ShapeError(f"word-line operand of depth {codes.shape[1]} and switch operand of depth "
                             f"{len(operand.codes)}: the depths must be equal")
        mode = self._direct if self.settings.mode == "direct" else self._statistical
        counted = mode(codes, operand, np.asarray(keys, np.uint64))
        if self.coding.offset:
            # Σ (a + o)(b + o) = Σ ab + o Σ b + o Σ (a + o): both sums are known digitally.
            offset = float(self.coding.offset)
            ones = (codes + self.coding.offset).sum(axis=1, dtype=np.float64)
            counted.output[:] -= offset * operand.total + offset * ones[:, None]
        return counted

    def _statistical(self, codes, operand, keys):
        coding, lines = self.coding, operand.lines
        depth, outputs = operand.codes.shape
        statistics = self.statistics(depth, outputs, operand.density)
        output = integer_product(codes + coding.offset, operand.codes.T).astype(np.float64)
        driven = np.ascontiguousarray(self._on_lines(np.repeat(coding.fields(codes), self.cells, axis=-1), lines,
                                                     self.cells))
        unsigned = np.ones_like(coding.signs)
        saturations, conducting = np.zeros(len(codes)), np.zeros(len(codes))
        variance = np.zeros(output.shape, np.float32) if statistics.variance_subsets.size else None
        # (subsets, table, sign of the channels, coefficient) of what is summed
        deviation = statistics.mean_subsets, 1, coding.signs, statistics.mean
        spread = statistics.variance_subsets, 2, unsigned, statistics.variance
        beyond = statistics.saturation_subsets, 0, unsigned, statistics.saturation
        single = 1 << np.arange(lines.line.shape[1])
        sides = {}
        for name, (subsets, power, signs, _) in {"deviation": deviation, "spread": spread, "beyond": beyond,
                                                 "conducting": (single, 0, unsigned, None)}.items():
            if subsets.size:
                sides[name] = conjunctions(driven, signs, subsets, coding.table(power)).reshape(len(codes), -1)
        for start in range(0, outputs, self.settings.bit_lines):
            block = slice(start, min(start + self.settings.bit_lines, outputs))
            fields = np.ascontiguousarray(operand.fields[:, block])
            crossbar = self._crossbar(lines.row_block, start, operand.first, outputs)
            bits = np.arange(fields.shape[1])[:, None]

            def other(quantity, fields=fields, crossbar=crossbar, bits=bits):
                subsets, power, signs, coefficient = quantity
                features = conjunctions(fields, signs, subsets, coding.table(power))
                features *= coefficient[crossbar, bits, lines.group]
                return features.reshape(len(features), -1)

            if "deviation" in sides:
                output[:, block] += sides["deviation"] @ other(deviation).T
            if "spread" in sides:
                variance[:, block] = sides["spread"] @ other(spread).T
            if "beyond" in sides:
                saturations += sides["beyond"] @ other(beyond).sum(axis=0)
            ones = conjunctions(fields, unsigned, single, coding.table(0)).sum(axis=0)
            ones *= np.resize(coding.units, len(single))
            conducting += sides["conducting"] @ ones.ravel()
        if variance is not None:
            noise = np.zeros(output.shape, np.float32)
            add_normal(noise, np.maximum(variance, 0), keys)
            output += noise
        return Counted(output, saturations, conducting)

    def _direct(self, codes, operand, keys):
        coding, settings, lines = self.coding, self.settings, operand.lines
        depth, outputs = operand.codes.shape
        driven = self._on_lines(np.repeat(coding.fields(codes), self.cells, axis=-1), lines, self.cells)
        planes = [(channel, p, sign * weight) for channel, sign in enumerate(coding.signs) for p, weight in coding.planes]
        weight = np.array([w for _, _, w in planes])
        output, saturations = np.zeros((len(codes), outputs)), np.zeros(len(codes), np.int64)
        conducting, number = np.zeros(len(codes)), 0
        units = np.resize(coding.units, settings.word_lines)
        for row_block in range(lines.row_block[-1] + 1):
            of_block = np.flatnonzero(lines.row_block == row_block)
            line = lines.line[of_block].ravel()
            present = line >= 0
            volts = np.zeros((len(codes), len(planes), settings.word_lines), np.uint8)
            for k, (channel, p, _) in enumerate(planes):
                volts[:, k, line[present]] = driven[channel][:, of_block].reshape(len(codes), -1)[:, present] >> p & 1
            # the last group of a tile may hold fewer lines; beyond `per_tile` none is driven
            for start in range(0, outputs, settings.bit_lines):
                stop = min(start + settings.bit_lines, outputs)
                crossbar = self._crossbar(row_block, start, operand.first, outputs)
                for channel, sign in enumerate(coding.signs):
                    field = operand.fields[channel, start:stop, of_block[0]:of_block[-1] + 1].reshape(stop - start, -1)
                    for q, digit_weight in coding.digit_planes:
                        closed = np.zeros((settings.word_lines, settings.bit_lines), bool)
                        closed[line[present], :stop - start] = (field[:, present] >> q & 1).T
                        transfer = self.transfer(crossbar, closed)[:stop - start]
                        part = np.zeros((len(codes), stop - start))
                        count_products(volts, weight, transfer, float(sign * digit_weight), settings.rows_per_conversion,
                                       self.half_swing, self.top, keys, number, part, saturations)
                        output[:, start:stop] += part
                        conducting += volts.sum(axis=1, dtype=np.float64) @ (closed.sum(axis=1) * units)
                        number += len(planes)
        return Counted(output, saturations.astype(np.float64), conducting)

    # ------------------------------------------------------------ physics

    def transfer(self, crossbar, closed):
        """(bit lines, word lines) LSB per driven word line of one crossbar with its switches `closed` (m, n) bool.

        The wires are solved exactly; word lines that are not driven are held at 0 V, open switches conduct nothing.
        """
        relative = np.where(self.conducts(crossbar, closed), self.current[crossbar], 0.0)
        word, bit = self.study.wires.resistances()
        source, sense = self.study.wires.source_resistance_ohm, self.study.wires.sense_resistance_ohm
        if not self.study.effects.wires or (word, bit, source, sense) == (0, 0, 0, 0):
            return np.ascontiguousarray(relative.T)
        result = np.zeros(relative.shape[::-1])
        if not relative.any():
            return result
        # Lines beyond the last conducting cell carry no current, but bit lines go on below it to the sense amplifier.
        m, n = (int(np.flatnonzero(relative.any(axis=axis))[-1]) + 1 for axis in (1, 0))
        unit = 1 / self.settings.resistance_ohm
        r_word, r_bit = np.full((m, n), float(word)), np.full((m, n), float(bit))
        r_word[:, 0] += source
        r_bit[-1] += sense + (len(relative) - m) * bit
        result[:n, :m] = transfer_matrix(relative[:m, :n] * unit, r_word, r_bit)[0] / unit
        return result

    def conducts(self, crossbar, closed):
        """The cells of a crossbar that conduct when `closed` of its switches are to be closed, (m, n) bool."""
        return (closed | self.stuck_closed[crossbar]) & ~self.stuck_open[crossbar]

    def statistics(self, depth, outputs, density):
        """Statistics of the conversions of products of this size whose switches are closed with this density.

        Without wires neither matters: one set serves all products.
        """
        settings = self.settings
        if not self.study.effects.wires:
            depth, outputs, density = settings.word_lines, settings.bit_lines, 0.5

        def rounded(used, most):
            return min(max(GRID, 1 << (used - 1).bit_length()), most)

        key = (rounded(depth * self.cells, settings.word_lines), rounded(outputs, settings.bit_lines),
               round(density * 8) / 8)
        with self._lock:
            if key not in self._statistics:
                self._statistics[key] = self._measure(*key)
            return self._statistics[key]

    def _measure(self, rows, columns, density):
        settings, effects = self.settings, self.study.effects
        current, relative_sigma = self.current.copy(), 0.0
        if effects.wires:
            attenuation = np.ones_like(current)
            squares = count = 0.0
            for x in range(settings.crossbars):
                rng, total, seen = self._rng(x, PATTERNS), np.zeros(current.shape[1:]), np.zeros(current.shape[1:])
                shares = []
                for _ in range(PATTERN_COUNT):
                    closed = np.zeros(current.shape[1:], bool)
                    closed[:rows, :columns] = rng.random((rows, columns)) < max(density, 1 / GRID)
                    conducts = self.conducts(x, closed)
                    share = np.where(conducts, self.transfer(x, closed).T, 0) / self.current[x]
                    shares.append((share, conducts))
                    total, seen = total + share, seen + conducts
                everywhere = total.sum() / max(seen.sum(), 1)
                attenuation[x] = np.where(seen > 0, total / np.maximum(seen, 1), everywhere)
                for share, conducts in shares:                  # how the other switches move a cell's share
                    free = conducts & (seen > 1)
                    squares += ((share / attenuation[x] - 1)[free] ** 2).sum()
                    count += ((seen - 1)[free] / seen[free]).sum()
            current *= attenuation
            relative_sigma = float(np.sqrt(squares / max(count, 1)))
        lines = Lines.of(max(rows // self.cells, 1), self.cells, settings.word_lines, settings.rows_per_conversion)
        current = current[:, :, :columns]
        flat = np.where(lines.line[..., None] < 0, 0.0, current[:, np.maximum(lines.line, 0)])   # (x, groups, r, n)
        flat = np.ascontiguousarray(flat.transpose(0, 3, 1, 2))                                  # (x, n, groups, r)
        shape = flat.shape
        moments = conversion_moments(flat.reshape(-1, shape[-1]), relative_sigma * flat.reshape(-1, shape[-1]),
                                     self.half_swing, self.top)
        units = np.where(lines.line < 0, 0.0, np.resize(self.coding.units, shape[-1]))           # (groups, r)
        for each in moments:
            moebius(each)
        mean, variance, saturation = moments.reshape(3, *shape[:-1], -1)
        mean[..., 1 << np.arange(shape[-1])] -= units[:, :]
        return Statistics(*_kept(mean), *_kept(variance), *_kept(saturation))


@dataclass(frozen=True)
class Statistics:
    """Möbius coefficients of a conversion over the sets of conducting lines, (crossbars, bit lines, groups, subsets)
    float32: of the mean's deviation from the exact count, of the variance, of the probability to saturate; and the
    subsets that matter, (subsets,) int64."""

    mean: np.ndarray
    mean_subsets: np.ndarray
    variance: np.ndarray
    variance_subsets: np.ndarray
    saturation: np.ndarray
    saturation_subsets: np.ndarray

    @property
    def exact(self):
        """True where every conversion counts without error."""
        return not (self.mean_subsets.size or self.variance_subsets.size)


def _kept(coefficients):
    subsets = np.flatnonzero(np.abs(coefficients).max(axis=(0, 1, 2)) > NEGLIGIBLE)
    return np.ascontiguousarray(coefficients[..., subsets], dtype=np.float32), subsets.astype(np.int64)


def checked_codes(name, codes):
    """(rows, columns) float32 of integers in ±127."""
    codes = np.asarray(codes)
    if codes.ndim != 2:
        raise ShapeError(f"{name} must be a matrix of codes, got shape {codes.shape}")
    if not (np.abs(codes) <= LEVELS).all() or (codes != np.rint(codes)).any():
        raise OutOfRangeError(f"{name} holds values that are no integers in ±{LEVELS}; quantise it first")
    return codes.astype(np.float32, copy=False)
