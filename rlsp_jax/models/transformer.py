"""The decoder-only transformer: RMSNorm, rotary grouped-query attention, SwiGLU.

One `__call__` serves the learner (no cache), prefill (no cache in, the prompt's cache out) and
decoding (one token against a cache), so sampler and learner cannot drift apart.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.models import attention, lora, rope
from rlsp_jax.models.attention import LayerCache, Segments
from rlsp_jax.models.config import ModelConfig
from rlsp_jax.sharding import constrain_rows
from rlsp_jax.types import PyTree

REMAT = {"full": None, "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable}

# parameter path → logical axes (sharding.MESH_AXES says which mesh axis each one lies on)
AXES = (
    (r"embed/embedding", ("vocab", "embed")),
    (r"head/kernel", ("embed", "vocab")),
    (r"attention/(query|key|value)/kernel", ("embed", "heads", None)),
    (r"attention/(query|key|value)/bias", ("heads", None)),
    (r"attention/out/kernel", ("heads", None, "embed")),
    (r"mlp/(gate|up)/kernel", ("embed", "mlp")),
    (r"mlp/down/kernel", ("mlp", "embed")),
    (r"\w*norm/scale", (None,)),
    (r"heads/(hidden|out)/kernel", (None, None)),
    (r"heads/(hidden|out)/bias", (None,)),
    *lora.AXES,
    (r"memory/.+", ()),  # what a reward kernel remembers
)


def dtypes(config: ModelConfig) -> dict[str, Any]:
    """What flax's layers compute in, and what their parameters are stored in."""
    return {"dtype": jnp.dtype(config.dtype), "param_dtype": jnp.dtype(config.param_dtype)}


class RMSNorm(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x):
        c = self.config
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.dtype(c.param_dtype))
        wide = x.astype(jnp.float32)
        normal = wide * jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + c.norm_eps)
        return (normal * scale).astype(x.dtype)


class Attention(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x, positions, seen, cache, column):
        c = self.config
        kind = dtypes(c)

        def project(name, heads):
            y = nn.DenseGeneral((heads, c.head_dim), use_bias=c.qkv_bias, **kind, name=name)(x)
            return lora.adapted(c.lora, name, x, y)

        queries, keys = project("query", c.num_heads), project("key", c.num_kv_heads)
        if c.qk_norm:
            queries, keys = RMSNorm(c, name="query_norm")(queries), RMSNorm(c, name="key_norm")(keys)
        frequencies = rope.frequencies(c.rope_theta, c.rope_dims, c.rope_scaling)
        queries, keys = rope.rotate(queries, positions, frequencies), rope.rotate(keys, positions, frequencies)
        values = project("value", c.num_kv_heads)
        new = attention.to_cache(keys, values)
        if cache is None:
            cache, mixed = new, c.attention(queries, keys, values, seen)
        else:
            cache = attention.write(cache, new, column)
            mixed = attention.attend(queries, cache, seen)
        init = nn.initializers.variance_scaling(0.5 / c.num_layers, "fan_in", "truncated_normal")
        out = nn.DenseGeneral(c.embed_dim, axis=(-2, -1), use_bias=False, **kind, kernel_init=init, name="out")(mixed)
        return lora.adapted(c.lora, "out", mixed, out, inputs=2), cache


class SwiGLU(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x):
        c = self.config
        kind = dtypes(c)
        gate = lora.adapted(c.lora, "gate", x, nn.Dense(c.mlp_dim, use_bias=False, **kind, name="gate")(x))
        up = lora.adapted(c.lora, "up", x, nn.Dense(c.mlp_dim, use_bias=False, **kind, name="up")(x))
        init = nn.initializers.variance_scaling(0.5 / c.num_layers, "fan_in", "truncated_normal")
        wide = nn.silu(gate) * up
        down = nn.Dense(c.embed_dim, use_bias=False, **kind, kernel_init=init, name="down")(wide)
        return lora.adapted(c.lora, "down", wide, down)


class Block(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x, cache, positions, seen, column):
        c = self.config
        with jax.named_scope("attention"):
            normal = RMSNorm(c, name="attention_norm")(x)
            mixed, cache = Attention(c, name="attention")(normal, positions, seen, cache, column)
            x = x + mixed
        with jax.named_scope("mlp"):
            x = x + SwiGLU(c, name="mlp")(RMSNorm(c, name="mlp_norm")(x))
        return constrain_rows(x, None, None), cache


class Transformer(nn.Module):
    """Tokens → last hidden states, after the final norm, and the keys and values to remember.

    `seen` are the segments of whole sequences; with a cache, the columns that each place attends to.
    """

    config: ModelConfig
    vocab_size: int

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        positions: Int[Array, "batch time"],
        seen: Segments | Bool[Array, "batch time columns"],
        cache: PyTree = None,
        column: Int[Array, ""] | None = None,
    ) -> tuple[Float[Array, "batch time embed"], PyTree]:
        c = self.config
        init = nn.initializers.normal(c.embed_dim**-0.5)
        x = nn.Embed(self.vocab_size, c.embed_dim, **dtypes(c), embedding_init=init, name="embed")(tokens)
        x = constrain_rows(x, None, None)  # or every device would compute all rows of a micro-batch
        block = Block if c.remat == "none" else nn.remat(Block, policy=REMAT[c.remat])
        if c.scan_layers:
            layers = nn.scan(
                block,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=(0, *[nn.broadcast] * 3),  # pyright: ignore[reportArgumentType]  flax takes tuples, annotates int
                length=c.num_layers,
            )
            x, cache = layers(c, name="blocks")(x, cache, positions, seen, column)
        else:
            before = (None,) * c.num_layers if cache is None else cache
            after: list[LayerCache] = []
            for i, layer_cache in enumerate(before):
                x, layer_cache = block(c, name=f"block_{i}")(x, layer_cache, positions, seen, column)
                after.append(layer_cache)
            cache = tuple(after)
        if not c.tie_embeddings:
            # the head is applied by models.logprobs, in chunks; here it only comes into being
            shape, dtype = (c.embed_dim, self.vocab_size), jnp.dtype(c.param_dtype)
            self.param("head", lambda key: {"kernel": nn.initializers.lecun_normal()(key, shape, dtype)})
        return RMSNorm(c, name="final_norm")(x), cache
