"""Digital references: float32 and INT8 features of examples."""

from collections.abc import Iterator
from concurrent.futures import Executor

from xbarsim.base.array_types import Singles
from xbarsim.base.progress import Progress, silent
from xbarsim.models.batches import pad
from xbarsim.models.network import Encoder
from xbarsim.models.operations import Hook, float32
from xbarsim.studies.examples import Examples


def digital_features(
    model: Encoder,
    examples: Examples,
    batch_size: int,
    pool: Executor,
    *,
    hook: Hook = float32,
    progress: Progress = silent,
    description: str = "",
) -> Iterator[tuple[slice, Singles]]:
    """Yields (batch, features (sentences, hidden)) of a digital path, whose steps are the hook's."""

    def run(batch: slice) -> Singles:
        token_ids, mask = pad(examples.of(batch))
        hidden = model.forward(token_ids, mask, hook)
        return model.features(hidden, mask, examples.pooling)

    done = progress(description, len(examples))
    batches = examples.batches(batch_size)
    for batch, features in zip(batches, pool.map(run, batches), strict=True):
        yield batch, features
        done(batch.stop - batch.start)
