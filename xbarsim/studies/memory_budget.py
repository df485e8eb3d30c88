"""The budget `[run] memory_gb`: what of it is left for arrays.

Programming and evaluation work beside the arrays, not both at once.  What they take is estimated
from above, from the sizes of the matrices and of the largest batch.
"""

from dataclasses import dataclass

from xbarsim.arrays.in_situ.layout import Layout, layout_of
from xbarsim.base.errors import ConfigError
from xbarsim.base.memory import peak_bytes, resident_bytes
from xbarsim.base.units import GIGA
from xbarsim.hardware.build import Design, in_situ_steps
from xbarsim.models.graph import Kind, Role, Step
from xbarsim.studies.examples import Examples

FIXED = 200e6  # bytes: code that is compiled or imported on the way, buffers of files
PER_WEIGHT = 56  # bytes of float64 and float32 copies while a matrix is mapped and calibrated
PER_CELL = 40  # bytes of a row block that is written: targets, errors, what is achieved, noise
COPIES = 8  # of the widest step of a batch: operands, results, differences


@dataclass(frozen=True)
class OnTheWay:
    """What is computed at once.

    tokens : of the largest batch, padding included;  length : of its longest sentence
    """

    threads: int
    tokens: int
    length: int

    @classmethod
    def of(cls, examples: Examples, batch_size: int, threads: int) -> "OnTheWay":
        """Batches of examples on threads."""
        tokens = 0
        for batch in examples.batches(batch_size):
            sentences = examples.of(batch)
            tokens = max(tokens, len(sentences) * max(map(len, sentences)))
        return cls(threads, tokens, examples.longest)


def room_for_arrays(design: Design, memory_gb: float, on_the_way: OnTheWay) -> int:
    """Bytes that arrays may take in memory.

    Raises
    ------
    ConfigError : a budget that does not hold what is needed beside them
    """
    held = resident_bytes()
    threads = on_the_way.threads
    layouts = _layouts(design)
    arrays = [_bytes_of_array(layout) for layout in layouts]
    programming = threads * max(map(_bytes_to_program, layouts), default=0)
    batches = threads * (_bytes_of_batch(design, on_the_way) + max(arrays, default=0))
    needed = held + round(FIXED) + max(programming, batches)
    budget = round(memory_gb * GIGA)
    if budget >= max(needed, peak_bytes()):
        return budget - needed
    raise ConfigError(
        f"run.memory_gb = {memory_gb:g} does not hold this study: {held / GIGA:.2f} GB are in use "
        f"before a chip is programmed, programming takes up to {programming / GIGA:.2f} GB and "
        f"batches up to {batches / GIGA:.2f} GB on {threads} threads; allowed: at least "
        f"{max(needed, peak_bytes()) / GIGA:.2f}, or fewer threads or a smaller run.batch_examples"
    )


def _layouts(design: Design) -> list[Layout]:
    """Of the matrices on in-situ tiles."""
    return [
        layout_of(step.inputs, step.outputs, design.settings[step.name].mapping)
        for step in in_situ_steps(design.settings, design.model.graph)
    ]


def _bytes_of_array(layout: Layout) -> int:
    """Of transfer and noise of every plane, and of the power matrices, in float32."""
    cells = layout.inputs * layout.outputs * layout.planes
    return 8 * cells + 4 * layout.inputs * layout.word_lines


def _bytes_to_program(layout: Layout) -> int:
    """Of a matrix that is mapped, programmed and calibrated, its array included."""
    weights = layout.inputs * layout.outputs
    block = layout.tiles_per_row_block * layout.word_lines * layout.bit_lines
    moments = 4 * layout.inputs**2
    of_weights = weights * (PER_WEIGHT + 8 * layout.planes)
    return of_weights + PER_CELL * block + moments + _bytes_of_array(layout)


def _bytes_of_batch(design: Design, on_the_way: OnTheWay) -> int:
    """Of the float32 results of all steps, which wait to be compared, and of some copies of the
    widest.
    """
    widths = [_width(step, on_the_way.length) for step in design.model.graph.steps]
    return 4 * on_the_way.tokens * (sum(widths) + COPIES * max(widths, default=0))


def _width(step: Step, length: int) -> int:
    """Results of a step per token."""
    outputs = step.outputs
    if step.role in (Role.ATTENTION_SCORES, Role.ATTENTION_SOFTMAX):
        outputs = min(outputs, length)
    if step.kind in (Kind.MATRIX, Kind.NORM, Kind.ACTIVATION):
        return outputs
    return step.copies * outputs
