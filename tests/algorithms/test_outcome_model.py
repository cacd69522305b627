"""The outcome model's loss, gradients and updates against a slow one in numpy, response by response."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.algorithms import outcome_model
from rlsp_jax.algorithms.outcome_model import NAME
from rlsp_jax.common.errors import UserError
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import OutcomeModel
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant
from rlsp_jax.types import JudgedBatch
from tests.algorithms.batches import MODEL_CONFIG, parameters
from tests.models import slow
from tests.models.builders import VOCAB

MODEL = OutcomeModel(MODEL_CONFIG, VOCAB)
CONFIG = outcome_model.Config(batch_size=4, optimizer=AdamW(Constant(1e-2)))
UPDATE = functools.cache(lambda config: outcome_model.make_update_fn(MODEL, config))
LOSS = jax.jit(jax.value_and_grad(lambda params, batch, total: outcome_model.loss(MODEL, params, batch, total)[0]))


def outcome_parameters(seed=3):
    """A trunk and a head that are far from where they begin."""
    rng = np.random.default_rng(seed)
    head = {"kernel": rng.normal(size=(MODEL_CONFIG.embed_dim, 1)), "bias": rng.normal(size=1)}
    return {
        "trunk": parameters(seed)["policy"],
        "heads": {"out": jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), head)},
    }


def judged(seed=0) -> JudgedBatch:
    """Four rows of 12 tokens: one, two or three responses in each, right and wrong ones side by side."""
    rng = np.random.default_rng(seed)
    tokens, segments = np.zeros((4, 12), np.int32), np.zeros((4, 12), np.int32)
    mask, correct = np.zeros((4, 12), bool), np.zeros((4, 12), bool)
    for row, sizes in enumerate([(5, 7), (4, 6), (9,), (3, 3, 3)]):
        start = 0
        for number, size in enumerate(sizes, 1):
            here = slice(start, start + size)
            tokens[row, here], segments[row, here] = rng.integers(0, VOCAB, size), number
            mask[row, start + rng.integers(1, min(size, 4)) : start + size] = True
            correct[row, here] = (row + number) % 2
            start += size
    return jax.tree.map(jnp.asarray, JudgedBatch(tokens, segments, mask, correct))


def slow_logits(params, tokens):
    hidden = slow.forward(MODEL_CONFIG, params["trunk"], tokens)[0]
    head = jax.tree.map(lambda x: np.asarray(x, float), params["heads"]["out"])
    return (hidden @ head["kernel"] + head["bias"])[:, 0], hidden


def slow_tokens(params, batch):
    """(logit, hidden state, right) of each counted token, one response at a time."""
    for tokens, segments, mask, correct in zip(*map(np.asarray, batch), strict=True):
        for number in range(1, segments.max() + 1):
            own = segments == number
            logits, hidden = slow_logits(params, tokens[own].tolist())
            for t in np.flatnonzero(mask[own]):
                yield logits[t], hidden[t], bool(correct[own][0])


def slow_loss(params, batch):
    said = [(1 / (1 + np.exp(-logit)), right) for logit, _, right in slow_tokens(params, batch)]
    return np.mean([-np.log(p if right else 1 - p) for p, right in said])


def test_the_loss_is_the_mean_cross_entropy_of_every_response_token():
    params, batch = outcome_parameters(), judged()
    loss, _ = LOSS(params, batch, batch.mask.sum())
    np.testing.assert_allclose(loss, slow_loss(params, batch), rtol=1e-4)


def test_the_gradient_of_the_head_is_what_is_said_less_what_is_true_times_the_hidden_state():
    params, batch = outcome_parameters(), judged()
    _, gradient = LOSS(params, batch, batch.mask.sum())
    counted = list(slow_tokens(params, batch))
    errors = np.asarray([1 / (1 + np.exp(-logit)) - right for logit, _, right in counted])
    states = np.stack([hidden for _, hidden, _ in counted])
    expected = (errors[:, None] * states).mean(axis=0)
    np.testing.assert_allclose(gradient["heads"]["out"]["kernel"][:, 0], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(gradient["heads"]["out"]["bias"][0], errors.mean(), rtol=1e-3, atol=1e-5)


def test_the_gradient_of_the_trunk_is_the_slope_of_the_slow_loss():
    params, batch = outcome_parameters(), judged()
    _, gradient = LOSS(params, batch, batch.mask.sum())
    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), params)
    along = lambda size: slow_loss(  # noqa: E731
        jax.tree.map(lambda x, d: np.asarray(x, float) + size * d, params, direction), batch
    )
    slope = (along(1e-5) - along(-1e-5)) / 2e-5
    products = jax.tree.map(lambda g, d: float(np.sum(np.asarray(g, float) * d)), gradient, direction)
    assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=2e-3)


def test_tokens_that_do_not_count_change_nothing():
    params, batch = outcome_parameters(), judged()
    unknown = batch._replace(mask=batch.mask.at[2].set(False))  # as if nobody could judge that row's response
    other = unknown._replace(correct=unknown.correct.at[2].set(~unknown.correct[2]))
    found = [LOSS(params, changed, changed.mask.sum()) for changed in (unknown, other)]
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_before_the_first_step_half_is_said_of_everything():
    state = outcome_model.init_state(CONFIG, parameters())
    batch = judged()
    logits = MODEL.logits(state.params[NAME], batch.tokens, batch.segments)
    np.testing.assert_array_equal(logits, 0)
    loss, _ = LOSS(state.params[NAME], batch, batch.mask.sum())
    assert float(loss) == pytest.approx(np.log(2))


def test_an_update_moves_the_outcome_model_and_not_a_bit_of_the_policy_or_its_critics():
    before = jax.device_get(parameters())
    state = outcome_model.init_state(CONFIG, parameters())
    trunk = jax.device_get(state.params[NAME]["trunk"])
    for _ in range(3):
        state, metrics = UPDATE(CONFIG)(state, judged())
    for name in ("policy", "value"):
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.params[name]), before[name])
    moved = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), state.params[NAME]["trunk"], trunk)
    assert min(jax.tree.leaves(moved)) > 0
    assert int(state.step) == 3 and float(metrics["outcome_model/loss"]) < np.log(2)


def test_an_outcome_model_learns_which_responses_end_right():
    config = dataclasses.replace(CONFIG, optimizer=AdamW(Constant(3e-3)))
    state = outcome_model.init_state(config, parameters())
    for _ in range(60):
        state, metrics = UPDATE(config)(state, judged())
    assert float(metrics["outcome_model/loss"]) < 0.1 and float(metrics["outcome_model/accuracy"]) > 0.95


def test_an_update_that_is_not_finite_is_skipped_and_counted():
    state = outcome_model.init_state(CONFIG, parameters())
    broken = jax.tree.map(lambda x: x.at[...].set(jnp.nan), state.params[NAME]["heads"])
    state = state._replace(params=state.params | {NAME: state.params[NAME] | {"heads": broken}})
    trunk = jax.device_get(state.params[NAME]["trunk"])
    state, _ = UPDATE(CONFIG)(state, judged())
    assert (int(state.bad_steps), int(state.skipped)) == (1, 1)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.params[NAME]["trunk"]), trunk)


def test_micro_batches_change_nothing_but_the_order_of_addition():
    states = [
        UPDATE(dataclasses.replace(CONFIG, micro_batches=n))(outcome_model.init_state(CONFIG, parameters()), judged())
        for n in (1, 4)
    ]
    (one, metrics), (four, others) = states
    for name, value in metrics.items():
        np.testing.assert_allclose(others[name], value, rtol=1e-4, atol=1e-6)
    assert jax.tree.structure(one) == jax.tree.structure(four)


def test_what_is_said_after_a_token_does_not_depend_on_what_follows_or_on_padding():
    params = outcome_parameters()
    tokens = np.random.default_rng(4).integers(0, VOCAB, 8)
    whole, _ = slow_logits(params, tokens.tolist())
    for first, last in ((0, 8), (3, 12), (4, 9)):  # padded on neither side, on both, cut short
        size = last - first
        row = np.zeros((1, 12), np.int32)
        row[0, first : first + min(8, size)] = tokens[: min(8, size)]
        segments = np.zeros((1, 12), bool)
        segments[0, first : first + min(8, size)] = True
        logits = MODEL.logits(params, jnp.asarray(row), jnp.asarray(segments))[0, first : first + min(8, size)]
        np.testing.assert_allclose(logits, whole[: min(8, size)], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_steps": 0}, "num_steps of the outcome model is 0"),
        ({"num_problems": 0}, "num_problems of the outcome model is 0"),
        ({"samples_per_prompt": 0}, "samples_per_prompt of the outcome model is 0"),
        ({"validate_every": 0}, "validate_every of the outcome model is 0"),
        ({"bins": 0}, "bins of the outcome model is 0"),
        ({"max_bad_steps": 0}, "max_bad_steps of the outcome model is 0"),
        ({"micro_batches": 3}, "batch_size = 4 is not a multiple of micro_batches = 3"),
        ({"draw_size": 6}, "draw_size = 6 is not a multiple of samples_per_prompt = 4"),
        ({"heldout_share": 0.0}, r"heldout_share is 0.0; it must lie in \(0, 1\)"),
        ({"heldout_share": 1.0}, r"heldout_share is 1.0; it must lie in \(0, 1\)"),
        ({"sampling": SamplingConfig(temperature=0.0)}, "all responses to a problem are the same"),
    ],
)
def test_an_impossible_stage_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(CONFIG, **changes)
