"""When the steps of a model run: streams, barriers, and a simulation of every token."""

import numpy as np
from chip_cases import lower

from xbarsim.chips.load import load_chip
from xbarsim.chips.schedule import Stage, schedule
from xbarsim.models.shapes import load_shape, operations


def stage(name, service, fill, *after, resource=None, tokens=6):
    return Stage(name, 0, tokens, service, fill, resource or name, after, {})


def test_a_stage_streams_from_one_and_waits_for_another():
    chain = schedule([stage("a", 2, 5), stage("b", 3, 4, ("a", False))])
    assert (
        chain.latency == 5 + 4 + 5 * 3 and chain.interval == 6 * 3
    )  # b is slower: fills, then its own pace
    assert schedule([stage("a", 3, 5), stage("b", 2, 4, ("a", False))]).latency == 5 + 5 * 3 + 4
    barrier = schedule([stage("a", 2, 5), stage("b", 3, 4, ("a", True))])
    assert barrier.latency == (5 + 5 * 2) + (4 + 5 * 3)
    shared = schedule([stage("a", 2, 2, resource="pool"), stage("b", 3, 3, resource="pool")])
    assert shared.latency == 6 * 2 + 6 * 3 == shared.interval


def test_schedule_against_a_simulation_of_every_token():
    """Random pipelines of dedicated stages, several jobs; the slow twin moves every token of every
    job by itself.
    """
    rng = np.random.default_rng(5)
    for _ in range(40):
        tokens, jobs = int(rng.integers(1, 9)), int(rng.integers(1, 5))
        stages = []
        for k in range(6):
            after = tuple(
                (f"s{j}", bool(rng.random() < 0.4))
                for j in range(k)
                if rng.random() < 0.5 or j == k - 1
            )
            service = float(rng.integers(1, 6))
            stages.append(
                stage(f"s{k}", service, service + float(rng.integers(0, 4)), *after, tokens=tokens)
            )
        out, ready = {}, {s.name: 0.0 for s in stages}
        for job in range(jobs):
            for s in stages:
                leaves = []
                for token in range(tokens):
                    arrives = max(
                        [out[job, name][-1 if waits else token] for name, waits in s.after],
                        default=0.0,
                    )
                    enters = max(arrives, ready[s.name])
                    ready[s.name] = enters + s.service
                    leaves.append(enters + s.fill)
                out[job, s.name] = leaves
        timing = schedule(stages)
        assert timing.latency == max(out[0, s.name][-1] for s in stages)
        assert timing.of(jobs) == max(out[jobs - 1, s.name][-1] for s in stages)


def test_bidirectional_attention_waits_and_causal_attention_streams():
    shape = load_shape("bert-base")
    steps = {op.name: op for op in operations(shape, 16)}
    assert dict(steps["layer.3.attention_scores"].after) == {
        "layer.3.query": False,
        "layer.3.key": True,
    }
    assert dict(steps["layer.3.query"].after) == {"layer.2.output_norm": False}
    assert sum(op.macs for op in steps.values()) == shape.matrix_weights + 12 * 2 * 16 * 768
    causal = shape.model_copy(update={"attention": "causal"})
    chip = load_chip("multibit").chip
    assert (
        schedule(lower(chip, causal, 64, 1).stages).latency
        < schedule(lower(chip, shape, 64, 1).stages).latency
    )
