import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlsp_jax.algorithms import ppo
from rlsp_jax.algorithms.references import Refreshed
from rlsp_jax.generation import make_generate_fn
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant
from tests.algorithms import batches
from tests.models.builders import VOCAB

KEY = jax.random.key(3)
BASE = batches.config(optimizer=AdamW(weight_decay=0.1), value_warmup_steps=2)
WARM = BASE.value_warmup_steps  # the first step in which the policy learns
UPDATES = BASE.epochs * BASE.rows // BASE.minibatch_size
PATIENT = batches.config(
    kl=None, minibatch_size=8, entropy_coef=Constant(1.0), optimizer=AdamW(Constant(1e-2)), value_coef=0.0
)
HASTY = dataclasses.replace(PATIENT, epochs=5, target_kl=1e-6)


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def differ(left, right) -> bool:
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all((np.asarray(a) != np.asarray(b)).any() for a, b in pairs)


def host(tree):
    """A copy that no donation can touch."""
    return jax.tree.map(np.array, tree)


def update(config, state, made, key=KEY):
    return batches.update_fn(config)(state, made, key)


# ---- golden ----


def test_a_golden_step():
    """Fixed seeds in, recorded numbers out: whoever changes one of them changed what PPO computes."""
    made = batches.nearby(batches.DECOUPLED, unknown=(2,))
    state, metrics = update(BASE, batches.state(BASE, step=WARM), made)
    expected = {
        "policy/approx_kl": 0.023717,
        "policy/clip_fraction": 0.399095,
        "policy/entropy": 1.997300,
        "policy/grad_norm": 55.48990,
        "policy/learning_rate": 3e-4,
        "policy/loss": 0.118667,
        "policy/ratio": 1.098946,
        "policy/updates": 4.0,
        "value/grad_norm": 18.06814,
        "value/loss": 69.86899,
    }
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(expected, abs=1e-4, rel=1e-5)
    norms = [float(optax.tree.norm(state.params[part])) for part in ("policy", "value")]
    assert norms == pytest.approx([23.01926, 2.37242], abs=1e-4)
    assert int(state.step) == WARM + 1 and int(state.bad_steps) == 0


# ---- on-policy, and what a learning rate of 0 shows ----

STILL = batches.config(
    streams=(dataclasses.replace(batches.CORRECTNESS, weight=Constant(0.8)), batches.EXPLORATION),
    optimizer=AdamW(Constant(0.0), weight_decay=0.1),
    value_optimizer=AdamW(Constant(0.0), weight_decay=0.1),
)
generate = make_generate_fn(batches.MODEL, STILL.sampling, eos_id=1, pad_id=0)


def one_step(state, seed):
    """A rollout, its experience and its update without learning: the state after it and everything logged."""
    prompts, key = batches.rollout(seed=seed).prompts, jax.random.key(seed)
    rollout = generate(state.params["policy"], prompts, key, jnp.float32(STILL.sampling.temperature))
    made, health = batches.experience_fn(STILL)(state, rollout, batches.scores(rollout, seed=seed))
    state, metrics = update(STILL, state, made, key)
    return state, {name: float(value) for name, value in (health | metrics).items()}


def test_learning_rate_0_keeps_every_logged_quantity_flat_for_ten_steps():
    """The same prompts and keys every step: whatever the policy or its critics had learned would show somewhere."""
    state = batches.state(STILL)
    before, logged = host(state.params), []
    for _ in range(10):
        state, metrics = one_step(state, seed=0)
        logged.append(metrics)
    assert {"policy/loss", "policy/entropy", "value/loss", "policy/logp_gap"} <= logged[0].keys()
    for metrics in logged[1:]:
        assert metrics == pytest.approx(logged[0], abs=1e-6, rel=1e-6)
    same(state.params, before)
    assert int(state.step) == 10


def test_learning_rate_0_stays_on_policy_whatever_is_sampled():
    """Rollouts of ten seeds, scored again by the learner in another order of rows: any disagreement would show."""
    state = batches.state(STILL)
    for seed in range(10):
        state, metrics = one_step(state, seed)
        assert metrics["policy/logp_gap"] < 2e-4
        assert abs(metrics["policy/ratio"] - 1) < 1e-4
        assert abs(metrics["policy/approx_kl"]) < 1e-6
        assert metrics["policy/clip_fraction"] == 0


# ---- early stop ----


