import dataclasses
import math
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.algorithms import expert_iteration, sft
from rlsp_jax.algorithms.expert_iteration import Config, Patience, begin_round, init_state, is_enough, select
from rlsp_jax.algorithms.self_imitation import EachRound, in_rounds, measure
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import operations
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Cosine
from tests.algorithms.batches import MODEL, parameters
from tests.algorithms.draws import make_draw
from tests.algorithms.test_sft import packed

CONFIG = Config(
    rounds=3, steps_per_round=2, batch_size=4, row_length=12, optimizer=AdamW(Cosine(1e-2, 2), weight_decay=0.1)
)


def random_rounds(seed: int):
    """Three rounds of draws, of few problems and few solutions, so that both come again."""
    rng = random.Random(seed)
    rounds, number = [], 0
    for _ in range(3):
        drawn = []
        for _ in range(6):
            question = f"question {rng.randrange(5)}\n"
            for sample in range(4):
                a, b = rng.randrange(3), rng.randrange(2)
                text = f"{rng.choice(['try ', 'so '])}{a}+{b}={a + b}\nanswer: {a}+{b}"
                verdict = rng.choice(["correct", "correct", "wrong", "unknown"])
                stop = rng.choice(["eos", "eos", "eos", "length"])
                drawn.append(make_draw(number, sample, verdict, text, question=question, stop_reason=stop))
            number += 1
        rounds.append(drawn)
    return rounds


def slow_select(rounds, keep):
    """Draw by draw, in a list: kept unless the same problem has the same solution already, or enough of them."""
    kept = []
    for drawn in rounds:
        for draw in drawn:
            siblings = [other for other in kept if other.question == draw.question]
            known = [operations(other.response) for other in siblings]
            if draw.verdict == "correct" and draw.stop_reason != "length" and operations(draw.response) not in known:
                if keep is None or len(siblings) < keep:
                    kept.append(draw)
    return kept


