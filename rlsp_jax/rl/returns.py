"""Returns and advantages along a response, `[batch, time]`.

Responses are padded on the right, so that `mask` is True from the left up to the response's end. The state after the
last real token is terminal: nothing is worth anything there. What stands in masked places is never read.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def gae(
    rewards: Float[Array, "batch time"],
    values: Float[Array, "batch time"],
    mask: Bool[Array, "batch time"],
    *,
    gamma: float,
    lam: float,
) -> tuple[Float[Array, "batch time"], Float[Array, "batch time"]]:
    """Generalised advantage estimates and the returns that values are fitted to. float32; 0 where masked.

        δ_t = r_t + γ V_{t+1} − V_t        A_t = δ_t + γλ A_{t+1}        R_t = A_t + V_t

    `values[b, t]` is V of the state just before token t. Schulman et al. 2015 (1506.02438), Eq. 16.
    """
    rewards = jnp.where(mask, rewards.astype(jnp.float32), 0)
    values = jnp.where(mask, values.astype(jnp.float32), 0)
    next_values = jnp.pad(values[:, 1:], ((0, 0), (0, 1)))
    deltas = rewards + gamma * next_values - values
    advantages = jnp.where(mask, _discounted_sum(deltas, gamma * lam), 0)
    return advantages, advantages + values


def _discounted_sum(x: Float[Array, "batch time"], discount: float) -> Float[Array, "batch time"]:
    """y_t = x_t + discount · y_{t+1}, with y = 0 after the last column."""

    def step(later, now):
        total = now + discount * later
        return total, total

    _, totals = jax.lax.scan(step, jnp.zeros_like(x[:, 0]), x.T, reverse=True)
    return totals.T
