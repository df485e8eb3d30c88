"""A study becomes a trace: activations of a real model through programmed, calibrated arrays.

Sentences travel in batches of fixed composition on a pool of threads, each with BLAS on one thread, so results do not
depend on the number of threads.
"""
import contextlib
import dataclasses
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from xbarsim import bert, checkpoint, chip, dense, functions, idle, products, quantize, tasks
from xbarsim.array import calibrate, program_matrix
from xbarsim.device import device_text, parse_device
from xbarsim.errors import IdleSettingWarning, OutOfRangeError
from xbarsim.interrupts import Interrupts
from xbarsim.layout import layout_of
from xbarsim.trace import Sources
from xbarsim.tracewriter import TraceWriter

CALIBRATION_TOKENS = 2048        # token vectors per matrix behind ranges and gains


def silent(description, total):
    """Progress that shows nothing.  `progress(description, total)` returns a function `done(k)` to call on the way."""
    return lambda k: None


def unsaid(text):
    """What `run_study` says on the way goes nowhere."""


@dataclass(frozen=True)
class Examples:
    """Tokenised examples of a task.

    tokens : list of token id arrays, `parts` consecutive ones per example (2 for pairs)
    pooling : how a sentence's hidden states become its features, see `bert.sentence_features`
    """

    tokens: list
    parts: int = 1
    pooling: str = "auto"

    def __len__(self):
        return len(self.tokens) // self.parts

    @property
    def token_counts(self):
        """(n,) tokens of each example."""
        return np.array([len(t) for t in self.tokens]).reshape(-1, self.parts).sum(axis=1)

    def batches(self, size):
        """Slices of examples, in order."""
        return [slice(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def of(self, batch):
        """Token lists of a slice of examples."""
        return self.tokens[batch.start * self.parts:batch.stop * self.parts]


@contextlib.contextmanager
def worker_threads(count=None):
    """A pool of `count` threads (all cores if None) with BLAS on one thread inside."""
    with (threadpool_limits(limits=1, user_api="blas"),
          ThreadPoolExecutor(count or numba.config.NUMBA_DEFAULT_NUM_THREADS) as pool):
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)              # an interrupted run stops at once, not after all batches
            raise


def calibration_inputs(model, examples, batch_size, pool):
    """What held-out examples say about the float32 path.

    Returns
    -------
    {matrix: (samples, in) float32} : inputs of every matrix, at most CALIBRATION_TOKENS rows spread evenly
    {function: (largest |input|, largest |output|)}, {product: (largest |a|, largest |b|)}
    """
    def capture(batch):
        seen, ranges = {}, {}

        def product(name, a, b):
            ranges[name] = float(np.abs(a).max()), float(np.abs(b).max())
            return bert.product(name, a, b)

        def linear(name, x, weight, bias, rows):
            seen[name] = x
            return bert.linear(name, x, weight, bias, rows)

        bert.encode(model, *bert.pad(examples.of(batch)), linear,
                    dataclasses.replace(functions.record(ranges, model.config), product=product))
        return seen, ranges

    batches, ranges = zip(*pool.map(capture, examples.batches(batch_size)), strict=True)
    stride = -(-int(examples.token_counts.sum()) // CALIBRATION_TOKENS)
    inputs = {name: np.concatenate([batch[name] for batch in batches])[::stride] for name in batches[0]}
    return inputs, functions.widest(ranges)


def digital_features(model, examples, batch_size, pool, linear=bert.linear, progress=silent, description=""):
    """Yields (batch, features (sentences, hidden)) of a digital path; `linear` is the product of the path."""
    def run(batch):
        token_ids, mask = bert.pad(examples.of(batch))
        return bert.sentence_features(model, bert.encode(model, token_ids, mask, linear), mask, examples.pooling)

    done = progress(description, len(examples))
    batches = examples.batches(batch_size)
    for batch, features in zip(batches, pool.map(run, batches), strict=True):
        yield batch, features
        done(batch.stop - batch.start)


def program_arrays(model, study, device, inputs, input_ranges, counting, pool, progress=silent,
                   description="tiles programmed"):
    """{matrix: Array or CountedMatrix} of all encoder matrices of a model, calibrated on `inputs` {matrix: samples}.

    input_ranges : of `quantize.input_ranges`, full scales of what counts in int8
    counting : products.Pool.  Every thread of `pool` works on a matrix of its own, row block by row block.
    """
    names = bert.matrix_names(model.config)
    weights = [model.matrix(name)[0] for name in names]
    own = [study.for_layer(name) for name in names]
    in_situ = [chosen.products.weights == "in_situ" for chosen in own]
    memories = {}

    def memory_of(chosen):
        """The dense memory of a matrix: one for all matrices of the same settings."""
        key = (chosen.memory, chosen.wires, chosen.effects)
        if key not in memories:
            memories[key] = dense.Memory.of(chosen, device.in_study(chosen), names)
        return memories[key]

    def build(index):
        name = names[index]
        moment = (inputs[name].astype(np.float64) ** 2).mean(axis=0)
        return calibrate(program_matrix(name, index, weights[index], moment, study, device), inputs[name])

    total = sum(layout_of(*weight.shape[::-1], chosen.mapping).tiles
                for weight, chosen, programmed in zip(weights, own, in_situ, strict=True) if programmed)
    done = progress(description, total)
    built = pool.map(build, [index for index, programmed in enumerate(in_situ) if programmed])
    arrays = {}
    for index, name in enumerate(names):
        if in_situ[index]:
            arrays[name] = next(built)
            done(arrays[name].programmed.layout.tiles)
        else:
            arrays[name] = products.CountedMatrix.prepare(name, index, weights[index], input_ranges[name],
                                                          own[index], counting, memory_of(own[index]).read)
    return arrays


def layer_attributes(array):
    """(attributes, {data set: (tiles,)}) of a matrix for the trace."""
    if isinstance(array, products.CountedMatrix):
        _, inputs, outputs = array.operand.codes.shape
        computation = array.study.computation
        nothing = dict.fromkeys(("clipped_weights", "stuck_on", "stuck_off", "bounded_cells", "rounded_cells",
                                 "unverified_cells", "write_pulses"), 0)
        stuck = array.crossbars.stuck_cells(array.operand)
        return {"inputs": inputs, "outputs": outputs, "tiles": array.tiles,
                "cells": array.tiles * computation.word_lines * computation.bit_lines,
                **counting_bits(array.study), **nothing, "stuck_on": stuck[0], "stuck_off": stuck[1]}, {}
    programmed, layout, study = array.programmed, array.programmed.layout, array.programmed.study
    counts = programmed.counts
    attributes = {
        "inputs": layout.inputs, "outputs": layout.outputs, "tiles": layout.tiles,
        "cells": layout.tiles * layout.word_lines * layout.bit_lines,
        "clipped_weights": programmed.encoded.clipped, "stuck_on": counts.stuck_on, "stuck_off": counts.stuck_off,
        "bounded_cells": counts.bounded, "rounded_cells": counts.rounded, "unverified_cells": counts.unverified,
        "write_pulses": counts.pulses, **converter_bits(study)}
    if counts.write_energy is not None:
        attributes["write_energy"] = counts.write_energy
    return attributes, {"attenuation_mean": programmed.attenuation_mean, "attenuation_std": programmed.attenuation_std}


def converter_bits(study):
    """{"adc_bits", "dac_bits"} of in-situ arrays, 0 where they are ideal."""
    ideal = not study.effects.converters
    return {f"{name}_bits": 0 if ideal or table.bits == "ideal" else table.bits
            for name, table in (("adc", study.adc), ("dac", study.dac))}


def counting_bits(study):
    """The same of computation crossbars, whose word lines are driven by single bits."""
    return {"adc_bits": study.computation.adc_bits if study.effects.converters else 0, "dac_bits": 1}


def product_attributes(product):
    """Attributes of an AttentionProduct for the trace."""
    return (counting_bits if product.counting else converter_bits)(product.study)


def error_statistics(output, reference, starts):
    """Errors of rows (t, out) in the groups that begin at `starts`.

    starts : (examples,) first row of each example; rows of one example are consecutive

    Returns
    -------
    {relative_rms, snr_db, cosine, maximum, signal_rms, error_rms: (examples,)} ; without any error
    the relative one is 0 and the SNR infinite, also where the reference is 0; an error over a
    reference of 0 is infinite.  The cosine with a vector of 0 is 0, and 1 where both are 0.
    """
    difference = (output - reference).astype(np.float64)
    reference, output = reference.astype(np.float64), output.astype(np.float64)

    def total(rows):
        return np.add.reduceat(rows, starts)

    error, signal = total((difference**2).sum(axis=1)), total((reference**2).sum(axis=1))
    own, cross = total((output**2).sum(axis=1)), total((output * reference).sum(axis=1))
    values = total(np.full(len(output), output.shape[1], np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(error == 0, 0.0, np.sqrt(error / signal))
        both_zero = (own == 0) & (signal == 0)
        cosine = np.where(own * signal > 0, cross / np.sqrt(own * signal), both_zero)
        return {
            "relative_rms": relative,
            "snr_db": -20 * np.log10(relative),
            "cosine": cosine,
            "maximum": np.maximum.reduceat(np.abs(difference).max(axis=1), starts),
            "signal_rms": np.sqrt(signal / values),
            "error_rms": np.sqrt(error / values),
        }


def token_rows(x, mask):
    """An operation's (t, n) results of the real tokens: x (t, ...), or (b, heads, s, ...) with mask (b, s)."""
    return x if x.ndim < 3 else x.swapaxes(1, 2)[mask].reshape(np.count_nonzero(mask), -1)


@dataclass(frozen=True)
class Hardware:
    """What takes the place of the float32 steps on one chip.

    arrays : {matrix: Array or CountedMatrix};  products : {product: AttentionProduct}
    units : {operation: function}, see `functions.operations`;  seed : int
    """

    arrays: dict
    products: dict
    units: dict
    seed: int


def check_output(name, output):
    """Raise OutOfRangeError where a result (t, out) of a hardware step is not finite."""
    if not np.isfinite(output).all():
        wrong = np.count_nonzero(~np.isfinite(output).all(axis=-1))
        raise OutOfRangeError(
            f"{name}: the result of the hardware is not finite for {wrong} of {len(output)} "
            "tokens; look at its wires ([wires]), its converters ([dac], [adc]), its device and "
            "its [functions] in the study"
        )


def run_batch(model, hardware, examples, batch):
    """One batch through the float32 path and the hardware.

    Returns
    -------
    features : (sentences, hidden) of the analog path
    entries : {"layers", "products", "operations": {name: {data set: (examples,)}}} for the trace
    """
    token_ids, mask = bert.pad(examples.of(batch))
    starts = np.searchsorted(np.argwhere(mask)[:, 0] // examples.parts, np.arange(batch.stop - batch.start))
    tokens = np.diff(np.append(starts, np.count_nonzero(mask)))
    first_sentence = batch.start * examples.parts
    float32, layers, of_products, operations = {}, {}, {}, {}
    arrays, units = hardware.arrays, hardware.units
    between = mask[:, None, :, None] & mask[:, None, None, :]      # scores of two real tokens

    def errors(name, output, digital):
        """Against the float32 result for the same input, and against that of the float32 path."""
        check_output(name, output)
        return {f"{kind}_{key}": value for kind, reference in (("local", digital), ("accumulated", float32[name]))
                for key, value in error_statistics(output, reference, starts).items()}

    def per_example(values):
        """Counts of rows (t,), some of them expected ones, in whole numbers of each example."""
        return np.rint(np.add.reduceat(values, starts)).astype(np.int64)

    def keep(name, x, weight, bias, rows):
        float32[name] = bert.linear(name, x, weight, bias, rows)
        return float32[name]

    def analog(name, x, weight, bias, rows):
        product = arrays[name].multiply(x, rows + [first_sentence, 0], hardware.seed)
        output = product.output + bias
        data = errors(name, output, bert.linear(name, x, weight, bias, rows))
        data |= {event: count * tokens for event, count in arrays[name].events_per_row.items()}
        data |= {key: per_example(getattr(product, key)) for key in ("dac_saturations", "adc_saturations")}
        layers[name] = data | {"array_energy": np.add.reduceat(product.array_energy, starts)}
        return output

    def product_rows(name, output):
        return token_rows(np.where(between, output, 0) if name.endswith("attention_scores") else output, mask)

    def multiply(name, a, b):
        if name not in hardware.products:
            return bert.product(name, a, b)
        output, counts = hardware.products[name].multiply(a, b, mask, first_sentence)
        data = errors(name, product_rows(name, output), product_rows(name, bert.product(name, a, b)))
        joules = ("array_energy", "write_energy")
        of_products[name] = data | {key: np.add.reduceat(values, starts) if key in joules else per_example(values)
                                    for key, values in counts.items()}
        return output

    def kept(operation):
        def run(name, *arguments):
            output = operation(name, *arguments)
            if name in units:
                float32[name] = token_rows(output, mask)
            elif name in hardware.products:
                float32[name] = product_rows(name, output)
            return output

        return run

    def observe(name, output, reference, saturations):
        held = token_rows(saturations[..., None], mask).sum(axis=1)
        operations[name] = errors(name, token_rows(output, mask), token_rows(reference, mask)) | {
            "saturations": np.add.reduceat(held, starts)}

    bert.encode(model, token_ids, mask, keep, bert.Operations.of(model.config).map(kept))
    injected = dataclasses.replace(functions.operations(units, model.config, observe), product=multiply)
    hidden = bert.encode(model, token_ids, mask, analog, injected)
    return (bert.sentence_features(model, hidden, mask, examples.pooling),
            {"layers": layers, "products": of_products, "operations": operations})


def chip_seed(seed, number):
    """Seed of a simulated chip: the study's for the first, independent ones for the others."""
    return seed if number == 0 else int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])


def run_case(writer, name, study, model, device, examples, inputs, ranges, input_ranges, head, pool, progress=silent):
    """Program, calibrate and evaluate every chip of one case; its part of the trace grows batch by batch.

    inputs, ranges : see `calibration_inputs`;  input_ranges : see `program_arrays`
    head : function (sentence features (examples * parts, hidden)) -> outputs (examples, k)
    """
    writer.add_case(name, study.to_toml())
    units = functions.build(study, model, ranges)
    for number in range(study.run.chips):
        chip = study.model_copy(update={"seed": chip_seed(study.seed, number)})
        title = name if study.run.chips == 1 else f"{name}, chip {number + 1}"
        counting = products.Pool(chip.seed)
        arrays = program_arrays(model, chip, device, inputs, input_ranges, counting, pool, progress,
                                f"{title}: tiles programmed")
        hardware = Hardware(arrays, products.attention_products(chip, model, ranges, chip.seed, counting, device), units,
                            chip.seed)
        path = writer.add_chip(name, chip.seed, {matrix: layer_attributes(array) for matrix, array in arrays.items()},
                               {key: product_attributes(product) for key, product in hardware.products.items()}, units)
        batches = examples.batches(study.run.batch_examples)
        done = progress(f"{title}: examples evaluated", len(examples))
        results = pool.map(lambda batch, hardware=hardware: run_batch(model, hardware, examples, batch), batches)
        for batch, (features, entries) in zip(batches, results, strict=True):
            writer.write(path, batch, head(features), **entries)
            done(batch.stop - batch.start)


def sources_of(study):
    """trace.Sources of a study: the texts of its device and chip files as they are now."""
    cases = [case for _, case in study.cases()]
    devices = dict.fromkeys(case.device.name for case in cases)
    chips = dict.fromkeys(case.chip for case in cases if case.chip is not None)
    return Sources(
        devices={name: device_text(name) for name in devices},
        chips={name: chip.chip_text(name) for name in chips},
    )


def run_study(study, directory="runs", threads=None, progress=silent, say=unsaid, sources=None):
    """Run every case of a study on its examples.

    Whatever was evaluated before an error or an interruption stays in the trace; the error carries
    a note that says where it is and what it holds.

    Parameters
    ----------
    study : config.Study
    directory : where the trace is written
    threads : int, all cores if None
    progress : see `silent`
    say : function (text) for what a user must hear on the way
    sources : trace.Sources to take the place of the device and chip files that the study names

    Returns
    -------
    Path of the trace
    """
    sources = sources or sources_of(study)
    devices = {name: parse_device(name, text) for name, text in sources.devices.items()}
    cases = [(name, case, devices[case.device.name]) for name, case in study.cases()]
    for name, text in sources.chips.items():
        chip.parse_chip(name, text)          # a mistake there is found before the run, not after it
    for _, case, device in cases:
        device.in_study(case)                # conditions outside the device's range, likewise
    with Interrupts(say) as interrupts:
        progress = interrupts.watch(progress)
        prepared = tasks.prepare(study, threads, progress)
        idle_settings = find_idle_settings(cases, prepared.model.config)
        for sentence in idle_settings:
            warnings.warn(IdleSettingWarning(sentence), stacklevel=2)
        hashes = checkpoint.file_hashes(prepared.model.directory)
        sources = dataclasses.replace(sources, model_files=hashes)
        interrupts.keep()
        with (
            worker_threads(threads) as pool,
            open_trace(directory, study, prepared, sources, idle_settings) as writer,
        ):
            run_paths(writer, study, cases, prepared, pool, threads, progress)
        interrupts.check(writer.holds())     # one that came after the last batch
    return writer.path


def open_trace(directory, study, prepared, sources, idle_settings):
    """The TraceWriter of a study and its tasks.Prepared; idle_settings : see `find_idle_settings`."""
    model, task, head, scored = prepared.model, prepared.task, prepared.head, prepared.scored
    pairs = task.kind == "pairs"
    cut = np.asarray(prepared.tokens.cut).reshape(len(scored), -1)
    return TraceWriter(
        directory,
        study.name,
        label=scored.targets,
        label_unit="score" if pairs else "class",
        tokens=examples_of(study, prepared).token_counts,
        index=scored.places,
        truncated=cut.sum(axis=1),
        outputs=1 if pairs else len(head.weight),
        sources=sources,
        seed=study.seed,
        study=study.to_toml(),
        model=str(study.model.name),
        model_sha256=model.sha256,
        task=task.name,
        task_sha256=task.sha256,
        task_kind=task.kind,
        metric=prepared.metric,
        head=head.kind,
        classes=len(scored.classes),
        heads=model.config.heads,
        truncated_sentences=prepared.tokens.truncated,
        notes="\n".join(prepared.notes),
        idle_settings="\n".join(idle_settings),
    )


def find_idle_settings(cases, config):
    """Sentences on the settings of a study that have no effect on a model; see `idle`.

    cases : [(name, study of the case, DeviceModel)];  config : of the model

    Raises
    ------
    ConfigError : settings that cannot be meant
    """
    names = bert.matrix_names(config), products.product_names(config), functions.function_names(config)
    found = []
    for name, case, device in cases:
        steps = idle.places(case, device, *names)
        idle.refuse(name, case, steps)
        found.append((case, steps))
    return idle.idle_settings(found)


def examples_of(study, prepared):
    """The Examples that a study evaluates."""
    return Examples(prepared.tokens, 2 if prepared.task.kind == "pairs" else 1, study.task.pooling)


def run_paths(writer, study, cases, prepared, pool, threads, progress):
    """Both digital references and every case, into the trace.  cases : [(name, study,
    DeviceModel)]"""
    model, head, size = prepared.model, prepared.head, study.run.batch_examples
    examples = examples_of(study, prepared)

    def outputs(features):
        return head.outputs(features).reshape(len(features) // examples.parts, -1)

    inputs, ranges = calibration_inputs(model, Examples(prepared.calibration), size, pool)
    input_ranges = quantize.input_ranges(model, prepared.calibration, threads=threads)
    int8 = quantize.int8_linear(model, input_ranges)
    for path, linear in (("float32", bert.linear), ("int8", int8)):
        writer.add_reference(path)
        title = f"{path} reference"
        features = digital_features(
            model, examples, size, pool, linear=linear, progress=progress, description=title
        )
        for batch, of_batch in features:
            writer.write(f"reference/{path}", batch, outputs(of_batch))
    for name, case, device in cases:
        run_case(
            writer, name, case, model=model, device=device, examples=examples, inputs=inputs,
            ranges=ranges, input_ranges=input_ranges, head=outputs, pool=pool, progress=progress,
        )
