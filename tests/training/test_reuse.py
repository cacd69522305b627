"""Which stages of two runs are the same: those that would have come to the same parameters in both."""

import dataclasses

import pytest

from rlsp_jax.rewards import CountdownChecker
from rlsp_jax.training import load_experiment
from rlsp_jax.training.reuse import last_common_stage
from rlsp_jax.training.workdir import stage_folder
from rlsp_jax.verifiers import Countdown
from tests.training.conftest import DEBUG

BASE = load_experiment(DEBUG).experiment
SFT, PPO = BASE.stages
THEIRS = dataclasses.replace(BASE, stages=(SFT, PPO, PPO))


@pytest.fixture
def finished(tmp_path):
    """A workdir in which every stage of THEIRS has come to its end."""
    for index, stage in enumerate(THEIRS.stages):
        (stage_folder(tmp_path, THEIRS, index) / str(stage.num_steps)).mkdir(parents=True)
    return tmp_path


def test_stages_that_learn_from_rewards_are_common_where_responses_are_judged_alike(finished):
    assert last_common_stage(THEIRS, THEIRS, finished) == 2
    for judge in ({"verifier": Countdown(max_answer_bytes=8)}, {"checker": CountdownChecker(max_numbers=4)}):
        assert last_common_stage(dataclasses.replace(THEIRS, **judge), THEIRS, finished) == 0


def test_a_stage_with_critics_is_common_where_the_critics_are(finished):
    model = dataclasses.replace(THEIRS.model, value_hidden=THEIRS.model.value_hidden + 8)
    assert last_common_stage(dataclasses.replace(THEIRS, model=model), THEIRS, finished) == 0
