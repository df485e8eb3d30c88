"""Digital references: float32 and INT8 features of examples."""

from xbarsim.base.progress import silent
from xbarsim.models import bert


def digital_features(
    model, examples, batch_size, pool, linear=bert.linear, progress=silent, description=""
):
    """Yields (batch, features (sentences, hidden)) of a digital path; `linear` is the product of
    the path.
    """

    def run(batch):
        token_ids, mask = bert.pad(examples.of(batch))
        return bert.sentence_features(
            model, bert.encode(model, token_ids, mask, linear), mask, examples.pooling
        )

    done = progress(description, len(examples))
    batches = examples.batches(batch_size)
    for batch, features in zip(batches, pool.map(run, batches), strict=True):
        yield batch, features
        done(batch.stop - batch.start)
