"""Prompts in, rollouts out: prefill, then a jitted loop over a typed decode state.

The loop stops when every row is done. A row's randomness is keyed by (key, problem, sample,
position), so a response does not depend on the batch it was drawn in. `prefill` and `decode_until`
are the seam for slots that are refilled while others decode: both work on a `DecodeState`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8

from rlsp_jax.common.codes import StopReason
from rlsp_jax.common.random import row_keys
from rlsp_jax.generation.sampling import SamplingConfig, choose, warp
from rlsp_jax.models import ActorCritic, gather_logprobs
from rlsp_jax.sharding import constrain_rows
from rlsp_jax.types import Params, PRNGKeyArray, PromptBatch, PyTree, Rollout

RUNNING = -1
SEGMENT = 64  # response columns by which the cache grows: attention reads only what may be live


class DecodeState(NamedTuple):
    """Everything decoding knows between two tokens."""

    time: Int[Array, ""]  # response tokens chosen so far
    hidden: Float[Array, "batch embed"]  # the state that predicts the next token
    cache: PyTree
    keys: PRNGKeyArray  # [batch], one per row
    tokens: Int[Array, "batch time"]
    mask: Bool[Array, "batch time"]
    logprobs: Float[Array, "batch time"]
    entropies: Float[Array, "batch time"]
    stop_reason: Int8[Array, " batch"]  # RUNNING, or a StopReason


GenerateFn = Callable[..., Rollout]


def make_generate_fn(model: ActorCritic, config: SamplingConfig, *, eos_id: int, pad_id: int) -> GenerateFn:
    """`generate(policy, prompts, key, temperature) -> Rollout`, jitted; temperature 0 is greedy.

    Temperature is an argument, not a constant, so that drawing and greedy decoding share one program.
    """

    @jax.jit
    def generate(policy: Params, prompts: PromptBatch, key: PRNGKeyArray, temperature: Float[Array, ""]) -> Rollout:
        state = prefill(model, policy, prompts, key, config.max_response, pad_id)
        for end in _segments(config.max_response):
            state = make_room(model, prompts, state, end)
            state = decode_until(model, policy, prompts, state, end, config, temperature, eos_id)
        return finish(prompts, state)

    return generate


def make_stream_fns(
    model: ActorCritic, config: SamplingConfig, *, eos_id: int, pad_id: int
) -> tuple[Callable, Callable]:
    """`begin(policy, prompts, key) -> state` and `go_on(policy, prompts, state, temperature, until) -> state`, jitted.

    For showing responses while they are written; the tokens are those that `generate` returns.
    """

    @jax.jit
    def begin(policy: Params, prompts: PromptBatch, key: PRNGKeyArray) -> DecodeState:
        state = prefill(model, policy, prompts, key, config.max_response, pad_id)
        return make_room(model, prompts, state, config.max_response)

    @jax.jit
    def go_on(policy: Params, prompts: PromptBatch, state: DecodeState, temperature, until) -> DecodeState:
        return decode_until(model, policy, prompts, state, until, config, temperature, eos_id)

    return begin, go_on


def _segments(max_response: int) -> list[int]:
    return [*range(SEGMENT, max_response, SEGMENT), max_response]


def prefill(
    model: ActorCritic, policy: Params, prompts: PromptBatch, key: PRNGKeyArray, max_response: int, pad_id: int
) -> DecodeState:
    """Read the prompts and stand before the first response token."""
    with jax.named_scope("prefill"):
        hidden, cache = model.prefill(policy, prompts.tokens, prompts.mask)
    return start_decoding(prompts, constrain_rows(hidden, None), cache, key, max_response, pad_id)


def start_decoding(
    prompts: PromptBatch,
    hidden: Float[Array, "batch embed"],
    cache: PyTree,
    key: PRNGKeyArray,
    max_response: int,
    pad_id: int,
) -> DecodeState:
    """The state before the first response token, of prompts that have been read."""
    batch = prompts.tokens.shape[0]
    shape = (batch, max_response)
    return DecodeState(
        time=jnp.zeros((), jnp.int32),
        hidden=hidden,
        cache=cache,
        keys=row_keys(key, prompts.problem, prompts.sample),
        tokens=jnp.full(shape, pad_id, jnp.int32),
        mask=jnp.zeros(shape, bool),
        logprobs=jnp.zeros(shape, jnp.float32),
        entropies=jnp.zeros(shape, jnp.float32),
        stop_reason=jnp.full(batch, RUNNING, jnp.int8),
    )


def decode_until(
    model: ActorCritic,
    policy: Params,
    prompts: PromptBatch,
    state: DecodeState,
    end: Int[Array, ""] | int,
    config: SamplingConfig,
    temperature: Float[Array, ""],
    eos_id: int,
) -> DecodeState:
    """Decode until every row is done or `end` response tokens are chosen; the cache must have room for them."""
    start = prompts.tokens.shape[1]
    lengths = prompts.mask.sum(axis=1)
    columns = jnp.arange(model.columns(state.cache))
    prompt_live = jnp.pad(prompts.mask, ((0, 0), (0, len(columns) - start)))
    head = model.head(policy)
    stop_ids = jnp.asarray((eos_id, *config.stop_ids), jnp.int32)

    def unfinished(state: DecodeState):
        return (state.time < end) & jnp.any(state.stop_reason == RUNNING)

    def one_token(state: DecodeState) -> DecodeState:
        running = state.stop_reason == RUNNING
        t = state.time
        with jax.named_scope("choose"):
            narrow = head.astype(state.hidden.dtype)
            logits = jnp.einsum("be,ev->bv", state.hidden, narrow, preferred_element_type=jnp.float32)
            logits = warp(logits, config, temperature=temperature)
            uniform = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, t)))(state.keys)
            token = choose(logits, uniform, temperature == 0)
            logprob, entropy = gather_logprobs(logits, token)
        with jax.named_scope("decode"):
            live = prompt_live | ((columns >= start) & (columns <= start + t))
            hidden, cache = model.decode(policy, state.cache, token, lengths + t, start + t, live)
        stops = running & jnp.any(token[:, None] == stop_ids, axis=1)
        reason = jnp.where(token == eos_id, jnp.int8(StopReason.EOS), jnp.int8(StopReason.STOP))
        put = lambda array, value: array.at[:, t].set(jnp.where(running, value, array[:, t]))  # noqa: E731
        return DecodeState(
            time=t + 1,
            hidden=hidden,
            cache=cache,
            keys=state.keys,
            tokens=put(state.tokens, token),
            mask=put(state.mask, True),
            logprobs=put(state.logprobs, logprob),
            entropies=put(state.entropies, entropy),
            stop_reason=jnp.where(stops, reason, state.stop_reason),
        )

    return jax.lax.while_loop(unfinished, one_token, state)


def finish(prompts: PromptBatch, state: DecodeState) -> Rollout:
    """What has been decoded; rows that were still running met the limit."""
    running = state.stop_reason == RUNNING
    return Rollout(
        prompts=prompts,
        tokens=state.tokens,
        mask=state.mask,
        logprobs=state.logprobs,
        entropies=state.entropies,
        stop_reason=jnp.where(running, jnp.int8(StopReason.LENGTH), state.stop_reason),
    )


def make_room(model: ActorCritic, prompts: PromptBatch, state: DecodeState, end: int) -> DecodeState:
    """The state with a cache for `end` response tokens."""
    return state._replace(cache=model.grow(state.cache, prompts.tokens.shape[1] + end))
