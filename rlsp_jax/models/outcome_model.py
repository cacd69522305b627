"""The outcome model: a transformer that says, after each token, how likely the response is to end right.

Parameters are a dict of two trees: `trunk`, a transformer of the policy's shape, and `heads`, one scalar.
"""

import dataclasses
from functools import cached_property

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rlsp_jax.common.trees import copy
from rlsp_jax.models.actor_critic import ActorCritic, Segments, ValueHeads
from rlsp_jax.models.config import ModelConfig
from rlsp_jax.models.lora import base_of
from rlsp_jax.types import Params


@dataclasses.dataclass(frozen=True)
class OutcomeModel:
    """A model's pure functions; it holds no parameters."""

    config: ModelConfig
    vocab_size: int

    @cached_property
    def _trunk(self) -> ActorCritic:
        return ActorCritic(self.config, self.vocab_size)

    @cached_property
    def _head(self) -> ValueHeads:
        return ValueHeads(1, 0)

    def logits(
        self, params: Params, tokens: Int[Array, "batch time"], segments: Segments
    ) -> Float[Array, "batch time"]:
        """The log-odds, after each token, that the final answer will be correct. float32.

        `segments` numbers the sequences packed into a row, from 1; 0 (or False) is padding, where nothing is said.
        """
        hidden = self._trunk.hidden(params["trunk"], tokens, segments)
        return jnp.asarray(self._head.apply({"params": params["heads"]}, hidden))[..., 0]


def init_outcome_model(policy: Params) -> Params:
    """What it begins with: a copy of the policy, and a head of zeros that says 1/2 of everything."""
    embed = base_of(policy)["final_norm"]["scale"].shape[-1]
    head = {"kernel": jnp.zeros((embed, 1)), "bias": jnp.zeros(1)}  # of `ValueHeads`, whose kernels begin at 0 too
    return {"trunk": copy(policy), "heads": {"out": head}}
