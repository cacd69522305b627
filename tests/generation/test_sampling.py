import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rlsp_jax.common.errors import UserError
from rlsp_jax.generation import SamplingConfig, choose, warp

VOCAB = 12
CHOOSE = jax.jit(choose)
SEEDS = st.integers(0, 10_000)


def logits_of(seed, rows=1):
    """Logits without ties."""
    return np.random.default_rng(seed).normal(scale=2.0, size=(rows, VOCAB)).astype(np.float32)


def support(logits, config) -> list[set[int]]:
    """The tokens inside the warped distribution of each row."""
    return [set(np.flatnonzero(np.isfinite(row)).tolist()) for row in np.asarray(warp(jnp.asarray(logits), config))]


def slow_probabilities(logits, temperature=1.0):
    """Tokens by falling probability, with it."""
    weights = np.exp(np.asarray(logits, np.float64) / temperature)
    probabilities = weights / weights.sum()
    return sorted(enumerate(probabilities.tolist()), key=lambda pair: -pair[1])


def slow_nucleus(logits, top_p, temperature=1.0) -> set[int]:
    """Tokens are added, the likeliest first, until they reach `top_p` together."""
    inside, total = set(), 0.0
    for token, probability in slow_probabilities(logits, temperature):
        if total >= top_p:
            break
        inside.add(token)
        total += probability
    return inside


@settings(max_examples=40)
@given(SEEDS, st.integers(1, VOCAB + 3))
def test_top_k_keeps_the_k_likeliest_tokens(seed, k):
    (row,) = logits_of(seed)
    assert support([row], SamplingConfig(top_k=k)) == [{token for token, _ in slow_probabilities(row)[:k]}]


@settings(max_examples=40)
@given(SEEDS, st.floats(0.05, 0.99))
def test_top_p_keeps_the_smallest_set_that_reaches_p(seed, p):
    (row,) = logits_of(seed)
    assert support([row], SamplingConfig(top_p=p)) == [slow_nucleus(row, p)]


@settings(max_examples=40)
@given(SEEDS, st.floats(0.01, 0.99))
def test_min_p_keeps_tokens_that_are_not_far_less_likely_than_the_likeliest(seed, p):
    (row,) = logits_of(seed)
    ranked = slow_probabilities(row)
    assert support([row], SamplingConfig(min_p=p)) == [
        {t for t, probability in ranked if probability >= p * ranked[0][1]}
    ]


@settings(max_examples=40)
@given(SEEDS, st.integers(1, VOCAB), st.floats(0.05, 0.99), st.floats(0.01, 0.99), st.floats(0.3, 2.0))
def test_truncations_together_keep_what_each_keeps_of_the_tempered_distribution(seed, top_k, top_p, min_p, temperature):
    (row,) = logits_of(seed)
    ranked = slow_probabilities(row, temperature)
    expected = {token for token, _ in ranked[:top_k]} & slow_nucleus(row, top_p, temperature)
    expected &= {token for token, probability in ranked if probability >= min_p * ranked[0][1]}
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    assert support([row], config) == [expected]
    assert ranked[0][0] in expected


@settings(max_examples=40)
@given(SEEDS, st.sets(st.integers(0, VOCAB - 1), max_size=VOCAB - 1), st.integers(1, VOCAB), st.floats(0.05, 0.99))
def test_what_is_suppressed_leaves_the_distribution_of_a_vocabulary_without_it(seed, suppressed, top_k, top_p):
    (row,) = logits_of(seed)
    others = [token for token in range(VOCAB) if token not in suppressed]
    config = SamplingConfig(temperature=0.7, top_k=top_k, top_p=top_p, min_p=0.02)
    without = np.full(VOCAB, -np.inf, np.float32)
    without[others] = np.asarray(warp(jnp.asarray(row[others]), config))
    suppressing = dataclasses.replace(config, suppress=tuple(suppressed))
    np.testing.assert_allclose(warp(jnp.asarray(row), suppressing), without, rtol=1e-6)


def test_suppressed_tokens_have_no_probability_even_where_a_learner_keeps_them():
    (row,) = logits_of(0)
    config = SamplingConfig(suppress=(3, 5))
    expected = np.where(np.isin(np.arange(VOCAB), (3, 5)), 0.0, np.exp(row.astype(np.float64)))
    kept = jax.nn.softmax(warp(jnp.asarray(row), config, keep=jnp.asarray(5)))
    np.testing.assert_allclose(kept, expected / expected.sum(), atol=1e-6)


@pytest.mark.parametrize("suppress", [(VOCAB,), tuple(range(VOCAB))])
def test_suppressing_what_is_no_token_or_every_token_is_one_clear_sentence(suppress):
    with pytest.raises(UserError, match=r"of a vocabulary of 12 tokens, 0 to 11; name tokens of it, and not all"):
        warp(jnp.asarray(logits_of(0)), SamplingConfig(suppress=suppress))


