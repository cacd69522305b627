"""What the entropy of the policy is paid: as scheduled, or as much as holds it up."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_mean
from rlsp_jax.schedules import Schedule
from rlsp_jax.types import Experience


@dataclasses.dataclass(frozen=True)
class EntropyTarget:
    """max_coef · clip((target − H) / target, 0, 1): nothing at the target entropy, `max_coef` at none.

    H, in nats per token, is estimated by the experience itself, as the mean surprise −log π of the tokens drawn. So
    the controller has no state: what it pays at a step is a function of that step's rollouts.
    """

    target: float
    max_coef: float

    def __post_init__(self):
        for field in ("target", "max_coef"):
            if not (value := vars(self)[field]) > 0:
                raise UserError(f"{field} of the entropy target is {value}; it must be positive.")

    def __call__(self, entropy: Float[Array, ""]) -> Float[Array, ""]:
        return self.max_coef * jnp.clip((self.target - entropy) / self.target, 0.0, 1.0)


def entropy_coefficient(coef: Schedule | EntropyTarget, step: Int[Array, ""], experience: Experience) -> jax.Array:
    """The weight of the mean entropy in the loss of this step."""
    if isinstance(coef, EntropyTarget):
        return coef(-masked_mean(experience.logprobs, experience.mask))
    return coef(step)
