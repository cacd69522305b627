"""Losses per token, to be minimised, and what is watched beside them: `[batch, time]`, or `[batch, head, time]`.

Nothing is reduced here: callers take masked sums and divide by the counts of the whole batch, so that no result
depends on how a batch is cut into micro-batches. Masked places must hold finite numbers (0, say), since a gradient
of 0 · ∞ is no number.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from rlsp_jax.rl.kl import k3


def policy_gradient(logprobs: Float[Array, "*shape"], advantages: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """−A log π: its gradient is that of the expected reward at the policy that drew the tokens, and only there.

    Williams 1992, "REINFORCE"; T1 (2501.11651) §2.2.2. Its value means nothing.
    """
    return -advantages * logprobs


def clipped_surrogate(
    logprobs: Float[Array, "*shape"],
    old_logprobs: Float[Array, "*shape"],
    advantages: Float[Array, "*shape"],
    *,
    clip: float,
) -> Float[Array, "*shape"]:
    """−min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) with ρ = π/π_old. Schulman et al. 2017 (1707.06347), Eq. 7."""
    ratio = jnp.exp(logprobs - old_logprobs)
    return -jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - clip, 1 + clip) * advantages)


def clipped_value_loss(
    values: Float[Array, "*shape"],
    old_values: Float[Array, "*shape"],
    returns: Float[Array, "*shape"],
    *,
    clip: float | None,
) -> Float[Array, "*shape"]:
    """½ max((V − R)², (V_old + clip(V − V_old, −ε, ε) − R)²); ½ (V − R)² if `clip` is None.

    Engstrom et al. 2020 (2005.12729), "value function clipping": V gains nothing by leaving V_old by more than ε,
    in units of reward.
    """
    loss = 0.5 * jnp.square(values - returns)
    if clip is None:
        return loss
    clipped_values = old_values + jnp.clip(values - old_values, -clip, clip)
    return jnp.maximum(loss, 0.5 * jnp.square(clipped_values - returns))


def clip_fraction(
    logprobs: Float[Array, "*shape"], old_logprobs: Float[Array, "*shape"], *, clip: float
) -> Float[Array, "*shape"]:
    """1 where the ratio π/π_old lies outside [1 − ε, 1 + ε], else 0: its masked mean is the fraction clipped."""
    return (jnp.abs(jnp.expm1(logprobs - old_logprobs)) > clip).astype(jnp.float32)


def approx_kl(logprobs: Float[Array, "*shape"], old_logprobs: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """How far the policy has moved, per token: the k3 estimate of KL(π_old ‖ π) from tokens of π_old, in nats."""
    return k3(old_logprobs, logprobs)
