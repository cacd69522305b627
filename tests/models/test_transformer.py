import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.models import ActorCritic
from tests.models import slow
from tests.models.builders import CONFIGS, VOCAB, build, left_padded, unrolled

RNG = np.random.default_rng(0)
ROWS = [RNG.integers(0, VOCAB, length).tolist() for length in (5, 1, 3)]
WIDTH, TIME = 5, 6
RESPONSES = RNG.integers(0, VOCAB, (len(ROWS), TIME))


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS.keys())
def built(request):
    """A model, its policy and its jitted `hidden`."""
    model, params = build(request.param)
    return model, params["policy"], jax.jit(model.hidden)


@pytest.fixture(scope="module")
def nano():
    model, params = build(CONFIGS["tied"])
    return model, params["policy"], jax.jit(model.hidden)


def test_hidden_states_equal_a_slow_numpy_transformer(built):
    model, policy, hidden = built
    tokens, mask = left_padded(ROWS, WIDTH)
    states = hidden(
        policy, jnp.concatenate([tokens, RESPONSES], axis=1), jnp.pad(mask, ((0, 0), (0, TIME)), constant_values=True)
    )
    plain = unrolled(policy) if model.config.scan_layers else policy
    for row, prompt, response in zip(states, ROWS, RESPONSES, strict=True):
        expected, logits = slow.forward(model.config, plain, [*prompt, *response])
        np.testing.assert_allclose(row[WIDTH - len(prompt) :], expected, atol=2e-4)
        np.testing.assert_allclose(row[WIDTH - len(prompt) :] @ model.head(policy), logits, atol=2e-3)


def test_cached_decoding_equals_uncached(built):
    model, policy, hidden = built
    tokens, mask = left_padded(ROWS, WIDTH)
    whole = jnp.concatenate([tokens, RESPONSES], axis=1)
    uncached = hidden(policy, whole, jnp.pad(mask, ((0, 0), (0, TIME)), constant_values=True))

    @jax.jit
    def cached(policy):
        last, cache = model.prefill(policy, tokens, mask)
        cache = model.grow(cache, WIDTH + TIME + 2)  # room to spare changes nothing
        columns = jnp.arange(WIDTH + TIME + 2)
        known = jnp.pad(mask, ((0, 0), (0, TIME + 2)))

        def one(cache, t):
            live = known | ((columns >= WIDTH) & (columns <= WIDTH + t))
            state, cache = model.decode(policy, cache, jnp.asarray(RESPONSES)[:, t], mask.sum(1) + t, WIDTH + t, live)
            return cache, state

        return last, jax.lax.scan(one, cache, jnp.arange(TIME))[1]

    last, states = cached(policy)
    np.testing.assert_allclose(last, uncached[:, WIDTH - 1], atol=2e-5)
    np.testing.assert_allclose(jnp.moveaxis(states, 0, 1), uncached[:, WIDTH:], atol=2e-5)


def test_left_padding_does_not_change_hidden_states(nano):
    _, policy, hidden = nano
    row = ROWS[0]
    narrow = hidden(policy, *left_padded([row], 8))[0, 8 - len(row) :]
    for width, pad in ((8, VOCAB - 1), (13, 0), (13, 3)):
        tokens, mask = left_padded([row], width, pad)
        np.testing.assert_allclose(hidden(policy, tokens, mask)[0, width - len(row) :], narrow, atol=2e-5)


# ---- packing ----

FIRST, SECOND, THIRD = (RNG.integers(0, VOCAB, length).tolist() for length in (4, 3, 5))


def packed(*sequences, width=14):
    """One row of sequences one after another: tokens and segments [1, width]."""
    tokens, segments = sum(sequences, []), sum(([i] * len(s) for i, s in enumerate(sequences, 1)), [])
    pad = [0] * (width - len(tokens))
    return jnp.asarray([tokens + pad], jnp.int32), jnp.asarray([segments + pad], jnp.int32)


def test_packed_sequences_are_as_if_each_stood_alone(nano):
    _, policy, hidden = nano
    together = hidden(policy, *packed(FIRST, SECOND, THIRD))[0]
    start = 0
    for sequence in (FIRST, SECOND, THIRD):
        alone = hidden(policy, *packed(sequence))[0, : len(sequence)]
        np.testing.assert_allclose(together[start : start + len(sequence)], alone, atol=2e-5)
        start += len(sequence)


def test_a_packed_sequence_does_not_see_what_its_neighbours_say(nano):
    _, policy, hidden = nano
    here = slice(len(FIRST), len(FIRST) + len(SECOND))
    before = hidden(policy, *packed(FIRST, SECOND, THIRD))[0, here]
    other = [(token + 7) % VOCAB for token in FIRST]
    np.testing.assert_array_equal(hidden(policy, *packed(other, SECOND, THIRD[::-1]))[0, here], before)


def test_no_gradient_flows_between_packed_sequences(nano):
    model, policy, _ = nano
    tokens, segments = packed([1, 2, 3], [4, 5, 6, 7], [8, 9])

    @jax.jit
    @jax.grad
    def gradient(policy):
        return jnp.sum(jnp.where(segments[..., None] == 2, model.hidden(policy, tokens, segments), 0.0) ** 3)

    rows = jnp.abs(gradient(policy)["embed"]["embedding"]).max(axis=1)
    assert (rows[4:8] > 0).all() and (rows[:4] == 0).all() and (rows[8:] == 0).all()


def test_padding_passes_no_gradient_and_no_nan(nano):
    model, policy, _ = nano
    tokens, segments = packed([1, 2, 3], width=14)

    @jax.jit
    @jax.grad
    def gradient(policy):
        return jnp.sum(jnp.where(segments[..., None] > 0, model.hidden(policy, tokens, segments), 0.0) ** 3)

    rows = jnp.abs(gradient(policy)["embed"]["embedding"]).max(axis=1)
    assert (rows[1:4] > 0).all() and rows[0] == 0 and jnp.isfinite(rows).all()


def test_bfloat16_computes_in_bfloat16_and_keeps_parameters_in_float32():
    config = CONFIGS["tied"].__class__(**{**vars(CONFIGS["tied"]), "dtype": "bfloat16"})
    model = ActorCritic(config, VOCAB)
    params = jax.eval_shape(model.init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    states = jax.eval_shape(model.hidden, params["policy"], *packed(FIRST))
    assert states.dtype == jnp.bfloat16
