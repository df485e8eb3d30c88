"""The forward pass of BERT and MPNet in NumPy float32, as functions of arrays.

Nothing here knows a crossbar.  Every product with a weight matrix is the injected function
`linear`, and every other step (attention products, softmax, layer norm, GELU) a field of
`Operations`, so that a hardware model can take the place of any of them.  Shapes: b sentences, s
positions of the longest, t real tokens of all sentences, h hidden width, a heads, d = h / a.

Source: Devlin et al., "BERT", NAACL 2019; Song et al., "MPNet", NeurIPS 2020 (relative position
bias as in T5).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.progress import Progress, silent
from xbarsim.base.workers import worker_threads

MATRICES = ("query", "key", "value", "attention_output", "intermediate", "output")


def matrix_names(config):
    """Names of the encoder's weight matrices in execution order: six per layer."""
    return [f"layer.{i}.{name}" for i in range(config.layers) for name in MATRICES]


# ---------------------------------------------------------------- the default operations


def linear(name, x, weight, bias, rows):
    """`x @ weight.T + bias`: x (t, in), weight (out, in), bias (out,) -> (t, out).

    `name` is the matrix (`layer.0.query`); `rows` (t, 2) int64 says which (sentence of the batch,
    token position) each row of x is, so that an injected function can seed its noise by token.
    """
    y = x @ weight.T
    y += bias
    return y


def product(name, a, b):
    """Batched matrix product of two activations: (..., p, q) @ (..., q, r)."""
    return a @ b


def softmax(name, x, mask):
    """Softmax over the last axis of x where the boolean `mask` (broadcast to x) is True, 0
    elsewhere.
    """
    x = np.where(mask, x, np.float32(-np.inf))
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


def layer_norm(name, x, weight, bias, epsilon):
    """(x - mean) / sqrt(variance + epsilon) * weight + bias over the last axis."""
    x = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...h,...h->...", x, x)[..., None] / np.float32(x.shape[-1])
    x /= np.sqrt(variance + np.float32(epsilon))
    x *= weight
    x += bias
    return x


def gelu(name, x):
    """x / 2 (1 + erf(x / sqrt 2))."""
    from scipy.special import erf

    y = erf(x * np.float32(0.5**0.5))
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y


