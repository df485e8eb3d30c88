"""The computation crossbar of large-and-small chips: products of two digital operands by counting conducting cells.

A cell is a fixed resistor behind a switch.  Bits of one operand drive word lines, digits of the other set the switches,
`rows_per_conversion` word lines are driven at once, and a few-level ADC counts the cells of a bit line that conduct;
shift-and-add assembles the product of the integers.  Nothing is programmed, both operands are data: products with
weights, Q·Kᵀ and scores·V are the same operation.

Two ways to simulate it (`[computation] mode`): `direct` takes every conversion of every bit pair through the transfer
matrix of its tile; `statistical` takes mean and variance of a conversion for every set of conducting lines, measured
on the same crossbars, and sums them over all conversions exactly (see `kernels.arrays.counting`).  What a cell adds to a
current depends, by the IR drop, on the other switches of its tile: `ir_drop = "typical"` takes its mean over random
switches and an independent deviation at every conversion, `"solved"` the very switches of every tile and plane, as
`direct` does.

Depth is the dimension that the product sums over: its elements lie on word lines, the outputs on bit lines.
"""
import functools
import itertools
import threading
import warnings

import numpy as np

from xbarsim.arrays.counting.coding import Coding, checked_codes
from xbarsim.arrays.counting.lines import Lines, on_lines
from xbarsim.arrays.counting.operands import Counted, Plane, Side, Statistics, SwitchOperand
from xbarsim.arrays.events import Events
from xbarsim.arrays.settings import CountingSettings
from xbarsim.base.errors import ShapeError, ValidRangeWarning
from xbarsim.circuit.wires import wire_segments
from xbarsim.kernels.arrays.counting import (
    add_noise,
    conjunctions,
    conversion_moments,
    count_products,
    moebius,
    scale,
)
from xbarsim.kernels.circuit.transfer import transfer_matrix
from xbarsim.models.int8 import EXACT, LEVELS, integer_product

