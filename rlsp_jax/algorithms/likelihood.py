"""What the learner makes of responses: log-probabilities under the distribution that they were sampled from."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.generation import SamplingConfig, warp
from rlsp_jax.models import ActorCritic, token_logprobs
from rlsp_jax.types import Params, Rollout


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
