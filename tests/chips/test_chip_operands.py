"""Every operand of every step, listed one value at a time from the definition of a transformer
layer.
"""

import pytest
from chip_cases import approx, edited

from xbarsim.chips.load import load_chip
from xbarsim.chips.rollup import roll_up
from xbarsim.models.shapes import Shape, load_shape

SMALL = Shape(layers=2, hidden=8, heads=2, intermediate=12)
TOKENS = 5


def operand_lists(shape, tokens):
    """{step: (values read first, values of the other operand, values written)} of one layer and
    one sequence.

    Every list names single values: a query is ("q", token, feature), a score ("score", head, token,
    other token).
    """
    t, h, f = range(tokens), range(shape.hidden), range(shape.intermediate)
    heads = range(shape.heads)

    def vectors(name, width):
        return {(name, token, k) for token in t for k in width}

    scores = {("score", head, token, other) for head in heads for token in t for other in t}
    weights = {("weight", *score[1:]) for score in scores}
    return {
        "attention_scores": (vectors("q", h), vectors("k", h), scores),
        "attention_softmax": (scores, set(), weights),
        "attention_context": (weights, vectors("v", h), vectors("context", h)),
        "attention_norm": (vectors("attention", h), vectors("input", h), vectors("normed", h)),
        "gelu": (vectors("wide", f), set(), vectors("active", f)),
        "output_norm": (vectors("output", h), vectors("normed", h), vectors("result", h)),
    }


def moved_bits(found, role, step):
    """Bits of one sequence that a role moves in a step of the first layer, of all that belongs to
    it.
    """
    component = dict((part.role, each) for part, each in found.chip.parts)[role]
    width = component.bits if component.action in ("access", "flit") else 1
    result = roll_up(found, "small", TOKENS, 3, shape=SMALL)
    return result.events.get((role, f"layer.0.{step}"), 0) * width


@pytest.mark.parametrize("step", operand_lists(SMALL, TOKENS))
def test_host_steps_take_every_operand_over_the_link(step):
    """The residual of a norm stays on the host, which computed it (or gave it as the model's
    input).
    """
    first, second, written = operand_lists(SMALL, TOKENS)[step]
    crossing = len(first) + len(written) + (0 if step.endswith("norm") else len(second))
    for found, bits in ((load_chip("isaac"), 16), (on_the_host("synergy"), 8)):
        assert moved_bits(found, "link", step) == approx(crossing * bits)


def on_the_host(name):
    steps = dict.fromkeys(("attention", "softmax", "layer_norm", "gelu"), "host")
    return edited(name, operations=steps)


@pytest.mark.parametrize("name", ["multibit", "synergy"])
@pytest.mark.parametrize("step", operand_lists(SMALL, TOKENS))
def test_steps_on_the_chip_move_every_operand_through_the_buffer(step, name):
    values = sum(len(each) for each in operand_lists(SMALL, TOKENS)[step])
    assert moved_bits(load_chip(name), "buffer", step) == approx(values * 8)


@pytest.mark.parametrize(
    ("step", "second"), [("attention_scores", "k"), ("attention_context", "v")]
)
def test_written_keys_and_values_reach_their_tiles(step, second):
    """Into the buffer of a tile and out of it, over its bus, and through `hops` routers."""
    found = edited("multibit", operations={"attention": "written"}, organisation={"hops": 3.0})
    values = operand_lists(SMALL, TOKENS)[step][1]
    assert {value[0] for value in values} == {second}
    bits = 8 * len(values)
    assert moved_bits(found, "buffer", f"{step}.write") == approx(2 * bits)
    assert moved_bits(found, "bus", f"{step}.write") == approx(bits)
    assert moved_bits(found, "router", f"{step}.write") == approx(3 * bits)


@pytest.mark.parametrize("tokens", [128, 512])
def test_link_energy_of_attention_on_the_host(tokens):
    """bert-large on `isaac`: q, k and scores; scores and weights; weights, v and context; norms
    and GELU; 16 bits each.
    """
    shape, h = load_shape("bert-large"), 1024
    found = load_chip("isaac")
    result = roll_up(found, "bert-large", tokens, 1)
    square = 16 * tokens  # scores of one token
    attention = (2 * h + square) + 2 * square + (square + 2 * h)
    values = shape.layers * (attention + 2 * 2 * h + 2 * 4096) + 2 * h
    crossings = sum(
        count
        for (role, name), count in result.events.items()
        if role == "link" and name.endswith(("query", "key", "value", "output", "intermediate"))
    )
    link = found.chip.by_role["link"][1]
    assert result.by_component()["link"] == approx((values * 16 * tokens + crossings) * link.energy)
    if tokens == 512:
        assert result.by_component()["link"] == pytest.approx(498e-3, abs=0.5e-3)