RESISTORS, PATTERNS = 0, 1       # purposes of random streams: spawn_key = (COMPUTATION, crossbar, purpose)
COMPUTATION = 2**32 - 1          # in the place of a matrix's number, which is smaller
PATTERN_COUNT = 8                # switch patterns per crossbar behind the statistics of the IR drop
GRID = 32                        # used word and bit lines are rounded up to this, or a power of two, for the statistics
KEPT_BYTES = 2**30               # sides of products with weights that the statistical mode keeps, per chip
BLOCK_BYTES = 2**25              # of the word-line operand's side of the sums of a quantity at once
NEGLIGIBLE = 1e-9                # codes: a mean or variance below this in every conversion is not followed
FLIPS, FLIPS_OF_NOISE = 1e-7, 0.1  # conversions, and share of the variance, that IR drop may decide without a warning
QUANTITIES = ("mean", "variance", "saturation")


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
        self.wires = CountingSettings.of(study).solved_wires
        self.solved = computation.mode == "statistical" and computation.ir_drop == "solved" and self.wires is not None
        self._statistics, self._lock, self._kept_bytes, self._warned = {}, threading.Lock(), 0, False

    def _rng(self, crossbar, purpose):
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(COMPUTATION, crossbar, purpose)))

    # ------------------------------------------------------------ operands

    def prepare(self, codes, first=0, depths=None, keep=False, widths=None):
        """SwitchOperand of integer codes in ±127, (depth, n) or z such matrices (z, depth, n).

        first : int or (z,), number of the first tile of each among the tiles that take the crossbars in turn
        depths, widths : (z,) elements and outputs that there are of each matrix, all of them if None;
            the others are padding
        keep : whether a single one is used often
        """
        codes = checked_codes("switch operand", codes)
        settings, coding = self.settings, self.coding
        z, depth, outputs = codes.shape
        used = np.arange(depth) < (np.full((z, 1), depth) if depths is None else np.reshape(depths, (z, 1)))
        lines = Lines.of(depth, self.cells, settings.word_lines, settings.rows_per_conversion)
        fields = coding.cells(coding.fields(codes) * used[None, :, :, None].astype(np.uint8))    # (..., depth, n, c)
        cell = np.arange(len(lines.element))[:, None] % self.cells
        cell = np.where(lines.element < 0, -1, lines.element * self.cells + cell)
        fields = on_lines(np.moveaxis(fields, 3, 2).reshape(*fields.shape[:2], outputs, -1), cell)
        bit = np.arange(outputs)
        column_blocks = -(-outputs // settings.bit_lines)
        tile = (np.reshape(first, (-1, 1, 1)) + lines.row_block * column_blocks + (bit // settings.bit_lines)[:, None])
        crossbar = np.broadcast_to(tile % settings.crossbars, (z, outputs, len(lines.group)))
        ones = coding.table(0)[fields].sum(axis=(0, 2))                                          # (z, r, groups)
        density = float(ones.sum() / (len(coding.signs) * len(coding.digit_planes) * self.cells * outputs * used.sum()))
        units = np.resize(coding.units, len(lines.line))[:, None]
        effective = (codes + np.float32(coding.offset)) * used[..., None].astype(np.float32)
        if self.stuck_closed.any() or self.stuck_open.any():
            place = (crossbar[..., None, :], np.maximum(lines.line, 0), (bit % settings.bit_lines)[:, None, None])
            fields = np.where(self.stuck_open[place], np.uint8(0),
                              np.where(self.stuck_closed[place], coding.all_closed, fields))
            fields[..., lines.line < 0] = 0
            value = np.einsum("c,cz...->z...", coding.signs, coding.table(1)[fields])
            effective = np.ascontiguousarray(self._per_element(value * units, lines, depth).swapaxes(1, 2))
            ones = self._conducting(fields, crossbar, lines, widths)
        closed = self._per_element(ones[:, None] * units, lines, depth)
        operand = SwitchOperand(effective, used.astype(np.float32), np.ascontiguousarray(fields),
                                codes.sum(axis=1, keepdims=True, dtype=np.float64), closed.swapaxes(1, 2), lines, crossbar,
                                density, keep and z == 1)
        if self.solved and operand.keep:
            operand.kept = self._solved(operand, slice(0, 1))
        return operand

    def _conducting(self, fields, crossbar, lines, widths):
        """Cells that conduct behind every word line when it is driven once per digit plane, (z, r, groups).

        fields : (channels, z, n, r, groups), stuck cells included;  widths : of `prepare`.  A tile is
        read as a whole: its bit lines beside the last output have no closed switches, but cells that
        are stuck closed.
        """
        settings, coding = self.settings, self.coding
        outputs = fields.shape[2]
        of_output = np.arange(outputs) // settings.bit_lines                       # column of tiles
        columns = -(-np.full(len(fields[0]), outputs) // settings.bit_lines)
        if widths is not None:
            columns = -(-np.asarray(widths) // settings.bit_lines)
        read = of_output < columns[:, None]                                       # (z, n)
        closed = coding.table(0)[fields].sum(axis=0)
        ones = (closed * read[..., None, None]).sum(axis=1)
        if outputs % settings.bit_lines == 0:
            return ones
        beside = slice(outputs % settings.bit_lines, None)
        stuck = (self.stuck_closed & ~self.stuck_open)[:, :, beside].sum(axis=2)   # (crossbars, word lines)
        stuck = stuck[crossbar[:, -1, None, :], np.maximum(lines.line, 0)]         # (z, r, groups)
        stuck = np.where(lines.line < 0, 0, stuck) * read[:, -1, None, None]
        return ones + stuck * (len(coding.signs) * len(coding.digit_planes))

    @staticmethod
    def _per_element(values, lines, depth):
        """(z, n, r, groups) summed over the lines of every element, (z, n, depth) float32."""
        result = np.zeros((*values.shape[:2], depth + 1), np.float32)            # the last: places without an element
        np.add.at(result, (slice(None), slice(None), lines.element), values)
        return result[..., :-1]

    def tiles(self, depth, outputs):
        """Tiles of a product: crossbars that it would take to hold one digit plane of it at once."""
        per_tile = self.settings.word_lines // self.cells
        return -(-depth // per_tile) * -(-outputs // self.settings.bit_lines)

    def events(self, depth, outputs):
        """What one input row of a product costs."""
        per_tile = self.settings.word_lines // self.cells
        per_group = self.settings.rows_per_conversion // self.cells
        full, rest = divmod(depth, per_tile)
        groups = full * -(-per_tile // per_group) + -(-rest // per_group)
        channels = len(self.coding.signs)
        pairs = channels * len(self.coding.planes) * channels * len(self.coding.digit_planes)
        conversions = pairs * groups * outputs
        columns = -(-outputs // self.settings.bit_lines)
        return Events(
            tile_reads=pairs * groups * columns,
            adc_conversions=conversions,
            dac_drives=pairs * depth * self.cells * columns,
            shift_adds=conversions,
        )

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
        ones = self._features(fields[:, :, :, None], {"saturation": [np.array([1])]})      # of every element alone
        conducting = ones["saturation"] @ operand.closed
        if self.coding.offset:
            # Σ (a + o)(b + o) = Σ ab + o Σ b + o Σ (a + o): both sums are known digitally.
            ones = (codes + np.float32(self.coding.offset)) @ operand.used[..., None]
            output = output - self.coding.offset * (operand.total + ones)
        return Counted(output.reshape(*shape, outputs), saturations.reshape(shape), conducting.reshape(shape))

    def _statistical(self, codes, fields, operand, keys):
        _, z, outputs, places, groups = operand.fields.shape
        saturations, results = np.zeros(keys.shape), []
        for matrices, blocks in blocks_of(z, keys.shape[1], 4 * groups * (2**places - 1)):
            side = self._side(operand, matrices)
            here = keys[matrices]
            result = np.empty((*here.shape, outputs), np.float32) if side.whole else self._exact(codes, operand, matrices)
            if "variance" in side.quantities:
                result = result.astype(np.float32, copy=False)
            for rows in blocks if side.quantities else ():
                bits, part = on_lines(fields[:, matrices, rows], operand.lines.element), result[:, rows]
                features = self._features(bits, side.quantities)
                for name, (_, switched) in side.quantities.items():
                    total = features[name] @ switched.swapaxes(1, 2)
                    if name == "saturation":
                        saturations[matrices, rows] += total[..., 0]
                    elif name == "variance":                                        # after the mean
                        add_noise(part.reshape(-1, outputs), total.reshape(-1, outputs), here[:, rows].ravel(),
                                  normal_quantiles())
                    elif side.whole:
                        part[...] = total
                    else:
                        part += total
            results.append(result)
        return results[0] if len(results) == 1 else np.concatenate(results), saturations

    def _exact(self, codes, operand, matrices):
        """The product of the effective codes, (z, b, n)."""
        largest, switched = LEVELS + self.coding.offset, operand.codes[matrices]
        values = (codes[matrices] + np.float32(self.coding.offset)) * operand.used[matrices, None]
        if len(values) == 1:
            return integer_product(values[0], switched[0].T, largest)[None]
        exact = np.float32 if largest**2 * values.shape[-1] <= EXACT else np.float64
        return values.astype(exact, copy=False) @ switched

    def _features(self, fields, quantities):
        """{name: (z, rows, subsets · groups)} of quantities {name: (subsets, ...)} for fields (channels, z, rows, r,
        groups), see `conjunctions`; those of the same sets at once."""
        powers, result = {"mean": 1, "variance": 2, "saturation": 0}, {}
        channels, z, rows, *places = fields.shape
        for subsets in {subsets.tobytes(): subsets for subsets, *_ in quantities.values()}.values():
            names = [name for name, (own, *_) in quantities.items() if np.array_equal(own, subsets)]
            signs = np.stack([self.coding.signs ** powers[name] for name in names])
            tables = np.stack([self.coding.table(powers[name]) for name in names])
            values = conjunctions(fields.reshape(channels, -1, *places), signs, subsets, tables)
            result |= zip(names, values.reshape(len(names), z, rows, -1), strict=True)
        return result

    def _side(self, operand, matrices):
        """Side of several matrices of an operand, kept if there is room."""
        if operand.kept is not None:
            return operand.kept
        side = (self._solved if self.solved else self._typical)(operand, matrices)
        size = sum(values.nbytes for _, values in side.quantities.values())
        with self._lock:
            if operand.keep and self._kept_bytes + size <= KEPT_BYTES:
                self._kept_bytes += size
                operand.kept = side
        return side

    def _typical(self, operand, matrices):
        """Side by the statistics of the crossbars."""
        statistics = self.statistics(*operand.codes.shape[1:], operand.density)
        fields = operand.fields[:, matrices]
        values, bit = self._features(fields, statistics.quantities), np.arange(fields.shape[2]) % self.settings.bit_lines
        for name, (subsets, coefficients) in statistics.quantities.items():
            scale(values[name].reshape(*values[name].shape[:2], subsets.size, -1), coefficients, operand.crossbar[matrices],
                  bit, operand.lines.group)
        return Side.of({name: (subsets, values[name]) for name, (subsets, _) in statistics.quantities.items()},
                       statistics.whole)

    def _solved(self, operand, matrices):
        """Side by the conversions of every tile with its switches as they are set, plane by plane: the weights of the digits
        enter its sums, the word-line operand's side is the same."""
        fields, lines = operand.fields[:, matrices], operand.lines
        _, z, outputs, places, groups = fields.shape
        units = np.resize(self.coding.units, places)
        sums = np.zeros((3, z, outputs, 2**places, groups), np.float32)
        for matrix, row_block in itertools.product(range(z), range(lines.row_block[-1] + 1)):
            tile = lines.groups_of(row_block)
            line = lines.line[:, tile].T                                                     # (g, r)
            for plane in self._planes(operand, matrix + matrices.start, row_block):
                current = np.where(line < 0, 0.0, plane.transfer[:, np.maximum(line, 0)])    # (n, g, r)
                moments = self._moments(current, 0.0)
                closed = fields[plane.channel, matrix, plane.columns, :, tile].swapaxes(1, 2) >> plane.bit & 1
                moments[0][..., 1 << np.arange(places)] -= closed * units
                for each, power, total in zip(moments, (1, 2, 0), sums[:, matrix], strict=True):
                    total[plane.columns, :, tile] += (plane.weight**power * each).swapaxes(1, 2)
        matter = np.abs(sums).max(axis=(1, 2, 4)) > NEGLIGIBLE
        single = 1 << np.arange(places)
        whole = bool(matter[0, single].any())
        if whole:
            matter[0, single] = True
            value = np.einsum("c,cz...->z...", self.coding.signs, self.coding.table(1)[fields])
            sums[0][:, :, single] += value * units[:, None]
        return Side.of({name: (np.flatnonzero(own), np.ascontiguousarray(total[:, :, own]).reshape(z, outputs, -1))
                        for name, total, own in zip(QUANTITIES, sums, matter, strict=True) if own.any()}, whole)

    def _moments(self, current, relative_sigma):
        """Möbius coefficients (3, ..., 2^r) of the QUANTITIES of conversions of lines with currents (..., r)."""
        flat = np.ascontiguousarray(current).reshape(-1, current.shape[-1])
        moments = conversion_moments(flat, relative_sigma * flat, self.half_swing, self.top)
        for each in moments:
            moebius(each)
        return moments.reshape(3, *current.shape[:-1], -1)

    def _planes(self, operand, matrix, row_block):
        """Every plane of switches of a row of tiles, as `Plane`."""
        coding, settings, lines = self.coding, self.settings, operand.lines
        tile, outputs = lines.groups_of(row_block), operand.codes.shape[2]
        line = lines.line[:, tile].ravel()
        present = line >= 0
        starts = range(0, outputs, settings.bit_lines)
        digits = itertools.product(range(len(coding.signs)), coding.digit_planes)
        for number, (start, (channel, (bit, weight))) in enumerate(itertools.product(starts, digits)):
            columns = slice(start, min(start + settings.bit_lines, outputs))
            places = operand.fields[channel, matrix, columns, :, tile]
            places = places.reshape(len(places), -1)
            closed = np.zeros((settings.word_lines, settings.bit_lines), bool)
            closed[line[present], :len(places)] = (places[:, present] >> bit & 1).T
            number += row_block * len(starts) * len(coding.signs) * len(coding.digit_planes)
            yield Plane(number, columns, channel, bit, float(coding.signs[channel] * weight),
                        self.transfer(operand.crossbar[matrix, start, tile.start], closed)[:len(places)])

    def _direct(self, codes, fields, operand, keys):
        coding, settings, lines = self.coding, self.settings, operand.lines
        z, depth, outputs = operand.codes.shape
        driven = on_lines(fields, lines.element)                                     # (channels, z, b, r, groups)
        planes = [(channel, p, sign * value) for channel, sign in enumerate(coding.signs) for p, value in coding.planes]
        weight = np.array([value for _, _, value in planes])
        output, saturations = np.zeros((*keys.shape, outputs)), np.zeros(keys.shape, np.int64)
        for matrix, row_block in itertools.product(range(z), range(lines.row_block[-1] + 1)):
            tile = lines.groups_of(row_block)
            line = lines.line[:, tile].ravel()
            present = line >= 0
            volts = np.zeros((keys.shape[1], len(planes), settings.word_lines), np.uint8)
            for k, (channel, p, _) in enumerate(planes):
                bits = driven[channel, matrix][..., tile].reshape(len(volts), -1)
                volts[:, k, line[present]] = bits[:, present] >> p & 1
            for plane in self._planes(operand, matrix, row_block):
                part = np.zeros((len(volts), len(plane.transfer)))
                count_products(volts, weight, plane.transfer, plane.weight, settings.rows_per_conversion, self.half_swing,
                               self.top, keys[matrix], plane.number * len(planes), part, saturations[matrix])
                output[matrix][:, plane.columns] += part
        return output, saturations.astype(np.float64)

    # ------------------------------------------------------------ physics

    def transfer(self, crossbar, closed):
        """(bit lines, word lines) LSB per driven word line of one crossbar with its switches `closed` (m, n) bool.

        The wires are solved exactly; word lines that are not driven are held at 0 V, open switches conduct nothing.
        """
        relative = np.where(self.conducts(crossbar, closed), self.current[crossbar], 0.0)
        if self.wires is None:
            return np.ascontiguousarray(relative.T)
        result = np.zeros(relative.shape[::-1])
        if not relative.any():
            return result
        # Lines beyond the last conducting cell carry no current, but bit lines go on below it to the sense amplifier.
        m, n = (int(np.flatnonzero(relative.any(axis=axis))[-1]) + 1 for axis in (1, 0))
        unit = 1 / self.settings.resistance_ohm
        segments = wire_segments(self.wires, m, n, below=len(relative) - m)
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
        lines = lines.line.T                                                                     # (groups, r)
        current = np.where(lines < 0, 0.0, current[:, np.maximum(lines, 0)].transpose(0, 3, 1, 2))  # (x, n, groups, r)
        moments = self._moments(current, relative_sigma)
        self._check_ir_drop(current, relative_sigma, moments[1], density)
        units = np.where(lines < 0, 0.0, np.resize(self.coding.units, lines.shape[1]))
        single = 1 << np.arange(lines.shape[1])
        moments[0][..., single] -= units                                                         # the exact count
        matter = np.abs(moments).max(axis=(1, 2, 3)) > NEGLIGIBLE                                # (quantities, subsets)
        whole = bool(matter[0, single].any())
        if whole:
            matter[0, single] = True
            moments[0][..., single] += units
        return Statistics({name: (np.flatnonzero(own), np.ascontiguousarray(moment[..., own].swapaxes(2, 3), np.float32))
                           for name, moment, own in zip(QUANTITIES, moments, matter, strict=True) if own.any()}, whole)

    def _check_ir_drop(self, current, relative_sigma, variance, density):
        """Warn, once, where the switches of other cells decide conversions.

        current, variance : of `_measure`, the latter as Möbius coefficients F: if every line conducts with probability p,
            the mean of a quantity is Σ_U F(U) p^|U|
        """
        size = np.array([set_.bit_count() for set_ in range(variance.shape[-1])])
        probability = (density / 2) ** size                                 # half of the word lines are driven
        total = variance @ probability
        if self._warned or not relative_sigma or total.mean() < FLIPS:
            return
        flips = float(np.abs(total - self._moments(current, 0.0)[1] @ probability).mean())
        if flips > max(FLIPS, FLIPS_OF_NOISE * total.mean()):
            self._warned = True
            warnings.warn(ValidRangeWarning(
                f"IR drop: the other switches of a tile of {variance.shape[1]} bit lines move what a cell of "
                f"computation.resistance_ohm = {self.settings.resistance_ohm:g} ohm adds to a current by "
                f"{relative_sigma:.2%} (standard deviation) and decide {flips:.1e} of the conversions; the statistical mode "
                'takes them as independent. Set computation.ir_drop = "solved" or computation.mode = "direct", larger '
                "resistances or smaller tiles"), stacklevel=2)


def blocks_of(z, rows, row_bytes):
    """[(slice of matrices, [slices of rows])]: several small matrices, or parts of a large one, within `BLOCK_BYTES`."""
    at_once, step = max(1, BLOCK_BYTES // max(1, rows * row_bytes)), max(1, BLOCK_BYTES // row_bytes)
    return [(slice(start, start + at_once), [slice(row, row + step) for row in range(0, rows, step)])
            for start in range(0, z, at_once)]


def rounded(lines):
    """Lines rounded up to the size that one set of statistics serves."""
    return max(GRID, 1 << (int(lines) - 1).bit_length())


@functools.cache
def normal_quantiles():
    """(2^16,) float32: equally likely values with the distribution of a standard normal number, variance exactly 1."""
    from scipy.special import ndtri

    values = ndtri((np.arange(2**16) + 0.5) / 2**16)
    return (values / values.std()).astype(np.float32)
