"""What the learner makes of responses: log-probabilities under the distribution that they were sampled from."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.algorithms.by_length import map_by_length
from rlsp_jax.common.trees import join_rows, split_rows
from rlsp_jax.generation import SamplingConfig, warp
from rlsp_jax.models import ActorCritic, token_logprobs
from rlsp_jax.types import Params, PyTree, Rollout


def sequences(rollout: Rollout) -> tuple[Int[Array, "batch total"], Bool[Array, "batch total"]]:
    """`prompt ++ response`, and which of its tokens are real."""
    tokens = jnp.concatenate([rollout.prompts.tokens, rollout.tokens], axis=1)
    return tokens, jnp.concatenate([rollout.prompts.mask, rollout.mask], axis=1)


def response_logprobs(
    model: ActorCritic,
    sampling: SamplingConfig,
    policy: Params,
    hidden: Float[Array, "batch total embed"],
    response: Int[Array, "batch time"],
) -> tuple[Float[Array, "batch time"], Float[Array, "batch time"]]:
    """Log-probs and entropies (nats) of the response tokens; `hidden` are the states of `prompt ++ response`."""
    before = slice(hidden.shape[1] - response.shape[1] - 1, -1)
    sampled_under = lambda logits, tokens: warp(logits, sampling, keep=tokens)  # noqa: E731
    return token_logprobs(hidden[:, before], model.head(policy), response, warp=sampled_under)


def map_rollout(
    fn: Callable[[Array, Array, Array], PyTree], rollout: Rollout, parts: int, *, by_length: bool
) -> PyTree:
    """`fn(tokens, token_mask, response)` of a rollout's rows, some at a time; `by_length`, those of like length.

    The leaves of the result are `[rows, …, time]`, and 0 where there is no token.
    """
    rows = (*sequences(rollout), rollout.tokens)
    if by_length:
        result = map_by_length(lambda part: fn(*part), rows, rollout.mask, parts)
    else:
        result = join_rows(jax.lax.map(lambda part: fn(*part), split_rows(rows, parts)))
    time = rollout.mask.shape[1]
    return jax.tree.map(lambda x: jnp.where(rollout.mask.reshape(-1, *(1,) * (x.ndim - 2), time), x, 0), result)
