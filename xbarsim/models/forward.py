"""What the forward passes of all transformers share: every step of a graph through a hook."""

from typing import Protocol

import numpy as np

from xbarsim.base.array_types import Booleans, Singles
from xbarsim.base.errors import OutOfRangeError
from xbarsim.models.attention import Places
from xbarsim.models.graph import Graph, Role, Step
from xbarsim.models.operations import ACTIVATIONS, NORMS, Hook, Norm, linear, product
from xbarsim.models.operations import softmax as float32_softmax


class Settings(Protocol):
    """What the steps need to know of a configuration."""

    @property
    def heads(self) -> int: ...
    @property
    def key_value_heads(self) -> int: ...
    @property
    def head_width(self) -> int: ...
    @property
    def activation(self) -> str: ...
    @property
    def norm(self) -> Norm: ...
    @property
    def norm_epsilon(self) -> float: ...


class Weights(Protocol):
    """What the steps need of a model."""

    @property
    def config(self) -> Settings: ...
    @property
    def graph(self) -> Graph: ...
    def matrix(self, name: str) -> tuple[Singles, Singles]: ...


class Forward:
    """One batch on its way through the steps of a model.

    Shapes: t real tokens of all b sequences, s positions of the longest, h hidden width, a heads, g
    heads of keys and values (a is a multiple of g), d width of a head.
    """

    def __init__(self, model: Weights, places: Places, visible: Booleans, hook: Hook) -> None:
        """visible : what every token sees, broadcast to (b, a, s, s)"""
        self.model = model
        self.config = model.config
        self.places = places
        self.visible = visible
        self.hook = hook

    def dense(self, step: Step, x: Singles) -> Singles:
        """(t, in) -> (t, out)."""
        weight, bias = self.model.matrix(step.name)
        return self.hook(step, linear, x, weight, bias, rows=self.places.rows)

    def norm(self, step: Step, x: Singles) -> Singles:
        """(t, h) -> (t, h).

        Raises
        ------
        OutOfRangeError : the result is not finite; a norm keeps every NaN and infinity of its
            inputs as one
        """
        weight, bias = self.model.matrix(step.name)
        epsilon = self.config.norm_epsilon
        reference = NORMS[self.config.norm]
        found = self.hook(step, reference, x, weight, bias, epsilon, rows=self.places.rows)
        if not np.isfinite(found).all():
            wrong = np.count_nonzero(~np.isfinite(found).all(axis=1))
            raise OutOfRangeError(
                f"{step.name}: the hidden states of {wrong} of {len(found)} tokens are not finite; "
                f"look at the weights of {_place(step)} in the checkpoint and at its epsilon of "
                "norms (layer_norm_eps, rms_norm_eps)"
            )
        return found

    def attention(self, steps: dict[Role, Step], x: Singles) -> Singles:
        """Attention of one layer: (t, h) -> (t, h)."""
        config = self.config
        query = self.places.split(self.dense(steps[Role.QUERY], x), config.heads)
        key = self.places.split(self.dense(steps[Role.KEY], x), config.key_value_heads)
        value = self.places.split(self.dense(steps[Role.VALUE], x), config.key_value_heads)
        scores_step = steps[Role.ATTENTION_SCORES]
        query, key, value = self.placed(scores_step, query, key, value)
        scores = self.multiply(scores_step, query, key.swapaxes(-1, -2))
        scores = self.scaled(scores)
        weights = self.softmax(steps[Role.ATTENTION_SOFTMAX], scores)
        context = self.multiply(steps[Role.ATTENTION_CONTEXT], weights, value)
        return self.dense(steps[Role.ATTENTION_OUTPUT], self.places.merge(context))

    def placed(
        self, step: Step, query: Singles, key: Singles, value: Singles
    ) -> tuple[Singles, Singles, Singles]:
        """Queries (b, a, s, d), keys and values (b, g, s, d) as they enter attention, all (b, a, s,
        d): where positions turn them, and a cache adds earlier ones.
        """
        return query, key, value

    def scaled(self, scores: Singles) -> Singles:
        """Scores (b, a, s, s) as they enter the softmax."""
        return scores * np.float32(self.config.head_width**-0.5)

    def feed_forward(self, steps: dict[Role, Step], x: Singles) -> Singles:
        """(t, h) -> (t, h)."""
        inner = self.dense(steps[Role.INTERMEDIATE], x)
        if Role.GATE in steps:
            gate = self.dense(steps[Role.GATE], x)
            inner = self.activate(steps[Role.ACTIVATION], gate) * inner
        else:
            inner = self.activate(steps[Role.ACTIVATION], inner)
        return self.dense(steps[Role.OUTPUT], inner)

    def multiply(self, step: Step, a: Singles, b: Singles) -> Singles:
        return self.hook(step, product, a, b, rows=self.places.rows)

    def softmax(self, step: Step, x: Singles) -> Singles:
        return self.hook(step, float32_softmax, x, self.visible, rows=self.places.rows)

    def activate(self, step: Step, x: Singles) -> Singles:
        activation = ACTIVATIONS[self.config.activation]
        return self.hook(step, activation, x, rows=self.places.rows)


def _place(step: Step) -> str:
    """Where in a checkpoint the weights before a norm are."""
    if step.layer is not None:
        return f"layer.{step.layer}"
    return "the embeddings" if step.role is Role.EMBEDDINGS_NORM else "the last layer"
