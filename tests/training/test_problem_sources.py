"""Problems from files in an experiment: what is wrong with them is met before the first step."""

import dataclasses
from pathlib import Path

import pytest

from rlsp_jax.algorithms import ppo
from rlsp_jax.common.describe import to_dict
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import JSONL
from rlsp_jax.rewards import MathChecker
from rlsp_jax.training import load_experiment
from rlsp_jax.training.checks import check_prompts, check_sizes
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.train import load_tokenizer
from rlsp_jax.verifiers import Countdown, Math
from tests.data.releases import write_lines

DEBUG = load_experiment(Path(__file__).parents[2] / "experiments" / "debug.py").experiment


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    """The debug experiment's rewarded stage on problems from files, 40 to train on and 8 to test on."""
    rows = [{"question": f"{i} + {i} =\n", "answer": 2 * i} for i in range(48)]
    train, test = write_lines(tmp_path / "a.jsonl", rows[:40]), write_lines(tmp_path / "b.jsonl", rows[40:])
    stages = tuple(dataclasses.replace(s, prompts_per_step=8) for s in DEBUG.stages if isinstance(s, ppo.Config))
    evals = tuple(dataclasses.replace(config, problems=8, batch_size=8) for config in DEBUG.evals)
    source = JSONL(train=train, test=test)
    judges = dict(checker=MathChecker(), verifier=Math())
    return dataclasses.replace(DEBUG, problems=source, **judges, stages=stages, evals=evals)


def test_a_tokenizer_without_demonstrations_is_trained_on_the_questions(experiment, tmp_path):
    tokenizer = load_tokenizer(experiment, tmp_path / "run")
    check_prompts(experiment, tokenizer)
    assert len(tokenizer.encode("12 + 12 =")) < 9


def test_a_problem_too_long_is_met_though_no_early_step_shows_it(experiment, tmp_path):
    tokenizer = load_tokenizer(experiment, tmp_path / "run")
    shown = {problem.question for problem in experiment.problems.problems("train", 0, 8)}
    later = next(i for i in range(40) if f"{i} + {i} =" not in shown)
    lines = experiment.problems.train.read_text().splitlines()
    lines[later] = lines[later].replace("+", "+" * 100)
    longer = tmp_path / "longer.jsonl"
    longer.write_text("\n".join(lines))
    problems = dataclasses.replace(experiment.problems, train=longer)
    with pytest.raises(UserError, match="more than max_prompt"):
        check_prompts(dataclasses.replace(experiment, problems=problems), tokenizer)


def test_more_held_out_problems_than_there_are_is_one_sentence(experiment):
    import jax

    evals = tuple(dataclasses.replace(config, problems=9) for config in experiment.evals)
    mesh = jax.make_mesh((1, 1, 1), ("data", "fsdp", "tensor"), devices=jax.devices()[:1])
    check_sizes(experiment, mesh)
    with pytest.raises(UserError, match="^9 held-out problems were asked for, but the test part of JSONL has 8"):
        check_sizes(dataclasses.replace(experiment, evals=evals), mesh)


def test_searches_are_demonstrated_on_countdown_only(experiment, tmp_path):
    with pytest.raises(UserError, match="^JSONL has no split 'demonstrations'"):
        load_tokenizer(dataclasses.replace(experiment, stages=DEBUG.stages[:1]), tmp_path / "run")


@pytest.mark.parametrize(
    ("verifier", "message"),
    [
        (Math(forgive_percent=False), "forgive_percent of the checker and of the verifier differ"),
        (Math(tolerance=0.01), "knows no tolerance"),
        (Countdown(), "use the one with the other"),
    ],
)
def test_device_and_host_judge_by_the_same_rules(experiment, verifier, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(experiment, verifier=verifier)


def test_files_are_written_down_in_the_config(experiment):
    config = to_dict(experiment.problems)
    assert config["type"] == "JSONL" and config["train"].endswith("a.jsonl") and config["fields"]["type"] == "Fields"
