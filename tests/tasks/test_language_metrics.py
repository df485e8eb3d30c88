"""Metrics of predicted tokens by hand, and how often their intervals hold the truth."""

import numpy as np
import pytest

from xbarsim.tasks.language_files import LanguageKind
from xbarsim.tasks.language_metrics import (
    Predicted,
    Sequences,
    by_position,
    language_change,
    language_metrics,
    right_ones,
)


def text_of(windows, length):
    """Sequences of a text, every window with so many predictions."""
    return Sequences(
        kind=LanguageKind.TEXT,
        label=np.zeros(windows, int),
        index=np.arange(windows),
        size=np.full(windows, length),
        example=np.repeat(np.arange(windows), length),
        position=np.tile(np.arange(1, length + 1), windows),
    )


def predicted(losses):
    return Predicted(-np.asarray(losses, float), np.zeros(len(losses), bool))


def test_growth_of_the_mean_over_chips_by_hand():
    sequences = text_of(2, 3)
    before = np.array([1.0, 2.0, 3.0, 1.0, 1.0, 4.0])
    chips = [before + 0.1, before + np.array([0.0, 0.4, 0.2, 0.0, 0.6, 0.0])]
    found = language_change(sequences, [*map(predicted, chips)], predicted(before), "perplexity")
    mean = (np.exp(chips[0].mean()) + np.exp(chips[1].mean())) / 2
    np.testing.assert_allclose(found.value, mean / np.exp(before.mean()) - 1, rtol=1e-12)
    same = language_change(sequences, [predicted(before)], predicted(before), "perplexity")
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_one_block_has_no_bounds():
    losses = np.linspace(1, 2, 20)
    (found,) = language_metrics(text_of(1, 20), predicted(losses))
    assert (found.low, found.high) == (1, np.inf)
    grown = language_change(
        text_of(1, 20), [predicted(losses + 1)], predicted(losses), "perplexity"
    )
    assert (grown.low, grown.high) == (-1, np.inf)
    np.testing.assert_allclose(grown.value, np.e - 1, rtol=1e-12)


@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("windows", [4, 20])
def test_the_interval_of_a_growth_holds(chips, windows):
    """Losses that differ much from token to token, and what a chip adds to each, with a memory of
    some ten tokens."""
    rng = np.random.default_rng(11)
    length = 256
    sequences = text_of(windows, length)
    kernel = 0.9 ** np.arange(40)
    hits = 0
    for _ in range(200):
        count = windows * length
        before = rng.gamma(2, 1.5, count)
        shared = 0.05 + 0.05 * np.convolve(rng.standard_normal(count + 39), kernel, "valid")
        own = [shared + 0.1 * rng.standard_normal(count) for _ in range(chips)]
        after = [predicted(before + difference) for difference in own]
        found = language_change(sequences, after, predicted(before), "perplexity")
        hits += found.low <= np.exp(0.05) - 1 <= found.high
    assert 0.9 <= hits / 200 <= 0.99


def test_a_growth_is_known_better_than_the_perplexity():
    rng = np.random.default_rng(1)
    before = rng.gamma(2, 1.5, 2048)
    after = before + 0.05 + 0.1 * rng.standard_normal(2048)
    sequences = text_of(4, 512)
    (whole,) = language_metrics(sequences, predicted(before))
    grown = language_change(sequences, [predicted(after)], predicted(before), "perplexity")
    assert grown.high - grown.low < 0.1 * (whole.high - whole.low) / whole.value


def choices(labels, index, sizes):
    """Sequences of questions with one prediction each."""
    count = len(labels)
    return Sequences(
        kind=LanguageKind.CHOICES,
        label=np.array(labels),
        index=np.array(index),
        size=np.array(sizes),
        example=np.arange(count),
        position=np.ones(count, int),
    )


def test_right_answers_by_hand():
    sequences = choices([0, 1, 1, 0, 1], [7, 7, 3, 3, 9], [2, 8, 4, 4, 1])
    values = Predicted(
        np.array([-2.0, -4.0, -1.0, -1.5, -3.0]), np.array([False, False, True, False, True])
    )
    assert right_ones(sequences, values).tolist() == [False, True, True]
    assert right_ones(sequences, values, "accuracy_normalised").tolist() == [True, True, True]
    accuracy, normalised = language_metrics(sequences, values)
    assert (accuracy.value, normalised.value, accuracy.n) == (2 / 3, 1, 3)


def test_a_pair_that_is_half_done_is_left_out():
    sequences = choices([1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1])
    finished = sequences.finished(np.array([True, True, True, False]))
    assert finished.tolist() == [True, True, False, False]
    rest = sequences.of(finished)
    assert (len(rest), rest.example.tolist(), rest.index.tolist()) == (2, [0, 1], [0, 0])


def test_positions_are_binned_by_powers_of_two():
    sequences = text_of(2, 40)
    losses = np.where(sequences.position < 16, 1.0, 2.0)
    bins = by_position(sequences, predicted(losses))
    assert [(one.first, one.last, one.predictions) for one in bins] == [
        (1, 15, 30),
        (16, 31, 32),
        (32, 63, 18),
    ]
    np.testing.assert_allclose([one.perplexity for one in bins], np.exp([1, 2, 2]), rtol=1e-12)
