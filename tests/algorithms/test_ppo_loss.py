import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.algorithms import ppo
from rlsp_jax.algorithms.gradients import accumulate
from rlsp_jax.schedules import Linear
from tests.algorithms import batches, slow

BONUS = dict(entropy_coef=Linear(0.1, 0.0, 10), value_coef=0.7)
LOSSES = {
    "no kl": batches.config(kl=None, **BONUS),
    "k1": batches.config(kl=ppo.KLLoss(0.5, ppo.K1())),
    "k2": batches.config(kl=ppo.KLLoss(0.5, ppo.K2())),
    "k3": batches.config(kl=ppo.KLLoss(0.5, ppo.K3())),
    "kl as a reward": batches.config(**BONUS),
    "coupled": dataclasses.replace(batches.COUPLED, **BONUS),
}
BASE = LOSSES["kl as a reward"]
STEP = jnp.asarray(4)


@functools.cache
def near(config):
    """Experience around the policy, some of whose rows are not known."""
    if isinstance(config.kl, ppo.KLReward):
        return batches.nearby(batches.DECOUPLED, unknown=(2, 5))
    return batches.nearby(batches.COUPLED if len(config.value_heads) == 1 else batches.LOSS, unknown=(2, 5))


@pytest.mark.parametrize("config", LOSSES.values(), ids=LOSSES.keys())
def test_the_loss_and_its_metrics_equal_a_slow_version_token_by_token(config):
    batch, params = near(config), batches.parameters()
    loss, _ = batches.loss_fn(config)
    total, metrics = loss(params, batch, STEP, ppo._counts(batch))
    expected, means = slow.loss(
        batches.MODEL_CONFIG, config, batches.heads(config), params, batch, batches.PROMPT, int(STEP)
    )
    np.testing.assert_allclose(total, expected, rtol=1e-3, atol=1e-4)
    names = {"policy/loss": "surrogate", "policy/entropy": "entropy", "policy/ratio": "ratio", "value/loss": "value"}
    names |= {"policy/approx_kl": "approx_kl", "policy/clip_fraction": "clipped"}
    names |= {"policy/kl_loss": "kl"} if isinstance(config.kl, ppo.KLLoss) else {}
    assert set(metrics) == set(names)
    for name, own in names.items():
        np.testing.assert_allclose(metrics[name], means[own], rtol=1e-3, atol=1e-4, err_msg=name)
    assert 0 < means["clipped"] < 1, "no ratio or every ratio is clipped: the batch shows too little"


def test_rows_of_unknown_verdict_contribute_to_no_loss_and_no_gradient():
    """Whatever stands in them: mixed into one reward and one critic, they touch nothing at all."""
    config = LOSSES["coupled"]
    batch = near(config)
    rows = np.asarray([2, 5])
    spoiled = batch._replace(
        tokens=batch.tokens.at[rows, batches.PROMPT :].set(3),
        advantages=batch.advantages.at[rows].set(100.0),
        logprobs=batch.logprobs.at[rows].set(-3.0),
        returns=batch.returns.at[rows].set(50.0),
        values=batch.values.at[rows].set(-50.0),
    )
    loss, gradient = batches.loss_fn(config)
    counts = ppo._counts(batch)
    left, right = (loss(batches.parameters(), b, STEP, counts)[0] for b in (batch, spoiled))
    np.testing.assert_allclose(left, right, rtol=1e-6)
    left, right = (gradient(batches.parameters(), b, STEP, counts)[0] for b in (batch, spoiled))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), left, right)


def test_counts_are_of_known_tokens_only():
    batch = near(BASE)
    tokens, values = ppo._counts(batch)
    lengths = np.asarray(batches.rollout().mask.sum(axis=1))
    known = lengths.sum() - lengths[2] - lengths[5]
    assert int(tokens) == known and values.tolist() == [known, lengths.sum(), lengths.sum()]


def test_gradients_do_not_depend_on_the_number_of_micro_batches():
    config, batch = BASE, near(BASE)

    def loss(params, rows):
        return ppo.loss(
            batches.MODEL, config, batches.heads(config), params, rows, step=STEP, counts=ppo._counts(batch)
        )

    whole, parts = (
        jax.jit(lambda params, n=n: accumulate(loss, params, batch, n))(batches.parameters()) for n in (1, 4)
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), parts, whole)


def test_an_entropy_bonus_is_a_gradient_towards_more_entropy():
    """Downhill of the bonus alone, which step 0 has and step 10 has not, is uphill of the entropy."""
    batch, params = near(BASE), batches.parameters()
    loss, gradient = batches.loss_fn(BASE)
    counts = ppo._counts(batch)
    pulls = [gradient(params, batch, jnp.asarray(step), counts)[0]["policy"] for step in (0, 10)]
    moved = jax.tree.map(lambda p, a, b: p - 0.1 * (a - b), params["policy"], *pulls)
    before = loss(params, batch, STEP, counts)[1]["policy/entropy"]
    assert loss(params | {"policy": moved}, batch, STEP, counts)[1]["policy/entropy"] > before + 1e-4


def test_an_all_masked_minibatch_has_a_loss_of_0_and_gradients_of_0():
    batch = near(BASE)
    empty = batch._replace(mask=jnp.zeros_like(batch.mask), value_mask=jnp.zeros_like(batch.value_mask))
    loss, gradient = batches.loss_fn(BASE)
    assert float(loss(batches.parameters(), empty, STEP, ppo._counts(empty))[0]) == 0
    leaves = jax.tree.leaves(gradient(batches.parameters(), empty, STEP, ppo._counts(empty))[0])
    assert all((leaf == 0).all() for leaf in leaves)


def test_responses_without_any_token_give_finite_losses():
    """Rows whose token mask is empty: nothing to attend to, nothing to score."""
    batch = near(BASE)
    rows = np.arange(4)
    hollow = batch._replace(
        token_mask=batch.token_mask.at[rows].set(False),
        mask=batch.mask.at[rows].set(False),
        value_mask=batch.value_mask.at[rows].set(False),
    )
    loss, gradient = batches.loss_fn(BASE)
    counts = ppo._counts(hollow)
    assert np.isfinite(loss(batches.parameters(), hollow, STEP, counts)[0])
    leaves = jax.tree.leaves(gradient(batches.parameters(), hollow, STEP, counts)[0])
    assert all(jnp.isfinite(leaf).all() for leaf in leaves) and max(jnp.abs(leaf).max() for leaf in leaves) > 0
