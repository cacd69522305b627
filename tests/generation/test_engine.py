import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlsp_jax.common.codes import StopReason
from rlsp_jax.generation import SamplingConfig, engine, make_generate_fn, make_stream_fns, warp
from rlsp_jax.models import nano, token_logprobs
from rlsp_jax.types import PromptBatch
from tests.models.builders import VOCAB, build, left_padded

EOS, PAD, STOP = 1, 1, 2  # padding has the id of eos: nothing may be read off token ids
WIDTH, TIME, ROWS = 5, 20, 16
PLAIN = SamplingConfig(max_response=TIME, stop_ids=(STOP,))
TRUNCATED = SamplingConfig(max_response=TIME, temperature=0.7, top_k=12, top_p=0.9, min_p=0.02, stop_ids=(STOP,))
KEY = jax.random.key(7)


@pytest.fixture(scope="module", autouse=True)
def short_segments():
    """The cache grows twice within a response."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SEGMENT", 8)
        yield


@pytest.fixture(scope="module")
def model_and_policy():
    model, params = build(nano(num_layers=1))
    return model, params["policy"]


@pytest.fixture(scope="module")
def prompts():
    """Two samples of each of eight problems, of lengths 1 to 5."""
    rng = np.random.default_rng(0)
    questions = [rng.integers(3, VOCAB, rng.integers(1, WIDTH + 1)).tolist() for _ in range(ROWS // 2)]
    tokens, mask = left_padded([q for q in questions for _ in range(2)], WIDTH, PAD)
    number = jnp.repeat(jnp.arange(100, 100 + ROWS // 2, dtype=jnp.int32), 2)
    return PromptBatch(tokens, mask, number, jnp.tile(jnp.arange(2, dtype=jnp.int32), ROWS // 2), ())


@pytest.fixture(scope="module")
def generate(model_and_policy):
    """config → rollouts of prompts at a temperature; compiled once per config and shape."""
    model, policy = model_and_policy
    compiled = {}

    def generate(config, prompts, temperature=None, key=KEY):
        if config not in compiled:
            compiled[config] = make_generate_fn(model, config, eos_id=EOS, pad_id=PAD)
        chosen = config.temperature if temperature is None else temperature
        return compiled[config](policy, prompts, key, jnp.float32(chosen))

    return generate


@pytest.fixture(scope="module")
def rollout(generate, prompts):
    return generate(PLAIN, prompts)


@pytest.fixture(scope="module")
def uncached(model_and_policy):
    """Last hidden states of whole sequences, without a cache."""
    model, policy = model_and_policy
    hidden = jax.jit(model.hidden)
    return lambda tokens, mask: hidden(policy, tokens, mask)


def same_response(left, right):
    for name in ("tokens", "mask", "stop_reason"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def take(tree, rows):
    return jax.tree.map(lambda x: x[np.asarray(rows)], tree)


# ---- sampler and learner ----


SUPPRESSING = dataclasses.replace(TRUNCATED, top_p=1.0, suppress=tuple(range(3, VOCAB, 2)))


@pytest.mark.parametrize("config", [PLAIN, TRUNCATED, SUPPRESSING], ids=["plain", "truncated", "suppressing"])
def test_sampled_logprobs_and_entropies_equal_the_learners(generate, prompts, model_and_policy, uncached, config):
    model, policy = model_and_policy
    rollout = generate(config, prompts)
    tokens = jnp.concatenate([prompts.tokens, rollout.tokens], axis=1)
    hidden = uncached(tokens, jnp.concatenate([prompts.mask, rollout.mask], axis=1))[:, WIDTH - 1 : -1]
    logprobs, entropies = token_logprobs(
        hidden, model.head(policy), rollout.tokens, warp=lambda logits, tokens: warp(logits, config, keep=tokens)
    )
    real = np.asarray(rollout.mask)
    assert real.sum() > 50 and np.isfinite(np.asarray(rollout.logprobs)).all()
    assert np.abs(logprobs - rollout.logprobs)[real].mean() < 2e-4
    np.testing.assert_allclose(entropies[real], rollout.entropies[real], atol=2e-3)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_suppressed_token_is_never_chosen(generate, prompts, temperature):
    chosen, others = generate(SUPPRESSING, prompts, temperature), generate(PLAIN, prompts, temperature)
    counts = [np.isin(r.tokens, SUPPRESSING.suppress)[np.asarray(r.mask)].sum() for r in (chosen, others)]
    assert counts[0] == 0 and counts[1] > 20


def test_greedy_equals_argmax_decoding_of_the_uncached_model(generate, prompts, model_and_policy, uncached):
    model, policy = model_and_policy
    rollout = generate(PLAIN, prompts, temperature=0.0)
    tokens = np.concatenate([prompts.tokens, np.full((ROWS, TIME), PAD)], axis=1).astype(np.int32)
    mask = np.concatenate([prompts.mask, np.zeros((ROWS, TIME), bool)], axis=1)
    running = np.ones(ROWS, bool)
    for t in range(WIDTH, WIDTH + TIME):
        logits = np.asarray(uncached(jnp.asarray(tokens), jnp.asarray(mask))[:, t - 1] @ model.head(policy))
        mask[running, t], tokens[running, t] = True, logits.argmax(axis=1)[running]
        running &= ~np.isin(tokens[:, t], (EOS, STOP))
    np.testing.assert_array_equal(rollout.tokens, tokens[:, WIDTH:])
    np.testing.assert_array_equal(rollout.mask, mask[:, WIDTH:])


def test_temperature_0_is_greedy_whatever_the_key(generate, prompts):
    same_response(generate(PLAIN, prompts, 0.0), generate(PLAIN, prompts, 0.0, jax.random.key(8)))


def test_frequencies_of_first_tokens_match_the_policy(generate, prompts, model_and_policy, uncached):
    """4096 samples of one problem against its softmax: a chi-square test at a fixed seed."""
    model, policy = model_and_policy
    draws = 4096
    many = take(prompts, [0] * draws)._replace(sample=jnp.arange(draws, dtype=jnp.int32))
    first = generate(SamplingConfig(max_response=1), many).tokens[:, 0]
    logits = uncached(prompts.tokens, prompts.mask)[0, -1] @ model.head(policy)
    expected = draws * np.asarray(jax.nn.softmax(logits), np.float64)
    common = expected > 5
    observed = np.bincount(first, minlength=VOCAB)
    pooled = [np.append(x[common], x[~common].sum()) for x in (observed, expected * draws / expected.sum())]
    assert common.sum() > 5 and stats.chisquare(*pooled).pvalue > 1e-3


# ---- a row and its batch ----


def test_a_response_does_not_depend_on_its_place_in_the_batch(generate, prompts, rollout):
    order = np.random.default_rng(1).permutation(ROWS)
    same_response(generate(PLAIN, take(prompts, order)), take(rollout._replace(prompts=()), order))


def test_a_response_does_not_depend_on_the_batch_it_is_drawn_in(generate, prompts, rollout):
    rows = [11, 2, 7]
    same_response(generate(PLAIN, take(prompts, rows)), take(rollout._replace(prompts=()), rows))


def test_samples_problems_and_keys_differ(generate, prompts, rollout):
    tokens = np.asarray(rollout.tokens)
    assert (tokens[::2] != tokens[1::2]).any(axis=1).mean() > 0.8  # two samples of a problem
    same = prompts._replace(tokens=jnp.tile(prompts.tokens[:1], (ROWS, 1)), mask=jnp.tile(prompts.mask[:1], (ROWS, 1)))
    asked = np.asarray(generate(PLAIN, same).tokens)  # problems with the same words
    assert (asked[2::2] != asked[:-2:2]).any(axis=1).mean() > 0.5
    assert (np.asarray(generate(PLAIN, prompts, key=jax.random.key(8)).tokens) != tokens).any(axis=1).mean() > 0.8


# ---- where responses end ----


def test_every_response_ends_for_the_reason_it_gives(rollout):
    lengths = np.asarray(rollout.mask.sum(axis=1))
    last = np.asarray(rollout.tokens)[np.arange(ROWS), lengths - 1]
    reasons = np.where(last == EOS, StopReason.EOS, np.where(last == STOP, StopReason.STOP, StopReason.LENGTH))
    np.testing.assert_array_equal(rollout.stop_reason, reasons)
    assert set(reasons) == set(StopReason), "the seed shows too little"
    assert (lengths[reasons == StopReason.LENGTH] == TIME).all()


def test_nothing_stands_after_the_end_and_every_response_has_a_token(rollout):
    lengths = np.asarray(rollout.mask.sum(axis=1))
    assert lengths.min() >= 1
    np.testing.assert_array_equal(rollout.mask, np.arange(TIME) < lengths[:, None])
    beyond = ~np.asarray(rollout.mask)
    assert (np.asarray(rollout.tokens)[beyond] == PAD).all()
    assert (np.asarray(rollout.logprobs)[beyond] == 0).all() and (np.asarray(rollout.entropies)[beyond] == 0).all()
    before_last = np.arange(TIME) < lengths[:, None] - 1
    assert not np.isin(np.asarray(rollout.tokens)[before_last], (EOS, STOP)).any()


def test_a_response_that_ends_at_once_has_one_token(generate, prompts):
    every = SamplingConfig(max_response=TIME, stop_ids=tuple(range(VOCAB)))
    rollout = generate(every, prompts)
    assert (rollout.mask.sum(axis=1) == 1).all() and rollout.mask[:, 0].all()


def test_a_limit_of_one_token_gives_one_token(generate, prompts):
    rollout = generate(SamplingConfig(max_response=1), prompts)
    assert rollout.tokens.shape == (ROWS, 1) and rollout.mask.all()


# ---- streaming ----


@pytest.fixture(scope="module")
def stream(model_and_policy):
    return make_stream_fns(model_and_policy[0], PLAIN, eos_id=EOS, pad_id=PAD)


def test_streamed_tokens_are_those_of_generate(stream, model_and_policy, prompts, rollout):
    begin, go_on = stream
    _, policy = model_and_policy
    state = begin(policy, prompts, KEY)
    for until in (1, 2, 9, TIME):
        state = go_on(policy, prompts, state, jnp.float32(1.0), jnp.int32(until))
        shown = np.asarray(rollout.mask) & (np.arange(TIME) < until)
        np.testing.assert_array_equal(state.mask, shown)
        np.testing.assert_array_equal(np.asarray(state.tokens)[shown], np.asarray(rollout.tokens)[shown])


def test_decoding_stops_as_soon_as_every_row_is_done(stream, model_and_policy, prompts, rollout):
    begin, go_on = stream
    _, policy = model_and_policy
    lengths = np.asarray(rollout.mask.sum(axis=1))
    short = np.resize(np.flatnonzero(lengths < TIME // 2), ROWS)
    asked = take(prompts, short)
    state = go_on(policy, asked, begin(policy, asked, KEY), jnp.float32(1.0), jnp.int32(TIME))
    assert int(state.time) == lengths[short].max() < TIME


def test_a_second_call_compiles_nothing(generate, prompts, rollout, model_and_policy):
    model, policy = model_and_policy
    function = make_generate_fn(model, PLAIN, eos_id=EOS, pad_id=PAD)
    for temperature in (1.0, 0.0, 0.5):
        function(policy, prompts, KEY, jnp.float32(temperature))
    assert function._cache_size() == 1
