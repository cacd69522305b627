"""Permutations in an experiment: its tokens, prompts, demonstrations and responses fit one another."""

import dataclasses
from pathlib import Path

import pytest

from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.data import ArrangementTraces, Permutations
from rlsp_jax.evaluation import Checker
from rlsp_jax.training import load_experiment
from rlsp_jax.training.checks import check_prompts
from rlsp_jax.training.supervised import demonstration_texts
from rlsp_jax.training.train import load_tokenizer
from rlsp_jax.verifiers import Verifier

EXPERIMENT = load_experiment(Path(__file__).parents[2] / "experiments" / "permutations_rlsp.py").experiment


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(EXPERIMENT, tmp_path_factory.mktemp("run"))


def test_every_prompt_fits_and_every_whole_chain_fits_into_a_response(tokenizer):
    check_prompts(EXPERIMENT, tokenizer)
    questions, responses = demonstration_texts(EXPERIMENT.problems, ArrangementTraces(), range(300))
    sizes = [len(tokenizer.encode(response)) + 1 for response in responses]
    source, last = EXPERIMENT.problems, EXPERIMENT.stages[-1]
    assert isinstance(source, Permutations) and isinstance(last, ppo.Config)
    assert max(sizes) == 6 * source.moves[1] + 1 <= last.sampling.max_response


def test_demonstrations_of_all_stages_are_right(tokenizer):
    for stage in EXPERIMENT.stages:
        if isinstance(stage, sft.Config):
            problems = EXPERIMENT.problems.problems("demonstrations", 0, 200)
            texts = [stage.demonstrations.trace(problem, problem.number) for problem in problems]
            pairs = zip(problems, texts, strict=True)
            assert all(EXPERIMENT.verifier.verify(p.truth, text).reason == "correct" for p, text in pairs)


def test_a_tokenizer_without_an_sft_stage_is_trained_on_written_compositions(tmp_path):
    rewarded = tuple(stage for stage in EXPERIMENT.stages if isinstance(stage, ppo.Config))
    plain = dataclasses.replace(EXPERIMENT.tokenizer, symbols=())
    found = load_tokenizer(dataclasses.replace(EXPERIMENT, stages=rewarded, tokenizer=plain), tmp_path)
    assert len(found.encode("answer:")) < len("answer:")


def test_the_checker_and_the_verifier_are_what_an_experiment_asks_for():
    assert isinstance(EXPERIMENT.checker, Checker) and isinstance(EXPERIMENT.verifier, Verifier)
