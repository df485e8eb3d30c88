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
import functools
import itertools
import threading
from dataclasses import dataclass

import numpy as np

from xbarsim.errors import OutOfRangeError, ShapeError
from xbarsim.kernels.counting import add_noise, conjunctions, conversion_moments, count_products, moebius
from xbarsim.kernels.transfer import transfer_matrix
from xbarsim.quantize import LEVELS, integer_product
from xbarsim.tile import has_wires, wire_segments

RESISTORS, PATTERNS = 0, 1       # purposes of random streams: spawn_key = (COMPUTATION, crossbar, purpose)
COMPUTATION = 2**32 - 1          # in the place of a matrix's number, which is smaller
PATTERN_COUNT = 8                # switch patterns per crossbar behind the statistics of the IR drop
GRID = 32                        # used word and bit lines are rounded up to this, or a power of two, for the statistics
KEPT_BYTES = 2**28               # sides of products with weights that the statistical mode keeps, per chip
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
        return _field_table(tuple(weight for _, weight in self.planes), power)

    def fields(self, codes):
        """(channels, ...) uint8 of int8 codes."""
        if self.sign == "magnitude":
            return np.stack([np.maximum(codes, 0), np.maximum(-codes, 0)]).view(np.uint8)
        return (codes.view(np.uint8) ^ np.uint8(self.offset))[None]          # + 128 modulo 256 turns the highest bit

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


@functools.cache
def _field_table(weights, power):
    return sum((np.arange(256) >> p & 1) * weight**power for p, weight in enumerate(weights)).astype(np.float32)


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


@dataclass
class SwitchOperand:
    """The operand that sets the switches, prepared for products: z matrices (depth, n) that have nothing in common.

    codes : (z, depth, n) float32, effective codes in units: stuck cells and the coding's offset included
    used : (z, depth) float32, 1 where there is an element, 0 where a matrix is less deep than others
    fields : (channels, z, n, groups, r) uint8;  total : (z, 1, n) float64, sum over the depth of the codes as given
    closed : (z, depth, 1) float32, units closed behind each element, summed over outputs and digits
    crossbar : (z, n, groups) int, the crossbar of each place;  density : float, share of closed switches
    keep : bool, whether the statistical mode may keep its side of the products in `kept`
    """

    codes: np.ndarray
    used: np.ndarray
    fields: np.ndarray
    total: np.ndarray
    closed: np.ndarray
    lines: Lines
    crossbar: np.ndarray
    density: float
    keep: bool
    kept: np.ndarray | None = None


