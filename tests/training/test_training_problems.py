"""A stage learns from the problems that are worth it to the policy it begins with, and from no others."""

import dataclasses

import pytest

from rlsp_jax.algorithms import expert_iteration, return_conditioned
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Countdown, Difficulty, Unsolved
from rlsp_jax.records import read_json
from rlsp_jax.training import load_experiment, problems
from rlsp_jax.training.problems import Kept, choose, problems_before, training_problems
from rlsp_jax.training.stage import StageRun
from tests.algorithms.draws import make_draw
from tests.training.conftest import DEBUG
from tests.training.test_stage import state

EXPERIMENT = load_experiment(DEBUG).experiment
SFT, PPO = EXPERIMENT.stages
RATES = {0: (0, 16), 1: (1, 16), 2: (4, 16), 3: (5, 16), 4: (16, 16), 5: (0, 0), 6: (1, 3), 7: (1, 4)}  # right, known


def scripted(run, responder, policy, asked, key, file, *, samples, greedy):
    """Draws whose verdicts are those of RATES, repeated; unknown ones fill up."""
    draws = []
    for problem in asked:
        right, known = RATES[problem.number % 8]
        verdicts = ["correct"] * right + ["wrong"] * (known - right) + ["unknown"] * (16 - known)
        for sample in range(samples):
            draws.append(make_draw(problem.number, sample, verdicts[sample], question=problem.question))
    return draws


@pytest.fixture
def choices(run, monkeypatch):
    """`choices(select)`: what the stage of PPO chooses, the verdicts being scripted; and how often it asked."""
    asked = []

    def draw(*arguments, **options):
        asked.append(options)
        return scripted(*arguments, **options)

    monkeypatch.setattr(problems, "draw_responses", draw)

    def choices(select):
        config = dataclasses.replace(PPO, select=select)
        stage = StageRun(run, 1, config, state(0, 0.0), log_every=1, save_every=100)
        return *training_problems(stage, config), asked

    return choices


def test_difficulty_keeps_exactly_the_problems_whose_pass_rate_lies_above_0_and_not_above_the_highest(choices, run):
    source, metrics, asked = choices(Difficulty(24, highest=0.3))
    assert isinstance(source, Kept)
    assert {problem.number % 8 for problem in source.kept} == {1, 2, 7}
    assert asked == [{"samples": 16, "greedy": False}]
    written = read_json(run.workdir / "draws" / "ppo" / "selected.json")
    assert written["kept"] == [problem.number for problem in source.kept]
    assert {int(n): rate for n, rate in written["pass_rates"].items()} == {
        n: (RATES[n % 8][0] / RATES[n % 8][1] if RATES[n % 8][1] else None) for n in map(int, written["pass_rates"])
    }
    assert metrics["select/samples"] == 16 * len(written["pass_rates"]) and metrics["select/tokens"] > 0


def test_unsolved_drops_exactly_the_problems_whose_greedy_response_is_right(choices):
    source, _, asked = choices(Unsolved(24))
    assert {problem.number % 8 for problem in source.kept} == {0, 5}
    assert asked == [{"samples": 1, "greedy": True}]


def test_a_choice_is_made_once_and_read_ever_after(choices, monkeypatch):
    first, _, asked = choices(Difficulty(24))
    monkeypatch.setattr(problems, "draw_responses", None)  # not to be called
    again, _, _ = choices(Difficulty(24))
    assert again == first and len(asked) == 1


def test_a_stage_that_has_no_step_left_chooses_nothing(run, monkeypatch):
    """As one that was taken over from another run: the policy it begins with is not there to be asked."""
    monkeypatch.setattr(problems, "draw_responses", None)  # not to be called
    config = dataclasses.replace(PPO, select=Difficulty(24))
    stage = StageRun(run, 1, config, state(0, 0.0), log_every=1, save_every=100)
    stage.done = stage.end
    source, metrics = training_problems(stage, config)
    assert source is run.experiment.problems and not metrics
    assert not (run.workdir / "draws").exists()


def test_a_choice_that_was_learned_from_and_is_gone_is_one_clear_sentence(run):
    """Another policy than the one that the stage began with would choose other problems."""
    config = dataclasses.replace(PPO, select=Difficulty(24))
    stage = StageRun(run, 1, config, state(0, 0.0), log_every=1, save_every=100)
    stage.done = 1
    with pytest.raises(UserError, match=r"candidates\.jsonl has lost responses that this run has learned from"):
        training_problems(stage, config)


def test_without_a_choice_all_problems_are_trained_on(choices, run):
    source, metrics, asked = choices(None)
    assert source is run.experiment.problems and not metrics and not asked


def test_nothing_left_is_one_clear_sentence(choices):
    with pytest.raises(UserError, match=r"None of the \d+ candidates of stage 'ppo' is left by Difficulty\("):
        choices(Difficulty(24, highest=0.01))


def test_kept_problems_come_in_a_new_order_each_epoch_and_under_a_new_number_each_time():
    source = Countdown()
    kept = Kept(source, tuple(source.problems("train", 0, 5)), (0, 1))
    walk = kept.problems("train", 0, 15)
    assert [problem.number for problem in walk] == list(range(15))
    epochs = [tuple(problem.question for problem in walk[start : start + 5]) for start in (0, 5, 10)]
    assert len(set(epochs)) == 3 and len({frozenset(epoch) for epoch in epochs}) == 1
    assert kept.problems("train", 7, 3) == walk[7:10] and kept.epoch_size() == 5
    assert kept.heldout(3) == source.heldout(3) and kept.problems("demonstrations", 0, 2) == source.problems(
        "demonstrations", 0, 2
    )
    assert {problem.question: problem.truth for problem in walk} == {p.question: p.truth for p in kept.kept}


def test_the_rate_is_of_known_verdicts_alone():
    draws = [make_draw(3, k, verdict) for k, verdict in enumerate(["correct", "wrong", "unknown", "unknown"])]
    assert choose(Difficulty(1, highest=0.5), draws)["pass_rates"] == {"3": 0.5}
    assert choose(Difficulty(1, highest=0.5), draws)["kept"] == [3]


def test_a_stage_begins_behind_the_problems_of_all_stages_before_it():
    iterate = expert_iteration.Config(rounds=2, problems_per_round=10, stop=expert_iteration.Patience(problems=7))
    condition = return_conditioned.Config(num_problems=30)
    chosen = dataclasses.replace(PPO, select=Difficulty(50))
    stages = (SFT, PPO, iterate, condition, chosen, SFT, PPO)
    experiment = dataclasses.replace(EXPERIMENT, stages=stages)
    sizes = (0, PPO.num_steps * PPO.prompts_per_step, 27, 30, 50, 0)
    assert [problems_before(experiment, i) for i in range(7)] == [sum(sizes[:i]) for i in range(7)]
