"""A policy of one's own as a generator of texts."""

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.trial_and_error import Generator
from rlsp_jax.training import policy_generator
from rlsp_jax.training.policy_generator import PolicyGenerator

QUESTIONS = [f"{a} {b} 7 = {a + b + 7}" for a in range(1, 6) for b in range(6, 9)]


@pytest.fixture
def generators(run, monkeypatch):
    """Two seeds of an untrained policy, with so few rows at a time that a call needs several."""
    monkeypatch.setattr(policy_generator, "ROWS", 8)
    policy, sampling = run.init_params()["policy"], run.experiment.stages[-1].sampling
    return [PolicyGenerator(run, policy, sampling, seed=seed) for seed in (0, 1)]


def test_a_response_depends_on_its_question_its_sample_and_the_seed_alone(generators):
    first, second = generators
    assert isinstance(first, Generator)
    texts = first.generate(QUESTIONS, 3)
    assert [len(group) for group in texts] == [3] * len(QUESTIONS)
    assert len({text for group in texts for text in group}) > 2 * len(QUESTIONS)  # an untrained policy writes noise
    assert first.generate(QUESTIONS[::-1], 3) == texts[::-1]
    assert first.generate([QUESTIONS[4]], 2) == [texts[4][:2]]
    assert second.generate([QUESTIONS[4]], 3) != [texts[4]]
    assert first.generate([], 3) == []


def test_a_question_that_is_none_is_a_sentence(generators):
    with pytest.raises(UserError, match="needs exactly one '='"):
        generators[0].generate(["hello"], 1)


def test_a_policy_that_expects_a_label_is_shown_it_after_each_question(run):
    policy, sampling = run.init_params()["policy"], run.experiment.stages[-1].sampling
    texts = [PolicyGenerator(run, policy, sampling, suffix=s).generate(QUESTIONS[:3], 1) for s in ("", "", " 1")]
    assert texts[0] == texts[1] and all(bare != labelled for bare, labelled in zip(texts[0], texts[2], strict=True))