@dataclass(frozen=True)
class Counted:
    """A product: output (..., b, n) float in units of code · code, saturations (..., b) conversions (expected ones in the
    statistical mode), conducting (..., b) units of conductance that conducted, summed over all reads of whole tiles."""

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
        self._statistics, self._lock, self._kept_bytes = {}, threading.Lock(), 0

    def _rng(self, crossbar, purpose):
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(COMPUTATION, crossbar, purpose)))

    # ------------------------------------------------------------ operands

    def prepare(self, codes, first=0, depths=None, keep=False):
        """SwitchOperand of integer codes in ±127, (depth, n) or z such matrices (z, depth, n).

        first : int or (z,), number of the first tile of each among the tiles that take the crossbars in turn
        depths : (z,) elements that there are of each matrix, all of them if None;  keep : whether it is used often
        """
        codes = checked_codes("switch operand", codes)
        settings, coding = self.settings, self.coding
        z, depth, outputs = codes.shape
        used = np.arange(depth) < (np.full((z, 1), depth) if depths is None else np.reshape(depths, (z, 1)))
        lines = Lines.of(depth, self.cells, settings.word_lines, settings.rows_per_conversion)
        fields = coding.cells(coding.fields(codes) * used[None, :, :, None].astype(np.uint8))    # (..., depth, n, c)
        fields = self._on_lines(np.moveaxis(fields, 3, 2).reshape(*fields.shape[:2], outputs, -1), lines)
        bit = np.arange(outputs)
        column_blocks = -(-outputs // settings.bit_lines)
        tile = (np.reshape(first, (-1, 1, 1)) + lines.row_block * column_blocks + (bit // settings.bit_lines)[:, None])
        crossbar = np.broadcast_to(tile % settings.crossbars, (z, outputs, len(lines.group)))
        ones = coding.table(0)[fields].sum(axis=(0, 2))                                          # (z, groups, r)
        density = float(ones.sum() / (len(coding.signs) * len(coding.digit_planes) * self.cells * outputs * used.sum()))
        closed = self._per_element(ones[:, None] * np.resize(coding.units, ones.shape[-1]), lines, depth)
        effective = (codes + np.float32(coding.offset)) * used[..., None].astype(np.float32)
        if self.stuck_closed.any() or self.stuck_open.any():
            place = (crossbar[..., None], np.maximum(lines.line, 0), (bit % settings.bit_lines)[:, None, None])
            fields = np.where(self.stuck_open[place], np.uint8(0),
                              np.where(self.stuck_closed[place], coding.all_closed, fields))
            fields[..., lines.line < 0] = 0
            value = np.einsum("c,cz...->z...", coding.signs, coding.table(1)[fields])
            value *= np.resize(coding.units, value.shape[-1])
            effective = np.ascontiguousarray(self._per_element(value, lines, depth).swapaxes(1, 2))
        return SwitchOperand(effective, used.astype(np.float32), np.ascontiguousarray(fields),
                             codes.sum(axis=1, keepdims=True, dtype=np.float64), closed.swapaxes(1, 2), lines, crossbar,
                             density, keep)

    def _on_lines(self, fields, lines):
        """(..., depth · cells) -> (..., groups, r), 0 where a group has no element."""
        places = lines.element.shape[1]
        index = lines.element * self.cells + np.arange(places) % self.cells
        return np.where(lines.element < 0, np.uint8(0), fields[..., np.maximum(index, 0)])

    @staticmethod
    def _per_element(values, lines, depth):
        """(z, n, groups, r) summed over the lines of every element, (z, n, depth) float32."""
        result = np.zeros((*values.shape[:2], depth + 1), np.float32)            # the last: places without an element
        np.add.at(result, (slice(None), slice(None), lines.element), values)
        return result[..., :-1]

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
        """(closed, open) cells of the tiles of one matrix, counted on the crossbars that hold them."""
        settings, (_, depth, outputs) = self.settings, operand.codes.shape
        used = (operand.crossbar[0, 0, 0] + np.arange(self.tiles(depth, outputs))) % settings.crossbars
        return tuple(int(stuck[used].sum()) for stuck in (self.stuck_closed, self.stuck_open))

    def switch_settings(self, depth, outputs):
        """Switches set to bring one operand onto the crossbars, all digit planes."""
        return depth * self.cells * outputs * len(self.coding.signs) * len(self.coding.digit_planes)

    # ------------------------------------------------------------ products

    def multiply(self, codes, operand, keys):
        """Product of integer codes (b, depth), or (z, b, depth), with a SwitchOperand.

        keys : (b,) or (z, b) uint64, name the random numbers of each row

        Returns
        -------
        Counted
        """
        shape = np.shape(codes)[:-1]
        codes = checked_codes("word-line operand", codes)
        z, depth, outputs = operand.codes.shape
        if codes.shape[::2] != (z, depth):
            raise ShapeError(f"word-line operand of {len(codes)} matrices of depth {codes.shape[2]}, switch operand of {z} "
                             f"of depth {depth}: both must be equal")
        keys = np.ascontiguousarray(keys, np.uint64).reshape(codes.shape[:2])
        fields = self.coding.fields(codes) * operand.used[:, None].astype(np.uint8)
        output, saturations = getattr(self, f"_{self.settings.mode}")(codes, fields, operand, keys)
        conducting = self.coding.table(0)[fields].sum(axis=0) @ operand.closed
        if self.coding.offset:
            # Σ (a + o)(b + o) = Σ ab + o Σ b + o Σ (a + o): both sums are known digitally.
            ones = (codes + np.float32(self.coding.offset)) @ operand.used[..., None]
            output = output - self.coding.offset * (operand.total + ones)
        return Counted(output.reshape(*shape, outputs), saturations.reshape(shape), conducting.reshape(shape))

    def _statistical(self, codes, fields, operand, keys):
        coding, (z, depth, outputs) = self.coding, operand.codes.shape
        statistics = self.statistics(depth, outputs, operand.density)
        values = (codes + np.float32(coding.offset)) * operand.used[:, None]
        output = integer_product(values[0], operand.codes[0].T)[None] if z == 1 else values @ operand.codes
        saturations = np.zeros(keys.shape)
        if not statistics.subsets.size:
            return output, saturations
        driven = self._on_lines(np.repeat(fields, self.cells, axis=-1), operand.lines)
        driven = self._features(driven.reshape(len(fields), -1, *driven.shape[3:]), statistics)
        driven = dict(zip(statistics.quantities, driven.reshape(len(driven), *keys.shape, -1), strict=True))
        switched = operand.kept if operand.kept is not None else self._switched(operand, statistics)
        switched = dict(zip(statistics.quantities, switched, strict=True))
        if "mean" in driven:
            output += driven["mean"] @ switched["mean"].swapaxes(1, 2)
        if "saturation" in driven:
            saturations += (driven["saturation"] @ switched["saturation"].sum(axis=1)[..., None])[..., 0]
        if "variance" in driven:
            output = output.astype(np.float32, copy=False)
            variance = driven["variance"] @ switched["variance"].swapaxes(1, 2)
            add_noise(output.reshape(-1, outputs), variance.reshape(-1, outputs), keys.reshape(-1), normal_quantiles())
        return output, saturations

    def _features(self, fields, statistics):
        """(quantities, b, groups, subsets) of fields (channels, b, groups, r), see `kernels.counting.conjunctions`."""
        powers = {"mean": 1, "variance": 2, "saturation": 0}
        signs = np.stack([self.coding.signs if name == "mean" else np.abs(self.coding.signs)
                          for name in statistics.quantities])
        tables = np.stack([self.coding.table(powers[name]) for name in statistics.quantities])
        return conjunctions(np.ascontiguousarray(fields), signs, statistics.subsets, tables)

    def _switched(self, operand, statistics):
        """The switch operand's side of the sums, (quantities, z, n, groups · subsets) float32, kept if there is room."""
        channels, z, outputs, groups, rows = operand.fields.shape
        features = self._features(operand.fields.reshape(channels, -1, groups, rows), statistics)
        features = features.reshape(-1, z, outputs, groups, statistics.subsets.size)
        bit = np.arange(outputs)[:, None] % self.settings.bit_lines
        for feature, coefficient in zip(features, statistics.coefficients, strict=True):
            feature *= coefficient[operand.crossbar, bit, operand.lines.group]
        features = features.reshape(-1, z, outputs, groups * statistics.subsets.size)
        with self._lock:
            if operand.keep and self._kept_bytes + features.nbytes <= KEPT_BYTES:
                self._kept_bytes += features.nbytes
                operand.kept = features
        return features

    def _direct(self, codes, fields, operand, keys):
        coding, settings, lines = self.coding, self.settings, operand.lines
        z, depth, outputs = operand.codes.shape
        driven = self._on_lines(np.repeat(fields, self.cells, axis=-1), lines)       # (channels, z, b, groups, r)
        planes = [(channel, p, sign * value) for channel, sign in enumerate(coding.signs) for p, value in coding.planes]
        weight = np.array([value for _, _, value in planes])
        output, saturations = np.zeros((*keys.shape, outputs)), np.zeros(keys.shape, np.int64)
        for matrix, row_block in itertools.product(range(z), range(lines.row_block[-1] + 1)):
            groups = np.flatnonzero(lines.row_block == row_block)
            groups = slice(groups[0], groups[-1] + 1)
            line = lines.line[groups].ravel()
            present = line >= 0
            volts = np.zeros((keys.shape[1], len(planes), settings.word_lines), np.uint8)
            for k, (channel, p, _) in enumerate(planes):
                bits = driven[channel, matrix][:, groups].reshape(len(volts), -1)
                volts[:, k, line[present]] = bits[:, present] >> p & 1
            for number, start in enumerate(range(0, outputs, settings.bit_lines)):
                columns = slice(start, min(start + settings.bit_lines, outputs))
                crossbar = operand.crossbar[matrix, start, groups.start]
                tile = row_block * -(-outputs // settings.bit_lines) + number
                digits = itertools.product(range(len(fields)), coding.digit_planes)
                for k, (channel, (q, digit_weight)) in enumerate(digits):
                    field = operand.fields[channel, matrix, columns, groups]
                    field = field.reshape(len(field), -1)
                    closed = np.zeros((settings.word_lines, settings.bit_lines), bool)
                    closed[line[present], :len(field)] = (field[:, present] >> q & 1).T
                    part = np.zeros((len(volts), len(field)))
                    first = (tile * len(fields) * len(coding.digit_planes) + k) * len(planes)
                    count_products(volts, weight, self.transfer(crossbar, closed)[:len(field)],
                                   float(coding.signs[channel] * digit_weight), settings.rows_per_conversion,
                                   self.half_swing, self.top, keys[matrix], first, part, saturations[matrix])
                    output[matrix][:, columns] += part
        return output, saturations.astype(np.float64)

    # ------------------------------------------------------------ physics

    def transfer(self, crossbar, closed):
        """(bit lines, word lines) LSB per driven word line of one crossbar with its switches `closed` (m, n) bool.

        The wires are solved exactly; word lines that are not driven are held at 0 V, open switches conduct nothing.
        """
        relative = np.where(self.conducts(crossbar, closed), self.current[crossbar], 0.0)
        if not has_wires(self.study):
            return np.ascontiguousarray(relative.T)
        result = np.zeros(relative.shape[::-1])
        if not relative.any():
            return result
        # Lines beyond the last conducting cell carry no current, but bit lines go on below it to the sense amplifier.
        m, n = (int(np.flatnonzero(relative.any(axis=axis))[-1]) + 1 for axis in (1, 0))
        unit = 1 / self.settings.resistance_ohm
        segments = wire_segments(self.study.wires, m, n, below=len(relative) - m)
        result[:n, :m] = transfer_matrix(relative[:m, :n] * unit, *segments)[0] / unit
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
        key = (min(rounded(depth * self.cells), settings.word_lines), min(rounded(outputs), settings.bit_lines),
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
        moments = moments.reshape(3, *shape[:-1], -1)
        moments[0][..., 1 << np.arange(shape[-1])] -= units                                      # the exact count
        largest = np.abs(moments).max(axis=(1, 2, 3))                                            # (quantities, subsets)
        matter = largest > NEGLIGIBLE
        subsets, quantities = np.flatnonzero(matter.any(axis=0)), matter.any(axis=1)
        return Statistics(subsets, tuple(np.compress(quantities, ("mean", "variance", "saturation")).tolist()),
                          np.ascontiguousarray(moments[quantities][..., subsets], dtype=np.float32))


@dataclass(frozen=True)
class Statistics:
    """Möbius coefficients of a conversion over the sets of conducting lines, of the quantities that are not 0 everywhere:
    the "mean" of its deviation from the exact count, its "variance", and the probability of "saturation".

    subsets : (s,) int64, those that matter;  coefficients : (quantities, crossbars, bit lines, groups, s) float32
    """

    subsets: np.ndarray
    quantities: tuple
    coefficients: np.ndarray


def rounded(lines):
    """Lines rounded up to the size that one set of statistics serves."""
    return max(GRID, 1 << (int(lines) - 1).bit_length())


@functools.cache
def normal_quantiles():
    """(2^16,) float32: equally likely values with the distribution of a standard normal number, variance exactly 1."""
    from scipy.special import ndtri

    values = ndtri((np.arange(2**16) + 0.5) / 2**16)
    return (values / values.std()).astype(np.float32)


def checked_codes(name, codes):
    """(z, rows, columns) int8 of one or several matrices of integers in ±127."""
    codes = np.asarray(codes)
    if codes.ndim not in (2, 3):
        raise ShapeError(f"{name} must be a matrix of codes, or several, got shape {codes.shape}")
    with np.errstate(invalid="ignore"):
        narrow = codes.astype(np.int8)
    if (narrow != codes).any() or (narrow == -LEVELS - 1).any():
        raise OutOfRangeError(f"{name} holds values that are no integers in ±{LEVELS}; quantise it first")
    return narrow.reshape(-1, *codes.shape[-2:])
