import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.algorithms import sft
from rlsp_jax.algorithms.gradients import accumulate
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import SearchTraces
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant
from rlsp_jax.types import Demonstrations
from tests.algorithms.batches import MODEL, MODEL_CONFIG, parameters
from tests.models import slow
from tests.models.builders import VOCAB

CONFIG = sft.Config(SearchTraces(), batch_size=4, row_length=12, optimizer=AdamW(Constant(1e-2)))
UPDATE = functools.cache(lambda config: sft.make_update_fn(MODEL, config))


def packed(seed=0) -> Demonstrations:
    """Four rows of 12 tokens: two or one demonstrations in each, question lengths 1 to 3, ragged ends."""
    rng = np.random.default_rng(seed)
    tokens, segments, mask = np.zeros((4, 12), np.int32), np.zeros((4, 12), np.int32), np.zeros((4, 12), bool)
    for row, sizes in enumerate([(5, 7), (4, 6), (9,), (3, 3, 3)]):
        start = 0
        for number, size in enumerate(sizes, 1):
            here = slice(start, start + size)
            tokens[row, here], segments[row, here] = rng.integers(0, VOCAB, size), number
            mask[row, start + rng.integers(1, min(size, 4)) : start + size] = True
            start += size
    return Demonstrations(jnp.asarray(tokens), jnp.asarray(segments), jnp.asarray(mask))


def single(batch: Demonstrations):
    """(tokens, mask) of every demonstration, alone."""
    for tokens, segments, mask in zip(*map(np.asarray, batch), strict=True):
        for number in range(1, segments.max() + 1):
            yield tokens[segments == number].tolist(), mask[segments == number]


def slow_loss(params, batch):
    """Mean log-loss and entropy of the response tokens, one demonstration at a time."""
    losses, entropies = [], []
    for tokens, mask in single(batch):
        logp = slow.log_softmax(slow.forward(MODEL_CONFIG, params["policy"], tokens)[1])
        for t in np.flatnonzero(mask):
            losses.append(-logp[t - 1, tokens[t]])
            entropies.append(-(np.exp(logp[t - 1]) * logp[t - 1]).sum())
    return np.mean(losses), np.mean(entropies)


def test_the_loss_equals_a_slow_version_demonstration_by_demonstration():
    params, batch = parameters(), packed()
    total, metrics = jax.jit(lambda p, b: sft.loss(MODEL, p, b, b.mask.sum()))(params, batch)
    loss, entropy = slow_loss(params, batch)
    np.testing.assert_allclose(total, loss, rtol=1e-4)
    np.testing.assert_allclose(metrics["entropy"], entropy, rtol=1e-4)


@functools.cache
def gradients(micro_batches):
    def loss(params, rows, total):
        return sft.loss(MODEL, params, rows, total)

    def run(params, batch):
        return accumulate(lambda p, rows: loss(p, rows, batch.mask.sum()), params, batch, micro_batches)

    return jax.jit(run)


def test_gradients_do_not_depend_on_the_number_of_micro_batches():
    whole, parts = (gradients(n)(parameters(), packed()) for n in (1, 4))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), parts, whole)


def test_gradients_do_not_depend_on_how_demonstrations_are_packed():
    """Every demonstration in a row of its own gives the same gradient as the packed rows."""
    batch = packed()
    alone = list(single(batch))
    width = batch.tokens.shape[1]
    pad = lambda rows, dtype: jnp.asarray([list(r) + [0] * (width - len(r)) for r in rows], dtype)  # noqa: E731
    tokens, mask = pad([t for t, _ in alone], jnp.int32), pad([m for _, m in alone], bool)
    segments = pad([[1] * len(t) for t, _ in alone], jnp.int32)
    spread = gradients(1)(parameters(), Demonstrations(tokens, segments, mask))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), spread, gradients(1)(parameters(), batch)
    )


def test_a_golden_step():
    """Fixed seeds in, recorded numbers out: whoever changes one of them changed what SFT computes."""
    state = sft.init_state(CONFIG, parameters())
    losses = []
    for _ in range(3):
        state, metrics = UPDATE(CONFIG)(state, packed())
        losses.append(float(metrics["sft/loss"]))
    assert losses == pytest.approx([4.627152, 2.518548, 1.426247], abs=1e-4)
    assert float(metrics["sft/grad_norm"]) == pytest.approx(2.133668, abs=1e-4)
    assert int(state.step) == 3 and int(state.bad_steps) == 0


def test_critics_learn_nothing_from_demonstrations():
    state, _ = UPDATE(CONFIG)(sft.init_state(CONFIG, parameters()), packed())
    jax.tree.map(np.testing.assert_array_equal, state.params["value"], parameters()["value"])


def test_micro_batches_change_no_step():
    """Adam makes much of the last bit of a gradient near 0, so the loss after a step is compared."""
    after = []
    for config in (CONFIG, dataclasses.replace(CONFIG, micro_batches=2)):
        state, _ = UPDATE(config)(sft.init_state(config, parameters()), packed())
        after.append(float(UPDATE(config)(state, packed())[1]["sft/loss"]))
    assert after[0] == pytest.approx(after[1], abs=1e-4)


def test_a_nan_leaves_the_state_as_it_was_and_is_counted():
    params = parameters()
    broken = params | {
        "policy": params["policy"] | {"final_norm": {"scale": params["policy"]["final_norm"]["scale"] * jnp.nan}}
    }
    state = sft.init_state(CONFIG, broken)
    before = jax.tree.map(np.array, (state.params, state.opt_state))
    state, _ = UPDATE(CONFIG)(state, packed())
    jax.tree.map(np.testing.assert_array_equal, (state.params, state.opt_state), before)
    assert int(state.bad_steps) == 1 and int(state.step) == 1


def test_a_batch_without_any_response_changes_nothing_and_is_finite():
    batch = packed()
    state, metrics = UPDATE(CONFIG)(
        sft.init_state(CONFIG, parameters()), batch._replace(mask=jnp.zeros_like(batch.mask))
    )
    jax.tree.map(np.testing.assert_array_equal, state.params, parameters())
    assert float(metrics["sft/loss"]) == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_steps": 0}, r"^num_steps is 0; SFT takes at least 1 step\.$"),
        ({"micro_batches": 3}, r"^batch_size = 4 is not a multiple of micro_batches = 3\.$"),
        ({"num_demonstrations": 0}, r"^num_demonstrations is 0; there is nothing to imitate\.$"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(CONFIG, **changes)
