"""Heads that turn sentence features into predictions."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import AnyArray, Floats, Singles
from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.workers import one_blas_thread

HEADS = {"pairs": ("cosine",), "labels": ("classifier", "probe")}
PROBE_C = 10.0  # weight of the data against that of small weights


@dataclass(frozen=True)
class Head:
    """What makes predictions of sentence features: `kind` "cosine" (of pairs), "classifier" (the
    checkpoint's own) or "probe" (a logistic regression fitted to `examples` training sentences);
    `weight` (classes, h) and `bias`.
    """

    kind: str
    weight: Singles | None = None
    bias: Singles | None = None
    examples: int = 0

    def outputs(self, features: Singles) -> Singles:
        """Cosines (n,) of features (2n, h) in the order of `Task.texts`, or logits (n, classes) of
        (n, h).

        Raises
        ------
        OutOfRangeError : a feature or a result that is not a finite number, such as the cosine with
            a zero
        """
        if not np.isfinite(features).all():
            wrong = np.count_nonzero(~np.isfinite(features).all(axis=1))
            raise OutOfRangeError(
                f"{wrong} of {len(features)} sentence features are not finite; look at the "
                "weights of the checkpoint, its layer_norm_eps and its pooling"
            )
        outputs = self._outputs(features)
        if not np.isfinite(outputs).all():
            raise OutOfRangeError(
                f"{np.count_nonzero(~np.isfinite(outputs))} outputs of the head {self.kind!r} are "
                "not finite; look at its weights (a probe is fitted again with an empty cache)"
            )
        return outputs

    def _outputs(self, features: Singles) -> Singles:
        if self.weight is None or self.bias is None:
            return self._cosines(features[::2], features[1::2])
        outputs: Singles = features @ self.weight.T + self.bias
        return outputs

    @staticmethod
    def _cosines(a: Singles, b: Singles) -> Singles:
        without = ~(a.any(axis=1) & b.any(axis=1))
        if without.any():
            raise OutOfRangeError(
                f"{np.count_nonzero(without)} pairs have a sentence whose features are all "
                "0, which has no cosine; look at the weights of the last layer norm"
            )
        first = a / np.linalg.norm(a, axis=1, keepdims=True)
        second = b / np.linalg.norm(b, axis=1, keepdims=True)
        cosines: Singles = np.einsum("nh,nh->n", first, second)
        return cosines

    def predict(self, features: Singles) -> AnyArray:
        """Scores (n,) of pairs, or class indices (n,)."""
        outputs = self.outputs(features)
        if self.kind == "cosine":
            return outputs
        classes: AnyArray = outputs.argmax(axis=1)
        return classes


def fit_logistic(features: Singles, targets: AnyArray, classes: int) -> tuple[Singles, Singles]:
    """Multinomial logistic regression: minimises PROBE_C · Σ cross-entropy + |W|² / 2 (the
    bias is free) by L-BFGS.

    features (n, h), targets (n,) int -> weight (classes, h), bias (classes,) float32.
    Deterministic: starts at 0.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    x = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    truth = np.eye(classes)[targets]
    penalised = np.r_[np.ones(x.shape[1] - 1), 0.0]

    def objective(flat: Floats) -> tuple[float, Floats]:
        w = flat.reshape(classes, -1)
        logits = x @ w.T
        norm = logsumexp(logits, axis=1, keepdims=True)
        likelihood = norm.sum() - (logits * truth).sum()
        loss = PROBE_C * likelihood + 0.5 * (penalised * w * w).sum()
        gradient = PROBE_C * (np.exp(logits - norm) - truth).T @ x + penalised * w
        return loss, gradient.ravel()

    with one_blas_thread():  # faster at this size, too
        found = minimize(
            objective,
            np.zeros(classes * x.shape[1]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-6 * PROBE_C},
        )
    w = found.x.reshape(classes, -1).astype(np.float32)
    return w[:, :-1], w[:, -1]
