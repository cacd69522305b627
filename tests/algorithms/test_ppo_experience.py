import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.types import Scores
from tests.algorithms import batches, slow

UNKNOWN = (2, 5)
STEP = 3
CONFIGS = {
    "decoupled": batches.DECOUPLED,
    "coupled, without a reference": batches.COUPLED,
    "kl as a loss": batches.LOSS,
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_experience_equals_a_slow_version_row_by_row(config):
    state, rollout = batches.state(config, step=STEP), batches.rollout()
    scores = batches.scores(rollout, unknown=UNKNOWN)
    result, metrics = batches.experience_fn(config)(state, rollout, scores)
    reference = state.reference if config.kl is not None else state.params["policy"]
    expected = slow.experience(
        batches.MODEL_CONFIG, config, batches.heads(config), state.params, reference, rollout, scores, STEP
    )
    lengths = np.asarray(rollout.mask.sum(axis=1))
    for b, n in enumerate(lengths):
        assert (np.asarray(result.mask[b]) == np.asarray(rollout.mask[b]) & expected["known"][b]).all()
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)  # noqa: E731
        if expected["known"][b]:
            close(result.advantages[b, :n], expected["advantages"][b])
        close(result.reference_logprobs[b, :n], expected["reference"][b] if config.kl else rollout.logprobs[b, :n])
        for k in range(len(config.value_heads)):
            close(result.values[b, k, :n], expected["values"][k][b])
            close(result.returns[b, k, :n], expected["returns"][k][b])
            real = np.asarray(rollout.mask[b]) & expected["value_known"][k][b]
            np.testing.assert_array_equal(result.value_mask[b, k], real)
    gaps = [
        abs(own - np.asarray(rollout.logprobs[b, :n]))
        for b, (own, n) in enumerate(zip(expected["learner"], lengths, strict=True))
    ]
    np.testing.assert_allclose(metrics["policy/logp_gap"], np.concatenate(gaps).mean(), rtol=1e-3)


def test_rows_are_the_prompts_and_responses_as_they_were_drawn():
    rollout, made = batches.rollout(), batches.experience(batches.DECOUPLED)
    np.testing.assert_array_equal(made.tokens, jnp.concatenate([rollout.prompts.tokens, rollout.tokens], axis=1))
    np.testing.assert_array_equal(made.token_mask, jnp.concatenate([rollout.prompts.mask, rollout.mask], axis=1))
    np.testing.assert_array_equal(made.logprobs, rollout.logprobs)


def test_a_step_in_which_nothing_is_known_teaches_nothing():
    config, rollout = batches.COUPLED, batches.rollout()
    scores = Scores(jnp.full((2, batches.ROWS, batches.TIME), jnp.nan), jnp.zeros((2, batches.ROWS), bool))
    made, metrics = batches.experience_fn(config)(batches.state(config), rollout, scores)
    assert not made.mask.any() and not made.value_mask.any()
    assert (made.advantages == 0).all() and all(np.isfinite(v) for v in metrics.values())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"streams": ()}, r"^streams is empty; PPO needs at least one reward stream\.$"),
        ({"epochs": 0}, r"^num_steps = 60 and epochs = 0 must be at least 1\.$"),
        (
            {"minibatch_size": 3},
            r"^prompts_per_step × samples_per_prompt = 8 rows are not a multiple of minibatch_size = 3",
        ),
        ({"micro_batches": 3}, r"^minibatch_size = 4 is not a multiple of micro_batches = 3\.$"),
        ({"clip": 1.0}, r"^clip is 1.0; it must lie in \(0, 1\)\.$"),
        ({"streams": (batches.CORRECTNESS,) * 2}, r"^Two streams share a name: correctness, correctness, kl"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        batches.config(**changes)
