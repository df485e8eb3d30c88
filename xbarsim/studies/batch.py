"""One batch through the float32 path and the hardware."""

import dataclasses

import numpy as np

from xbarsim.hardware import functions
from xbarsim.models import bert
from xbarsim.studies.errors import check_output, error_statistics, token_rows


def run_batch(model, hardware, examples, batch):
    """One batch through the float32 path and the hardware.

    Returns
    -------
    features : (sentences, hidden) of the analog path
    entries : {"layers", "products", "operations": {name: {data set: (examples,)}}} for the trace
    """
    token_ids, mask = bert.pad(examples.of(batch))
    starts = np.searchsorted(
        np.argwhere(mask)[:, 0] // examples.parts, np.arange(batch.stop - batch.start)
    )
    tokens = np.diff(np.append(starts, np.count_nonzero(mask)))
    first_sentence = batch.start * examples.parts
    float32, layers, of_products, operations = {}, {}, {}, {}
    arrays, units = hardware.arrays, hardware.units
    between = mask[:, None, :, None] & mask[:, None, None, :]  # scores of two real tokens

    def errors(name, output, digital):
        """Against the float32 result for the same input, and against that of the float32 path."""
        check_output(name, output)
        return {
            f"{kind}_{key}": value
            for kind, reference in (("local", digital), ("accumulated", float32[name]))
            for key, value in error_statistics(output, reference, starts).items()
        }

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
        data |= {
            event: count * tokens for event, count in arrays[name].events_per_row.by_name().items()
        }
        data |= {
            key: per_example(getattr(product, key))
            for key in ("dac_saturations", "adc_saturations")
        }
        layers[name] = data | {"array_energy": np.add.reduceat(product.array_energy, starts)}
        return output

    def product_rows(name, output):
        return token_rows(
            np.where(between, output, 0) if name.endswith("attention_scores") else output, mask
        )

    def multiply(name, a, b):
        if name not in hardware.products:
            return bert.product(name, a, b)
        output, counts = hardware.products[name].multiply(a, b, mask, first_sentence)
        data = errors(
            name, product_rows(name, output), product_rows(name, bert.product(name, a, b))
        )
        joules = ("array_energy", "write_energy")
        of_products[name] = data | {
            key: np.add.reduceat(values, starts) if key in joules else per_example(values)
            for key, values in counts.items()
        }
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
            "saturations": np.add.reduceat(held, starts)
        }

    bert.encode(model, token_ids, mask, keep, bert.Operations.of(model.config).map(kept))
    injected = dataclasses.replace(
        functions.operations(units, model.config, observe), product=multiply
    )
    hidden = bert.encode(model, token_ids, mask, analog, injected)
    return (
        bert.sentence_features(model, hidden, mask, examples.pooling),
        {"layers": layers, "products": of_products, "operations": operations},
    )