@pytest.mark.parametrize("keep", [None, 1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_kept_equals_a_slow_version(seed, keep):
    rounds = random_rounds(seed)
    for so_far in range(1, 4):
        ours, theirs = select(rounds[:so_far], keep), slow_select(rounds[:so_far], keep)
        assert sorted((d.problem, d.sample) for d in ours) == sorted((d.problem, d.sample) for d in theirs)


def test_a_round_adds_to_what_the_rounds_before_it_kept():
    rounds = random_rounds(1)
    first, both = ({(d.problem, d.sample) for d in select(rounds[:n], 3)} for n in (1, 2))
    assert first < both


def test_wrong_and_unknown_and_cut_off_responses_are_never_imitated():
    draws = [make_draw(n, 0, verdict, stop_reason=stop) for n, (verdict, stop) in enumerate(
        [("correct", "eos"), ("wrong", "eos"), ("unknown", "eos"), ("correct", "length"), ("correct", "stop")]
    )]  # fmt: skip
    assert [draw.problem for draw in select([draws], None)] == [0, 4]
    assert CONFIG.examples([draws]) == [(draws[n].question, draws[n].tokens) for n in (0, 4)]


def test_nothing_right_is_one_clear_sentence():
    with pytest.raises(UserError, match=r"^None of the 2 responses drawn so far was right"):
        CONFIG.examples([[make_draw(0, 0, "wrong"), make_draw(1, 0, "unknown")]])


def test_the_figures_of_a_round_leave_unknown_verdicts_out():
    draws = [
        make_draw(0, 0, "correct", "3+4=7"),
        make_draw(0, 1, "correct", "3 + 4 = 7"),  # the same solution
        make_draw(0, 2, "correct", "4+3=7"),
        make_draw(1, 0, "correct", "5+1=6"),
        make_draw(2, 0, "wrong", "5+1=6", stop_reason="length"),
        make_draw(3, 0, "unknown", "1+1=2"),
    ]
    assert measure(draws) == {
        "draws/accuracy": 4 / 5,
        "draws/unknown": 1.0,
        "draws/solved": 2 / 4,
        "draws/distinct": (2 + 1) / 2,
        "draws/length": sum(draw.num_tokens for draw in draws) / 6,
        "draws/truncated": 1 / 6,
    }
    assert math.isnan(measure([make_draw(0, 0, "unknown")])["draws/accuracy"])


def test_a_round_in_which_nothing_is_drawn_has_figures_too():
    """As where a stop rule keeps all problems of a small set."""
    figures = measure([])
    assert figures.pop("draws/unknown") == 0
    assert all(math.isnan(value) for value in figures.values()) and len(figures) == 5


@pytest.mark.parametrize(
    ("patience", "accuracies", "rounds"),
    [
        (1, [0.2, 0.3, 0.3, 0.4], 3),  # as good as the best is no improvement
        (2, [0.2, 0.3, 0.3, 0.4, 0.4, 0.4, 0.5], 6),
        (1, [0.2, 0.1], 2),
        (2, [0.2, 0.1, 0.2], 3),
        (3, [0.5, 0.1, 0.2, 0.3], 4),
        (1, [0.1, 0.2, 0.3], None),
        (1, [0.2, math.nan], 2),  # nothing known is no improvement
        (1, [math.nan, 0.2, 0.1], 3),
    ],
)
def test_the_stop_rule_waits_as_many_rounds_without_improvement_as_it_is_told(patience, accuracies, rounds):
    stopped = [n for n in range(1, len(accuracies) + 1) if is_enough(Patience(patience), accuracies[:n])]
    assert (stopped[0] if stopped else None) == rounds
    assert not is_enough(None, accuracies)


def test_the_learning_rate_begins_anew_every_round():
    schedule = Cosine(1.0, 5, warmup_steps=2)
    ours = [float(EachRound(schedule, 5)(step)) for step in range(15)]
    assert ours == [float(schedule(step)) for step in range(5)] * 3


UPDATE = sft.make_update_fn(MODEL, in_rounds(CONFIG))


def train(config: Config, rounds: int):
    """The state after so many rounds of two updates."""
    state = init_state(config, parameters())
    for _ in range(rounds):
        state = begin_round(config, state)
        for seed in range(2):
            state, _ = UPDATE(state, packed(seed))
    return state


def test_a_round_that_restarts_is_the_first_round_again_bit_for_bit():
    one, three = train(CONFIG, 1), train(CONFIG, 3)
    jax.tree.map(np.testing.assert_array_equal, one.params, three.params)
    jax.tree.map(np.testing.assert_array_equal, one.opt_state, three.opt_state)
    jax.tree.map(np.testing.assert_array_equal, three.reference, parameters()["policy"])
    assert int(three.step) == 6  # of the stage, whatever the round


def test_a_round_that_goes_on_begins_with_the_policy_of_the_round_before_and_moments_of_its_own():
    config = dataclasses.replace(CONFIG, restart=False)
    state = train(config, 1)
    again = begin_round(config, state)
    jax.tree.map(np.testing.assert_array_equal, again.params, state.params)
    jax.tree.map(np.testing.assert_array_equal, again.opt_state, init_state(config, parameters()).opt_state)
    assert again.reference == ()
    changed = jax.tree.map(
        lambda a, b: bool(jnp.any(a != b)), train(config, 2).params["policy"], state.params["policy"]
    )
    assert any(jax.tree.leaves(changed))


def test_the_remembered_start_survives_updates_that_donate_their_state():
    state = init_state(CONFIG, parameters())
    old = jax.tree.leaves(state.params["policy"])
    UPDATE(state, packed())
    assert all(leaf.is_deleted() for leaf in old)
    again = init_state(CONFIG, parameters())
    after, _ = UPDATE(begin_round(CONFIG, again), packed())
    jax.tree.map(np.testing.assert_array_equal, after.reference, parameters()["policy"])


def test_an_eval_on_the_way_looks_at_the_ends_of_rounds():
    assert [step for step in range(7) if CONFIG.watched(step, every=1)] == [0, 2, 4, 6]
    assert CONFIG.num_steps == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rounds": 0}, r"^rounds is 0; it must be at least 1\.$"),
        ({"keep_per_problem": 0}, r"^keep_per_problem is 0"),
        ({"steps_per_round": 0}, r"^steps_per_round is 0"),
        ({"problems_per_round": 0}, r"^problems_per_round is 0"),
        ({"draw_size": 12}, r"^draw_size = 12 is not a multiple of samples_per_prompt = 8\.$"),
        ({"micro_batches": 3}, r"^batch_size = 4 is not a multiple of micro_batches = 3\.$"),
        ({"sampling": SamplingConfig(temperature=0.0)}, r"all responses to a problem are the same"),
        ({"max_bad_steps": 0}, r"^max_bad_steps is 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(CONFIG, **changes)


def test_a_stop_rule_that_makes_no_sense_is_one_clear_sentence():
    with pytest.raises(UserError, match=r"^stop has rounds = 0 and problems = 256"):
        expert_iteration.Patience(rounds=0)
