"""Two stages of a kind in one run: the later one repeats nothing of the earlier one."""

import dataclasses

import jax
import pytest

from rlsp_jax.data import Countdown
from rlsp_jax.evaluation import Responder
from rlsp_jax.training import load_experiment, train
from tests.training.conftest import DEBUG

DEMONSTRATIONS = (40, 24)
STEPS, PROMPTS = (2, 2), (8, 4)  # of the two stages of PPO, which have the same number of rows


def four_stages():
    sft, ppo = load_experiment(DEBUG).experiment.stages
    imitate = [dataclasses.replace(sft, num_steps=1, num_demonstrations=count) for count in DEMONSTRATIONS]
    explore = [
        dataclasses.replace(
            ppo, num_steps=steps, prompts_per_step=prompts, samples_per_prompt=8 // prompts, minibatch_size=8, epochs=1
        )
        for steps, prompts in zip(STEPS, PROMPTS, strict=True)
    ]
    return (*imitate, *explore)


@pytest.mark.slow
def test_stages_of_a_kind_share_no_problem_and_no_rollout_key(open_debug, monkeypatch):
    asked, keys = {"demonstrations": [], "train": []}, []
    draw, generate = Countdown.problems, Responder.generate

    def problems(self, split, start, count):
        asked[split].extend(range(start, start + count))
        return draw(self, split, start, count)

    def generated(self, policy, prompts, key):
        keys.append(tuple(jax.random.key_data(key).tolist()))
        return generate(self, policy, prompts, key)

    with open_debug(stages=four_stages(), evals=()) as run:
        monkeypatch.setattr(Countdown, "problems", problems)
        monkeypatch.setattr(Responder, "generate", generated)
        train.run_stages(run)
    assert asked["demonstrations"] == list(range(sum(DEMONSTRATIONS)))
    assert asked["train"] == list(range(sum(s * p for s, p in zip(STEPS, PROMPTS, strict=True))))
    assert len(set(keys)) == len(keys) == sum(STEPS)
