"""An answer asked for behind a part of the thinking: question ++ kept thinking ++ marker, then what is generated.

The kept tokens are the ones that were sampled and the marker is encoded once, so nothing is ever encoded again.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.common.codes import StopReason
from rlsp_jax.common.words import ANSWER
from rlsp_jax.evaluation.respond import Checker
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.generation.engine import decode_until, finish, make_room, start_decoding
from rlsp_jax.models import ActorCritic
from rlsp_jax.rewards import ExactTextChecker, MathChecker
from rlsp_jax.types import Params, PromptBatch, PyTree, Rollout, Verdicts

WHOLE = 1000  # a fraction of the thinking is counted in thousandths of it

ReadFn = Callable[[Params, Rollout], PyTree]
ElicitFn = Callable[[Params, PyTree, Rollout, Int[Array, " batch"]], Rollout]


def default_marker(checker: Checker) -> str:
    """What makes a model answer in the form that a checker reads."""
    match checker:
        case MathChecker():
            return "\nThe final answer is \\boxed{"
        case ExactTextChecker():
            return f"\n{ANSWER} "  # one token of `permutation_symbols`: every line begins with its line break
        case _:
            return f"{ANSWER} "


def thinking_tokens(rollout: Rollout, verdicts: Verdicts) -> Int[Array, " batch"]:
    """How many tokens each response has before its first final answer; without one, before the token that ended it."""
    ended = (rollout.stop_reason != StopReason.LENGTH).astype(jnp.int32)
    return jnp.minimum(verdicts.answer_start, rollout.mask.sum(axis=1) - ended)


def kept_tokens(thinking: Int[Array, " batch"], thousandths: int, budget: int) -> Int[Array, " batch"]:
    """The part of the thinking that is kept: so many thousandths, to the nearest token, and at most the budget."""
    return jnp.minimum((thinking * thousandths + WHOLE // 2) // WHOLE, budget)


def make_elicit_fns(
    model: ActorCritic,
    marker: Sequence[int],
    max_answer: int,
    *,
    stop_ids: tuple[int, ...] = (),
    eos_id: int,
    pad_id: int,
) -> tuple[ReadFn, ElicitFn]:
    """`read(policy, rollout) -> cache` and `elicit(policy, cache, rollout, kept) -> Rollout`, jitted.

    A policy reads questions and whole responses once. Since it is causal, the same cache serves every cut: behind the
    first `kept` tokens of each response and the marker it writes at most `max_answer` tokens, greedily. The rollout
    returned has the same questions, and responses of kept thinking, marker and answer, as one text for a checker; its
    log-probabilities and entropies are 0, for most of its tokens were not chosen there.
    """
    sampling = SamplingConfig(max_response=max_answer, temperature=0.0, stop_ids=stop_ids)
    greedy, key = jnp.float32(0.0), jax.random.key(0)  # greedy: the key decides nothing

    @jax.jit
    def read(policy: Params, rollout: Rollout) -> PyTree:
        tokens = jnp.concatenate([rollout.prompts.tokens, rollout.tokens], axis=1)
        mask = jnp.concatenate([rollout.prompts.mask, rollout.mask], axis=1)
        return model.prefill(policy, tokens, mask)[1]

    @jax.jit
    def elicit(policy: Params, cache: PyTree, rollout: Rollout, kept: Int[Array, " batch"]) -> Rollout:
        asked = ask(rollout, kept, marker)
        hidden, cache = read_marker(model, policy, cache, asked, marker)
        state = start_decoding(asked, hidden, cache, key, max_answer, pad_id)
        state = make_room(model, asked, state, max_answer)
        state = decode_until(model, policy, asked, state, max_answer, sampling, greedy, eos_id)
        return with_answer(rollout, kept, marker, finish(asked, state), pad_id)

    return read, elicit


def ask(rollout: Rollout, kept: Int[Array, " batch"], marker: Sequence[int]) -> PromptBatch:
    """Question ++ response ++ marker as prompts; what the mask leaves out of the response is not seen."""
    prompts, shape = rollout.prompts, (len(kept), len(marker))
    parts = (prompts.tokens, rollout.tokens, jnp.broadcast_to(jnp.asarray(marker, jnp.int32), shape))
    inside = jnp.arange(rollout.tokens.shape[1]) < kept[:, None]
    mask = jnp.concatenate([prompts.mask, inside, jnp.ones(shape, bool)], axis=1)
    return prompts._replace(tokens=jnp.concatenate(parts, axis=1), mask=mask)


def read_marker(
    model: ActorCritic, policy: Params, cache: PyTree, asked: PromptBatch, marker: Sequence[int]
) -> tuple[Float[Array, "batch embed"], PyTree]:
    """The state behind the marker, and the cache with it; `cache` is that of question and response."""
    width = asked.tokens.shape[1]
    first, columns = width - len(marker), jnp.arange(width)
    position = asked.mask.sum(axis=1).astype(jnp.int32) - len(marker)
    cache = model.grow(cache, width)
    hidden = jnp.zeros(())  # the marker has a token, so this is replaced
    for i in range(len(marker)):
        live = asked.mask & (columns <= first + i)
        hidden, cache = model.decode(
            policy, cache, asked.tokens[:, first + i], position + i, jnp.int32(first + i), live
        )
    return hidden, cache


def with_answer(
    rollout: Rollout, kept: Int[Array, " batch"], marker: Sequence[int], answer: Rollout, pad_id: int
) -> Rollout:
    """Kept thinking, marker and generated answer as the responses to the questions, padded on the right."""
    written = answer.mask.sum(axis=1).astype(jnp.int32)
    repeated = jnp.broadcast_to(jnp.asarray(marker, jnp.int32), (len(kept), len(marker)))
    pieces = [(rollout.tokens, kept), (repeated, jnp.full_like(kept, len(marker))), (answer.tokens, written)]
    tokens, mask = join(pieces, pad_id)
    nothing = jnp.zeros(tokens.shape, jnp.float32)
    return Rollout(rollout.prompts, tokens, mask, nothing, nothing, answer.stop_reason)


def join(
    pieces: Sequence[tuple[jax.Array, jax.Array]], pad_id: int
) -> tuple[Int[Array, "batch total"], Bool[Array, "batch total"]]:
    """The first so many tokens of each piece, one behind the other, padded on the right; with the mask.

    A piece is tokens `[batch, width]`, of a width of its own, and how many of them count, `[batch]`.
    """
    source = jnp.concatenate([tokens for tokens, _ in pieces], axis=1)
    place = jnp.arange(source.shape[1], dtype=jnp.int32)  # in the joined row
    at, first, column = jnp.zeros(source.shape, jnp.int32), jnp.zeros((len(source), 1), jnp.int32), 0
    for tokens, length in pieces:
        at = jnp.where(place >= first, column + place - first, at)
        first, column = first + length[:, None], column + tokens.shape[1]
    mask = place < first
    taken = jnp.take_along_axis(source, jnp.minimum(at, source.shape[1] - 1), axis=1)
    return jnp.where(mask, taken, pad_id), mask
