import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.generation import SamplingConfig, warp
from rlsp_jax.models import gather_logprobs, token_logprobs
from rlsp_jax.models.logprobs import chunk_size
from tests.models.slow import log_softmax

BATCH, TIME, EMBED, VOCAB = 2, 7, 5, 11
CHUNKS = [1, 3, 64]
TRUNCATED = SamplingConfig(temperature=0.7, top_k=6, top_p=0.9, min_p=0.02)


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    hidden, head = rng.normal(size=(BATCH, TIME, EMBED)), rng.normal(size=(EMBED, VOCAB))
    tokens = rng.integers(0, VOCAB, (BATCH, TIME))
    weights = rng.normal(size=(2, BATCH, TIME))
    return jnp.asarray(hidden, jnp.float32), jnp.asarray(head, jnp.float32), jnp.asarray(tokens, jnp.int32), weights


def truncated(logits, tokens):
    return warp(logits, TRUNCATED, keep=tokens)


@functools.partial(jax.jit, static_argnames=("chunk", "warp"))
def scored(hidden, head, tokens, *, chunk=64, warp=None):
    return token_logprobs(hidden, head, tokens, warp=warp, chunk=chunk)


def test_values_and_entropies_equal_a_full_log_softmax_for_any_chunk(arrays):
    hidden, head, tokens, _ = arrays
    full = log_softmax(np.asarray(hidden, np.float64) @ np.asarray(head, np.float64))
    expected = np.take_along_axis(full, np.asarray(tokens)[..., None], axis=-1)[..., 0]
    for chunk in CHUNKS:
        logprobs, entropies = scored(hidden, head, tokens, chunk=chunk)
        np.testing.assert_allclose(logprobs, expected, atol=1e-5)
        np.testing.assert_allclose(entropies, -(np.exp(full) * full).sum(axis=-1), atol=1e-5)


def test_a_warped_distribution_is_scored_as_it_was_sampled_for_any_chunk(arrays):
    hidden, head, tokens, _ = arrays
    logits = np.array(truncated(hidden @ head, tokens), np.float64)
    assert np.isinf(logits).any()
    full = log_softmax(logits)
    terms = np.where(np.isinf(full), 0, np.exp(full) * np.where(np.isinf(full), 0, full))
    for chunk in CHUNKS:
        logprobs, entropies = scored(hidden, head, tokens, warp=truncated, chunk=chunk)
        expected = np.take_along_axis(full, np.asarray(tokens)[..., None], axis=-1)[..., 0]
        np.testing.assert_allclose(logprobs, expected, atol=1e-5)
        np.testing.assert_allclose(entropies, -terms.sum(axis=-1), atol=1e-5)


@pytest.mark.parametrize("how", [None, truncated], ids=["plain", "warped"])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_gradients_equal_those_of_a_full_log_softmax_for_any_chunk(arrays, chunk, how):
    hidden, head, tokens, weights = arrays

    def full(hidden, head):
        logits = hidden @ head
        logp = jax.nn.log_softmax(logits if how is None else how(logits, tokens))
        inside = jnp.isfinite(logp)
        safe = jnp.where(inside, logp, 0.0)
        chosen = jnp.sum(jnp.where(jnp.arange(VOCAB) == tokens[..., None], safe, 0.0), axis=-1)
        return jnp.sum(weights[0] * chosen - weights[1] * jnp.sum(inside * jnp.exp(safe) * safe, axis=-1))

    def chunked(hidden, head):
        logprobs, entropies = token_logprobs(hidden, head, tokens, warp=how, chunk=chunk)
        return jnp.sum(weights[0] * logprobs + weights[1] * entropies)

    expected = jax.jit(jax.grad(full, argnums=(0, 1)))(hidden, head)
    result = jax.jit(jax.grad(chunked, argnums=(0, 1)))(hidden, head)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), result, expected)


def test_logits_of_the_whole_batch_are_never_held():
    """Forward and backward together need less memory than `[batch, time, vocab]` logits alone would."""
    batch, time, embed, vocab = 2, 1024, 8, 2048

    def loss(hidden, head, tokens):
        logprobs, entropies = token_logprobs(hidden, head, tokens, chunk=32)
        return jnp.sum(logprobs) + jnp.sum(entropies)

    shapes = (
        jax.ShapeDtypeStruct((batch, time, embed), jnp.float32),
        jax.ShapeDtypeStruct((embed, vocab), jnp.float32),
        jax.ShapeDtypeStruct((batch, time), jnp.int32),
    )
    memory = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*shapes).compile().memory_analysis()
    assert 0 < memory.temp_size_in_bytes < batch * time * vocab * 4 / 4


def test_a_vocabulary_of_131072_takes_an_eighth_of_the_memory_of_whole_logits():
    """4 × 1024 tokens, forward and backward, by the compiler's account; nothing is computed."""
    batch, time, embed, vocab = 4, 1024, 64, 131_072

    def whole(hidden, head, tokens):
        logp = jax.nn.log_softmax(hidden @ head)
        return jnp.take_along_axis(logp, tokens[..., None], axis=-1)[..., 0], -jnp.sum(jnp.exp(logp) * logp, axis=-1)

    def bytes_of(fn):
        def loss(hidden, head, tokens):
            logprobs, entropies = fn(hidden, head, tokens)
            return jnp.sum(logprobs**2) + jnp.sum(entropies**2)

        floats = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((batch, time, embed), (embed, vocab))]
        shapes = (*floats, jax.ShapeDtypeStruct((batch, time), jnp.int32))
        return jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    assert bytes_of(whole) >= batch * time * vocab * 4
    assert 0 < bytes_of(token_logprobs) <= bytes_of(whole) / 8
    assert bytes_of(token_logprobs) <= batch * time * vocab * 4 / 4  # of the logits alone


@pytest.mark.parametrize(
    ("batch", "embed", "vocab", "size"),
    [(16, 96, 320, 64), (4, 64, 131_072, 32), (4, 4096, 128_256, 64), (512, 64, 131_072, 1)],
)
def test_chunks_shrink_where_logits_are_large_beside_the_head(batch, embed, vocab, size):
    assert chunk_size(batch, embed, vocab) == size


def test_a_distribution_of_one_token_has_no_entropy():
    logits = jnp.asarray([[-jnp.inf, 3.0, -jnp.inf]])
    logprobs, entropies = gather_logprobs(logits, jnp.asarray([1]))
    assert logprobs[0] == 0 and entropies[0] == 0
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.stack(gather_logprobs(x, jnp.asarray([1]))))))(logits)
    assert (gradient == 0).all()


def test_logits_of_half_precision_states_are_summed_in_float32():
    """Logits of 257, 256 and 255: bfloat16 holds every factor, but would round 257 to 256."""
    hidden, head = np.tile([256.0, 1.0], (1, 3, 1)), np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0]])
    full = log_softmax(hidden @ head)
    half = (jnp.asarray(hidden, jnp.bfloat16), jnp.asarray(head, jnp.bfloat16))
    logprobs, entropies = scored(*half, jnp.asarray([[0, 1, 2]], jnp.int32))
    assert logprobs.dtype == entropies.dtype == jnp.float32
    np.testing.assert_allclose(logprobs[0], np.diagonal(full[0]), atol=1e-4)
    np.testing.assert_allclose(entropies, -(np.exp(full) * full).sum(axis=-1), atol=1e-4)
