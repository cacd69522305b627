"""Group baselines, and the weighting of reward streams."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def leave_one_out(
    scores: Float[Array, " batch"], valid: Bool[Array, " batch"], group_size: int
) -> Float[Array, " batch"]:
    """r_i − mean of the other valid scores of the group; `group_size` neighbouring rows are one group. float32.

    0 for a row that is not valid or has no valid sibling. Taken as the mean of the differences r_i − r_j, which is
    the same and is exactly 0 where all scores are equal: there is no rounding for a later whitening to blow up.
    Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!"; Ahmadian et al. 2024 (2402.14740), "RLOO".
    Raises ValueError if the batch is not made of whole groups.
    """
    differences, count = _differences(scores, valid, group_size)
    return (differences / jnp.maximum(count - 1, 1)).reshape(-1)  # a valid row has no difference to itself


def group_centered(
    scores: Float[Array, " batch"], valid: Bool[Array, " batch"], group_size: int
) -> Float[Array, " batch"]:
    """r_i − mean of the valid scores of the group, its own among them; 0 for a row that is not valid. float32.

    (n − 1) / n times `leave_one_out`, and exactly 0 where all scores are equal. Liu et al. 2025 (2503.20783),
    "Dr. GRPO". Raises ValueError if the batch is not made of whole groups.
    """
    differences, count = _differences(scores, valid, group_size)
    return (differences / jnp.maximum(count, 1)).reshape(-1)


def group_normalized(
    scores: Float[Array, " batch"], valid: Bool[Array, " batch"], group_size: int, *, eps: float
) -> Float[Array, " batch"]:
    """(r_i − mean) / (std + ε) of the valid scores of the group; 0 for a row that is not valid. float32.

    The deviation is that of the population, divided by n; ε has the unit of the scores. Shao et al. 2024
    (2402.03300), "GRPO", §4.1.2. Raises ValueError if the batch is not made of whole groups.
    """
    centered = group_centered(scores, valid, group_size).reshape(-1, group_size)
    count = jnp.maximum(valid.reshape(-1, group_size).sum(axis=1, keepdims=True), 1)
    std = jnp.sqrt(jnp.sum(jnp.square(centered), axis=1, keepdims=True) / count)
    return (centered / (std + eps)).reshape(-1)


def _differences(
    scores: Float[Array, " batch"], valid: Bool[Array, " batch"], group_size: int
) -> tuple[Float[Array, "groups size"], Int[Array, "groups size"]]:
    """Σ_j (r_i − r_j) over the valid rows j of i's group, and their number; 0 and 0 for a row that is not valid."""
    if group_size < 1 or scores.shape[0] % group_size:
        raise ValueError(f"A batch of {scores.shape[0]} rows does not divide into groups of {group_size}.")
    scores = scores.astype(jnp.float32).reshape(-1, group_size)
    valid = valid.reshape(-1, group_size)
    comparable = valid[:, :, None] & valid[:, None, :]
    differences = jnp.where(comparable, scores[:, :, None] - scores[:, None, :], 0)
    return jnp.sum(differences, axis=-1), jnp.sum(comparable, axis=-1)


def combine(x: Float[Array, "stream batch time"], weights: Float[Array, " stream"]) -> Float[Array, "batch time"]:
    """Σ_k w_k x_k over the reward streams: of their rewards (2502.06773, Eq. 1) or of their advantages.

    Not an einsum: accelerators multiply matrices in a lower precision by default.
    """
    return jnp.sum(weights[:, None, None] * x, axis=0)
