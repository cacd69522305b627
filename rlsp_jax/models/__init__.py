"""The only room that spells flax: configs in, pure functions of parameters out."""

from rlsp_jax.models.actor_critic import ActorCritic, positions
from rlsp_jax.models.config import ModelConfig, nano, tiny
from rlsp_jax.models.logprobs import gather_logprobs, token_logprobs
from rlsp_jax.models.outcome_model import OutcomeModel, init_outcome_model
from rlsp_jax.models.transformer import AXES

__all__ = [
    "AXES",
    "ActorCritic",
    "ModelConfig",
    "OutcomeModel",
    "gather_logprobs",
    "init_outcome_model",
    "nano",
    "positions",
    "tiny",
    "token_logprobs",
]