def test_equally_likely_tokens_stay_or_go_together():
    row = [0.0, 1.0, 1.0, 1.0, -2.0]
    for config in (SamplingConfig(top_k=2), SamplingConfig(top_p=0.3)):
        assert support([row], config) == [{1, 2, 3}]


def test_what_stays_is_divided_by_the_temperature_and_by_nothing_else():
    logits = logits_of(0, rows=3)
    warped = np.asarray(warp(jnp.asarray(logits), SamplingConfig(temperature=0.5, top_k=4)))
    inside = np.isfinite(warped)
    np.testing.assert_allclose(warped[inside], logits[inside] / 0.5, rtol=1e-6)
    np.testing.assert_array_equal(warp(jnp.asarray(logits), SamplingConfig()), logits)


def test_a_given_temperature_goes_before_the_configured_one():
    logits = jnp.asarray(logits_of(0))
    result = warp(logits, SamplingConfig(temperature=3.0), temperature=jnp.float32(0.5))
    np.testing.assert_allclose(result, logits / 0.5, rtol=1e-6)


def test_a_sampled_token_stays_inside_when_the_learners_logits_have_moved():
    (row,) = logits_of(0)
    least = slow_probabilities(row)[-1][0]
    config = SamplingConfig(top_k=2, top_p=0.5, min_p=0.5)
    kept = np.asarray(warp(jnp.asarray([row]), config, keep=jnp.asarray([least])))
    assert set(np.flatnonzero(np.isfinite(kept[0])).tolist()) == support([row], config)[0] | {least}


# ---- choosing ----


def test_frequencies_match_the_distribution():
    """A chi-square test at a fixed seed; a wrong cell shifts it by hundreds."""
    draws = 20_000
    config = SamplingConfig(temperature=0.8, top_k=8)
    logits = warp(jnp.asarray(logits_of(3)), config)
    uniform = jax.random.uniform(jax.random.key(0), (draws,))
    tokens = CHOOSE(jnp.broadcast_to(logits, (draws, VOCAB)), uniform, jnp.asarray(False))
    counts = np.bincount(tokens, minlength=VOCAB)
    expected = draws * np.asarray(jax.nn.softmax(logits[0]), np.float64)
    inside = expected > 0
    assert inside.sum() == 8 and counts[~inside].sum() == 0
    expected *= draws / expected.sum()
    assert stats.chisquare(counts[inside], expected[inside]).pvalue > 1e-3


def test_the_uniform_number_is_where_it_falls_in_the_distribution_function():
    logits = jnp.log(jnp.asarray([[0.5, 0.0, 0.25, 0.25, 0.0]]))
    points = [0.0, 0.25, 0.49, 0.51, 0.74, 0.76, 0.9999]
    tokens = [int(CHOOSE(logits, jnp.asarray([u]), jnp.asarray(False))[0]) for u in points]
    assert tokens == [0, 0, 0, 2, 2, 3, 3]


def test_rounding_never_chooses_a_token_outside_the_support():
    """The uniform numbers stand on the very steps of the sums, where a bit of rounding decides."""
    rng = np.random.default_rng(0)
    rows, vocab = 200, 320
    weights = np.where(rng.random((rows, vocab)) < 0.5, rng.random((rows, vocab)), 0).astype(np.float32)
    logits = jnp.asarray(np.log(weights, where=weights > 0, out=np.full_like(weights, -np.inf)))
    cumulative = np.asarray(jax.jit(lambda w: jnp.cumsum(w, axis=-1))(weights))
    for column in range(0, vocab, 4):
        for edge in (cumulative[:, column], np.nextafter(cumulative[:, column], np.float32(0))):
            uniform = np.clip(edge / cumulative[:, -1], 0, np.float32(1 - 2**-24))
            tokens = np.asarray(CHOOSE(logits, jnp.asarray(uniform), jnp.asarray(False)))
            assert (weights[np.arange(rows), tokens] > 0).all()


def test_greedy_takes_the_likeliest_whatever_the_uniform_number():
    logits = logits_of(0, rows=5)
    for u in (0.0, 0.5, 0.999):
        tokens = CHOOSE(jnp.asarray(logits), jnp.full(5, u), jnp.asarray(True))
        np.testing.assert_array_equal(tokens, logits.argmax(axis=1))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"max_response": 0}, r"^sampling.max_response is 0; a response has at least 1 token\.$"),
        ({"temperature": -0.1}, r"^sampling.temperature is -0.1; it must be 0 \(greedy\) or more\.$"),
        ({"top_k": -1}, r"^sampling.top_k is -1; it must be 0 \(off\) or more\.$"),
        ({"top_p": 0.0}, r"^sampling.top_p is 0.0; it must lie in \(0, 1\]\.$"),
        ({"suppress": (3, -1)}, r"^sampling.suppress is \(3, -1\); token ids are 0 or more\.$"),
        ({"min_p": 1.0}, r"^sampling.min_p is 1.0; it must lie in \[0, 1\)\.$"),
    ],
)
def test_a_setting_out_of_range_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        SamplingConfig(**changes)
