"""The policy and its critics: functions of parameters, and the one door to flax.

Parameters are a dict of two trees: `policy`, a transformer, and `value`, a head per name (and, with
`value_trunk="separate"`, a transformer of its own). With adapters (`models.lora`) the policy is a base and its
adapters, and a critic's own transformer is other adapters of the same base.
"""

import dataclasses
from functools import cached_property

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.models import attention, lora
from rlsp_jax.models.attention import Segments
from rlsp_jax.models.config import ModelConfig
from rlsp_jax.models.transformer import Transformer
from rlsp_jax.types import Params, PyTree


class ValueHeads(nn.Module):
    """K values of each hidden state, in float32; they begin at 0."""

    num_heads: int
    hidden_size: int

    @nn.compact
    def __call__(self, hidden):
        hidden = hidden.astype(jnp.float32)
        if self.hidden_size:
            hidden = nn.silu(nn.Dense(self.hidden_size, name="hidden")(hidden))
        return nn.Dense(self.num_heads, kernel_init=nn.initializers.zeros, name="out")(hidden)


@dataclasses.dataclass(frozen=True)
class ActorCritic:
    """A model's pure functions; it holds no parameters."""

    config: ModelConfig
    vocab_size: int

    @cached_property
    def _trunk(self) -> Transformer:
        return Transformer(self.config, self.vocab_size)

    @cached_property
    def _heads(self) -> ValueHeads:
        return ValueHeads(len(self.config.value_heads), self.config.value_hidden)

    def init(self, key) -> Params:
        """Fresh parameters."""
        policy_key, trunk_key, heads_key = jax.random.split(key, 3)
        tokens = jnp.zeros((1, 2), jnp.int32)
        inputs = (tokens, tokens, jnp.ones((1, 2), bool))
        policy = self._init_trunk(policy_key, *inputs)
        value = {}
        if self.config.value_heads:
            hidden = jnp.zeros((1, 2, self.config.embed_dim))
            value["heads"] = self._heads.init(heads_key, hidden)["params"]
            if self.config.value_trunk == "separate":
                value["trunk"] = lora.learned(self._init_trunk(trunk_key, *inputs))
        return {"policy": policy, "value": value}

    def _init_trunk(self, key, *inputs) -> Params:
        params = self._trunk.init(key, *inputs)["params"]
        return params if self.config.lora is None else lora.split(params)

    @cached_property
    def bare(self) -> "ActorCritic":
        """The same model without adapters: what a checkpoint holds."""
        return ActorCritic(dataclasses.replace(self.config, lora=None), self.vocab_size)

    def merged(self, params: Params) -> Params:
        """The parameters of `bare` that compute the same; they share what has no adapter."""
        if self.config.lora is None:
            return params
        value = params["value"]
        if "trunk" in value:
            value = value | {"trunk": lora.merge(self.config.lora, self._critic_trunk(params))}
        return params | {"policy": lora.merge(self.config.lora, params["policy"]), "value": value}

    def _critic_trunk(self, params: Params) -> Params:
        return lora.with_learned(params["policy"], params["value"]["trunk"])

    def hidden(self, policy: Params, tokens: Int[Array, "batch time"], segments: Segments):
        """Last hidden states `[batch, time, embed]` of whole sequences.

        `segments` numbers the sequences packed into a row, from 1; 0 (or False) is padding. Tokens
        see only their own segment, so a mask of one sequence per row is a valid `segments` too (and, where each row
        is one run of tokens between padding, the better one: cuDNN knows no packed rows).
        """
        return self._read(policy, tokens, segments)[0]

    def _read(self, policy: Params, tokens, segments):
        places = positions(segments.astype(jnp.int32))
        return self._trunk.apply({"params": lora.joined(policy)}, tokens, places, segments)

    def head(self, policy: Params) -> Float[Array, "embed vocab"]:
        """The matrix that turns hidden states into logits."""
        policy = lora.base_of(policy)
        return policy["embed"]["embedding"].T if self.config.tie_embeddings else policy["head"]["kernel"]

    def values(self, params: Params, tokens, segments, hidden) -> Float[Array, "head batch time"]:
        """Values of the state *after* each token; `hidden` are the policy's states of the same tokens."""
        if self.config.value_trunk == "separate":
            hidden = self.hidden(self._critic_trunk(params), tokens, segments)
        elif self.config.value_trunk == "detached":
            hidden = jax.lax.stop_gradient(hidden)
        values = self._heads.apply({"params": params["value"]["heads"]}, hidden)
        return jnp.moveaxis(jnp.asarray(values), -1, 0)

    def prefill(self, policy: Params, tokens: Int[Array, "batch prompt"], mask: Bool[Array, "batch prompt"]):
        """The last hidden state `[batch, embed]` of left-padded prompts, and their cache."""
        hidden, cache = self._read(policy, tokens, mask)
        return hidden[:, -1], cache

    def decode(
        self,
        policy: Params,
        cache: PyTree,
        token: Int[Array, " batch"],
        position: Int[Array, " batch"],
        column: Int[Array, ""],
        live: Bool[Array, "batch columns"],
    ):
        """One more token, written at `column`: its hidden state `[batch, embed]` and the cache.

        `live` marks the columns to attend to, this token's own included.
        """
        hidden, cache = self._trunk.apply(
            {"params": lora.joined(policy)}, token[:, None], position[:, None], live[:, None], cache, column
        )
        return hidden[:, 0], cache

    def columns(self, cache: PyTree) -> int:
        """How many columns a cache has room for."""
        is_layer = lambda node: isinstance(node, attention.LayerCache)  # noqa: E731
        return jax.tree.leaves(cache, is_leaf=is_layer)[0].keys.shape[-1]

    def grow(self, cache: PyTree, columns: int) -> PyTree:
        """The cache with room for `columns` columns."""
        is_layer = lambda node: isinstance(node, attention.LayerCache)  # noqa: E731
        return jax.tree.map(lambda layer: attention.grow(layer, columns), cache, is_leaf=is_layer)


def positions(segments: Int[Array, "batch time"]) -> Int[Array, "batch time"]:
    """The place of each token in its own segment, from 0."""
    columns = jnp.arange(segments.shape[1])
    before = jnp.pad(segments, ((0, 0), (1, 0)))[:, :-1]
    starts = jnp.where(segments != before, columns, 0)
    return columns - jax.lax.cummax(starts, axis=1)
