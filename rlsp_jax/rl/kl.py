"""Estimators of KL(π ‖ ρ) per token, from tokens x drawn from the policy π; ρ is the reference.

Schulman 2020, "Approximating KL Divergence" (joschu.net/blog/kl-approx.html). An estimator may be right as a number
and wrong as a loss: the gradient of a mean over fixed samples leaves out that π chose them. In expectation over
x ~ π, on-policy, of one token's distribution:

               value            gradient as a loss,      gradient as a reward,
               E[k]             E[∇k]                    E[k · ∇log π]
    k1         KL(π ‖ ρ)        0                        ∇KL(π ‖ ρ)
    k2         ½ E[log²(π/ρ)]   ∇KL(π ‖ ρ)               ∇½E[log²(π/ρ)] − ∇KL(π ‖ ρ)
    k3         KL(π ‖ ρ)        ∇KL(ρ ‖ π)               ∇KL(π ‖ ρ) − ∇KL(ρ ‖ π)

So: k1 in the reward, k2 in the loss, k3 to watch. In a sequence, a loss term takes the states that were visited as
given, whereas the reward also pays for the KL of what follows.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def k1(logprobs: Float[Array, "*shape"], reference_logprobs: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log π(x) − log ρ(x), in nats: unbiased, of either sign. Right in the reward; as a loss it only adds noise."""
    return logprobs - reference_logprobs


def k2(logprobs: Float[Array, "*shape"], reference_logprobs: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """½ (log π(x) − log ρ(x))²: never negative, biased as a value. Right as a loss."""
    return 0.5 * jnp.square(logprobs - reference_logprobs)


def k3(logprobs: Float[Array, "*shape"], reference_logprobs: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """ρ(x)/π(x) − 1 − log(ρ(x)/π(x)), in nats: unbiased, never negative, of low variance. Right as a metric.

    As a loss it follows the gradient of the other direction, KL(ρ ‖ π), with the unbounded weight ρ/π.
    """
    log_ratio = reference_logprobs - logprobs
    return jnp.expm1(log_ratio) - log_ratio
