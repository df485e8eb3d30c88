"""Digital references: what float32 and INT8 make of examples."""

from collections.abc import Iterator
from concurrent.futures import Executor

from xbarsim.base.progress import Progress, silent
from xbarsim.models.operations import Hook, float32
from xbarsim.studies.examples import Examples
from xbarsim.studies.readers import Reader, Reading


def digital_readings(
    reader: Reader,
    examples: Examples,
    batch_size: int,
    pool: Executor,
    *,
    hook: Hook = float32,
    progress: Progress = silent,
    description: str = "",
) -> Iterator[tuple[slice, Reading]]:
    """Yields (batch, Reading) of a digital path, whose steps are the hook's."""

    def run(batch: slice) -> Reading:
        return reader.read(examples, batch, hook)

    done = progress(description, len(examples))
    batches = examples.batches(batch_size)
    for batch, reading in zip(batches, pool.map(run, batches), strict=True):
        yield batch, reading
        done(batch.stop - batch.start)
