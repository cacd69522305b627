"""The only room that spells flax: configs in, pure functions of parameters out."""

from rlsp_jax.models.actor_critic import ActorCritic, positions
from rlsp_jax.models.config import ModelConfig
from rlsp_jax.models.logprobs import gather_logprobs, token_logprobs
from rlsp_jax.models.lora import Lora, is_adapted, learned, merge, with_learned
from rlsp_jax.models.outcome_model import OutcomeModel, init_outcome_model
from rlsp_jax.models.presets import (
    glm4_9b,
    llama2_7b,
    llama2_13b,
    llama31_8b,
    llama32_1b,
    llama32_3b,
    nano,
    qwen3_06b,
    qwen3_4b,
    qwen3_8b,
    qwen3_17b,
    qwen25_05b,
    qwen25_7b,
    qwen25_14b,
    qwen25_15b,
    qwen25_32b,
    qwen25_math_7b,
    qwen25_math_15b,
    tiny,
)
from rlsp_jax.models.rope import LinearScaling, Llama3Scaling
from rlsp_jax.models.transformer import AXES

__all__ = [
    "AXES",
    "ActorCritic",
    "LinearScaling",
    "Lora",
    "Llama3Scaling",
    "ModelConfig",
    "OutcomeModel",
    "gather_logprobs",
    "glm4_9b",
    "init_outcome_model",
    "is_adapted",
    "learned",
    "llama2_7b",
    "llama2_13b",
    "llama31_8b",
    "llama32_1b",
    "llama32_3b",
    "merge",
    "nano",
    "positions",
    "qwen3_4b",
    "qwen3_06b",
    "qwen3_8b",
    "qwen3_17b",
    "qwen25_05b",
    "qwen25_7b",
    "qwen25_14b",
    "qwen25_15b",
    "qwen25_32b",
    "qwen25_math_7b",
    "qwen25_math_15b",
    "tiny",
    "token_logprobs",
    "with_learned",
]
