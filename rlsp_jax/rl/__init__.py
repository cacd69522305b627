"""Textbook functions on `[batch, time]` with masks: returns, advantages, KL estimators, losses."""

from rlsp_jax.rl.advantages import combine, group_centered, group_normalized, leave_one_out
from rlsp_jax.rl.kl import k1, k2, k3
from rlsp_jax.rl.losses import approx_kl, clip_fraction, clipped_surrogate, clipped_value_loss, policy_gradient
from rlsp_jax.rl.returns import gae

__all__ = [
    "approx_kl",
    "clip_fraction",
    "clipped_surrogate",
    "clipped_value_loss",
    "combine",
    "gae",
    "group_centered",
    "group_normalized",
    "k1",
    "k2",
    "k3",
    "leave_one_out",
    "policy_gradient",
]