def test_target_kl_skips_the_rest_of_the_step():
    """The first minibatch is on-policy and taken, the second is too far and still taken, the others are not."""
    made = batches.nearby(batches.LOSS)
    made = made._replace(logprobs=batches.forward_fn()(batches.parameters(), made)[0])
    stopped, metrics = update(HASTY, batches.state(HASTY), made)
    taken, _ = update(PATIENT, batches.state(PATIENT), made)
    assert float(metrics["policy/updates"]) == PATIENT.epochs == 2
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), stopped, taken)
    assert differ(stopped.params["policy"], batches.parameters()["policy"])


def test_metrics_are_means_over_the_updates_taken():
    far = batches.nearby(batches.LOSS)
    _, metrics = update(HASTY, batches.state(HASTY), far)
    _, first = batches.loss_fn(HASTY)[0](batches.parameters(), far, jnp.asarray(0), ppo._counts(far))
    assert float(metrics["policy/updates"]) == 1
    for name, value in first.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


# ---- warm-up of the critics ----


def test_value_warm_up_leaves_the_policy_bit_identical():
    state = batches.state(BASE)
    before = host(state.params)
    for step in range(WARM + 1):
        state, _ = update(BASE, state, batches.nearby(batches.DECOUPLED))
        assert differ(state.params["value"]["heads"], before["value"]["heads"])
        if step < WARM:
            same(state.params["policy"], before["policy"])
    assert differ(state.params["policy"], before["policy"])


# ---- gradients that are no numbers ----


def test_a_nan_leaves_parameters_and_optimizer_as_they_were_and_is_counted():
    made = batches.nearby(batches.DECOUPLED)
    bad = made._replace(advantages=jnp.full_like(made.advantages, jnp.nan))
    state, _ = update(BASE, batches.state(BASE, step=WARM), made)
    before = host(state)
    state, _ = update(BASE, state, bad)
    same((state.params, state.opt_state), (before.params, before.opt_state))
    assert int(state.bad_steps) == UPDATES
    state, _ = update(BASE, state, bad)
    assert int(state.bad_steps) == 2 * UPDATES
    state, _ = update(BASE, state, made)
    assert int(state.bad_steps) == 0 and differ(state.params["policy"], before.params["policy"])


def test_a_minibatch_in_which_all_is_masked_changes_no_parameter():
    """During the warm-up, when nothing but gradients could move the critics and nothing at all the policy."""
    made = batches.nearby(batches.DECOUPLED)
    empty = made._replace(mask=jnp.zeros_like(made.mask), value_mask=jnp.zeros_like(made.value_mask))
    state, metrics = update(BASE, batches.state(BASE), empty)
    same(state.params, batches.parameters())
    assert all(np.isfinite(value) for value in metrics.values()) and int(state.bad_steps) == 0


# ---- references, and what donation may not touch ----


def test_donated_state_never_aliases_the_reference():
    params = batches.parameters()
    state = ppo.init_state(BASE, params)
    reference, before = state.reference, host(state.reference)
    for leaf, other in zip(jax.tree.leaves(state.params["policy"]), jax.tree.leaves(reference), strict=True):
        assert leaf.unsafe_buffer_pointer() != other.unsafe_buffer_pointer()
    for _ in range(2):
        state, _ = update(BASE, state._replace(step=jnp.asarray(WARM)), batches.nearby(batches.DECOUPLED))
    same(state.reference, before)
    assert differ(state.params["policy"], before)


def test_a_reference_that_has_become_the_policy_is_still_memory_of_its_own():
    config = batches.config(reference=Refreshed(1))
    state = batches.state(config)
    for _ in range(2):
        state, _ = update(config, state, batches.nearby(batches.DECOUPLED))
        same(state.reference, state.params["policy"])
        for leaf, other in zip(jax.tree.leaves(state.params["policy"]), jax.tree.leaves(state.reference), strict=True):
            assert leaf.unsafe_buffer_pointer() != other.unsafe_buffer_pointer()


# ---- the entropy bonus ----


def test_an_entropy_bonus_raises_entropy():
    made = batches.nearby(batches.LOSS)
    made = made._replace(advantages=jnp.zeros_like(made.advantages))
    state, entropies = batches.state(PATIENT), []
    for _ in range(5):
        state, metrics = update(PATIENT, state, made)
        entropies.append(float(metrics["policy/entropy"]))
    assert entropies == sorted(entropies) and entropies[-1] > entropies[0] + 0.02
    assert entropies[-1] < np.log(VOCAB)