def gelu_tanh(name, x):
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³))): the approximation some checkpoints were
    trained with.
    """
    y = x * x
    y *= np.float32(0.044715)
    y += 1
    y *= x
    y *= np.float32((2 / np.pi) ** 0.5)
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y


def relu(name, x):
    """max(x, 0)."""
    return np.maximum(x, 0)


ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu_tanh, "gelu_pytorch_tanh": gelu_tanh, "relu": relu}


@dataclass(frozen=True)
class Operations:
    """The steps without weight matrices; each is called with a name such as
    `layer.0.attention_scores` first.

    `product(name, a, b)`, `softmax(name, x, mask)`, `layer_norm(name, x, weight, bias, epsilon)`,
    `gelu(name, x)`; `gelu=None` takes the activation that the checkpoint states.
    """

    product: Callable = product
    softmax: Callable = softmax
    layer_norm: Callable = layer_norm
    gelu: Callable | None = None

    @classmethod
    def of(cls, config):
        """The float32 operations of a checkpoint, its activation included."""
        return cls(gelu=ACTIVATIONS[config.activation])

    def map(self, wrap):
        """Every operation replaced by `wrap(operation)`."""
        return Operations(*map(wrap, (self.product, self.softmax, self.layer_norm, self.gelu)))


# ---------------------------------------------------------------- the forward pass


def encode(model, token_ids, attention_mask, linear=linear, operations=Operations()):
    """Hidden states of the last layer.

    Parameters
    ----------
    model : checkpoint.BertModel
    token_ids : (b, s) int
    attention_mask : (b, s) bool or 0/1, 1 for real tokens
    linear : function(name, x, weight, bias, rows) -> y, see `linear`; x is float32 and holds real
        tokens only
    operations : Operations

    Returns
    -------
    (b, s, h) float32; 0 at padding.  A sentence's values do not depend on its batch beyond float32
    rounding.

    Raises
    ------
    ShapeError, OutOfRangeError : ids or mask that do not fit the model; hidden states that are not
        finite.
    """
    config = model.config
    token_ids, mask = _checked(config, token_ids, attention_mask)
    rows = np.argwhere(mask)  # (t, 2)
    at = rows[:, 0], rows[:, 1]
    b, s = mask.shape
    width = config.hidden // config.heads
    epsilon = config.layer_norm_epsilon
    activate = operations.gelu or ACTIVATIONS[config.activation]

    def dense(name, x):  # (t, in) -> (t, out)
        return linear(name, x, *model.matrix(name), rows)

    def norm(name, x):
        return _finite(name, operations.layer_norm(name, x, *model.matrix(name), epsilon))

    def split(x):  # (t, h) -> (b, a, s, d), 0 at padding
        padded = np.zeros((b, s, config.hidden), np.float32)
        padded[at] = x
        return padded.reshape(b, s, config.heads, width).transpose(0, 2, 1, 3)

    def merge(x):  # (b, a, s, d) -> (t, h)
        return x.transpose(0, 2, 1, 3)[at].reshape(-1, config.hidden)

    bias = _relative_bias(model, s)
    x = norm("embeddings.norm", _embed_tokens(model, token_ids[at], rows[:, 1]))
    for i in range(config.layers):
        layer = f"layer.{i}"
        query, key, value = (
            split(dense(f"{layer}.{name}", x)) for name in ("query", "key", "value")
        )
        scores = operations.product(f"{layer}.attention_scores", query, key.swapaxes(-1, -2))
        scores = scores * np.float32(width**-0.5) + bias  # (b, a, s, s)
        scores = operations.softmax(f"{layer}.attention_softmax", scores, mask[:, None, None, :])
        context = merge(operations.product(f"{layer}.attention_context", scores, value))
        x = norm(f"{layer}.attention_norm", dense(f"{layer}.attention_output", context) + x)
        inner = activate(f"{layer}.gelu", dense(f"{layer}.intermediate", x))
        x = norm(f"{layer}.output_norm", dense(f"{layer}.output", inner) + x)
    hidden = np.zeros((b, s, config.hidden), np.float32)
    hidden[at] = x
    return hidden


def _finite(name, x):
    """x (t, h), the hidden states after a layer norm, which keeps every NaN and infinity of its
    inputs as one."""
    if not np.isfinite(x).all():
        wrong = np.count_nonzero(~np.isfinite(x).all(axis=1))
        raise OutOfRangeError(
            f"{name}: the hidden states of {wrong} of {len(x)} tokens are not finite; look at the "
            f"weights of {name.rpartition('.')[0]} in the checkpoint and at its layer_norm_eps"
        )
    return x


def pool(hidden, attention_mask, pooling, pooler=None):
    """One vector per sentence: hidden (b, s, h) -> (b, h).

    "mean" over the real tokens, "cls": the first token, "pooler": tanh(W x_first + b) with `pooler`
    = (W, b), which is `model.matrix("pooler")`.
    """
    if pooling == "mean":
        mask = np.asarray(attention_mask, dtype=np.float32)[:, :, None]
        return (hidden * mask).sum(axis=1) / mask.sum(axis=1)
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "pooler" and pooler is not None:
        weight, bias = pooler
        return np.tanh(hidden[:, 0] @ weight.T + bias)
    raise OutOfRangeError(
        f"pooling is {pooling!r}; allowed are 'mean', 'cls' and, with the pooler's weights, 'pooler'"
    )


def sentence_features(model, hidden, attention_mask, pooling="auto"):
    """Sentence vectors (b, h): "auto" pools as the checkpoint states; normalised if it says so."""
    pooling = model.config.pooling if pooling == "auto" else pooling
    features = pool(
        hidden, attention_mask, pooling, model.matrix("pooler") if pooling == "pooler" else None
    )
    if model.config.normalize:
        length = np.linalg.norm(features, axis=1, keepdims=True)
        if not length.all():
            raise OutOfRangeError(
                f"{np.count_nonzero(length == 0)} sentences have features of 0, which cannot be "
                "normalised; look at the weights of the last layer norm of the checkpoint"
            )
        features = features / length
    return features


def _checked(config, token_ids, attention_mask):
    token_ids, mask = np.asarray(token_ids), np.asarray(attention_mask).astype(bool)
    if token_ids.ndim != 2 or token_ids.dtype.kind not in "iu" or mask.shape != token_ids.shape:
        raise ShapeError(
            f"token_ids has shape {token_ids.shape} and type {token_ids.dtype}, attention_mask shape "
            f"{mask.shape}; both must be (sentences, positions), ids of an integer type"
        )
    longest = config.positions - config.position_offset
    if token_ids.shape[1] > longest:
        raise ShapeError(
            f"{token_ids.shape[1]} tokens in a sentence; the model has {longest} positions: truncate"
        )
    if not mask.any(axis=1).all():
        empty = int(np.argmin(mask.any(axis=1)))
        raise ShapeError(
            f"sentence {empty} of the batch has no token; every sentence needs at least one"
        )
    ids = token_ids[mask]
    if ids.size and not 0 <= ids.min() <= ids.max() < config.vocabulary:
        raise OutOfRangeError(
            f"token ids from {ids.min()} to {ids.max()}; the vocabulary has entries 0 to "
            f"{config.vocabulary - 1}: the tokenizer belongs to another checkpoint"
        )
    return token_ids, mask


def _embed_tokens(model, ids, positions):
    """Sum of the embeddings of tokens (t,) at positions (t,) -> (t, h); every token is of type 0."""
    weights, config = model.weights, model.config
    x = (
        weights["embeddings.word"][ids]
        + weights["embeddings.position"][positions + config.position_offset]
    )
    return x + weights["embeddings.token_type"][0] if config.token_types else x


def _relative_bias(model, s):
    """MPNet's bias on the attention scores, (a, s, s): one value per head and bucket of distance; 0
    for BERT.

    Half of the buckets are for keys to the right; in each half the first half are single distances,
    the rest are spaced logarithmically up to a distance of 128.
    """
    buckets = model.config.relative_buckets
    if not buckets:
        return np.float32(0)
    distance = np.arange(s)[:, None] - np.arange(s)[None, :]  # query - key
    half, exact = buckets // 2, buckets // 4
    far = np.maximum(np.abs(distance), 1) / np.float32(exact)
    far = exact + (
        np.log(far, dtype=np.float32) / np.float32(np.log(128 / exact)) * (half - exact)
    ).astype(np.int64)
    bucket = np.where(
        np.abs(distance) < exact, np.abs(distance), np.minimum(far, half - 1)
    ) + half * (distance < 0)
    return model.weights["relative_attention_bias"][bucket].transpose(2, 0, 1)


# ---------------------------------------------------------------- many sentences


def batches(token_lists, tokens_per_batch=2048):
    """Indices of the sentences of each batch: of similar length, together at most
    `tokens_per_batch` padded tokens.

    Depends on nothing but the lengths and their order.  A sentence longer than the limit is a batch
    of its own.
    """
    order = sorted(range(len(token_lists)), key=lambda k: (len(token_lists[k]), k))
    result = []
    for k in order:
        if result and (len(result[-1]) + 1) * len(token_lists[k]) <= tokens_per_batch:
            result[-1].append(k)
        else:
            result.append([k])
    return [np.array(batch) for batch in result]


def pad(token_lists):
    """Token lists -> (token_ids (b, s) int64, attention_mask (b, s) bool), padded with 0."""
    lengths = np.array([len(tokens) for tokens in token_lists])
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    token_ids = np.zeros(mask.shape, np.int64)
    token_ids[mask] = np.concatenate(token_lists)
    return token_ids, mask


def embed(
    model,
    token_lists,
    linear=linear,
    operations=Operations(),
    *,
    pooling="auto",
    tokens_per_batch=2048,
    threads=None,
    progress: Progress = silent,
    description="sentences",
):
    """Sentence features (n, h) float32 of token lists, in their order; batches run on a pool of
    threads.

    Progress is called from the calling thread, after every batch with the number of sentences in
    it. The result does not depend on `threads`.
    """
    groups = batches(token_lists, tokens_per_batch)
    features = np.empty((len(token_lists), model.config.hidden), np.float32)

    def run(group):
        token_ids, mask = pad([token_lists[k] for k in group])
        hidden = encode(model, token_ids, mask, linear, operations)
        features[group] = sentence_features(model, hidden, mask, pooling)
        return len(group)

    done = progress(description, len(token_lists))
    long_first = groups[::-1]  # so that the threads end together
    with worker_threads(threads) as pool_of_threads:
        for count in pool_of_threads.map(run, long_first):
            done(count)
    return features
