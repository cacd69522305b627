"""The decoder-only transformer: RMSNorm, rotary grouped-query attention, SwiGLU.

One `__call__` serves the learner (no cache), prefill (no cache in, the prompt's cache out) and
decoding (one token against a cache), so sampler and learner cannot drift apart.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlsp_jax.models import attention
from rlsp_jax.models.attention import LayerCache
from rlsp_jax.models.config import ModelConfig
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
    (r"memory/.+", ()),  # what a reward kernel remembers
)


class RMSNorm(nn.Module):
    eps: float

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        wide = x.astype(jnp.float32)
        normal = wide * jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + self.eps)
        return (normal * scale).astype(x.dtype)


class Attention(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x, positions, mask, cache, column):
        c = self.config
        dtype = jnp.dtype(c.dtype)

        def project(name, heads):
            return nn.DenseGeneral((heads, c.head_dim), use_bias=c.qkv_bias, dtype=dtype, name=name)(x)

        queries = attention.rotate(project("query", c.num_heads), positions, theta=c.rope_theta)
        keys = attention.rotate(project("key", c.num_kv_heads), positions, theta=c.rope_theta)
        new = attention.to_cache(keys, project("value", c.num_kv_heads))
        cache = new if cache is None else attention.write(cache, new, column)
        mixed = attention.attend(queries, cache, mask)
        init = nn.initializers.variance_scaling(0.5 / c.num_layers, "fan_in", "truncated_normal")
        out = nn.DenseGeneral(c.embed_dim, axis=(-2, -1), use_bias=False, dtype=dtype, kernel_init=init, name="out")(
            mixed
        )
        return out, cache


class SwiGLU(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x):
        c = self.config
        dtype = jnp.dtype(c.dtype)
        gate = nn.Dense(c.mlp_dim, use_bias=False, dtype=dtype, name="gate")(x)
        up = nn.Dense(c.mlp_dim, use_bias=False, dtype=dtype, name="up")(x)
        init = nn.initializers.variance_scaling(0.5 / c.num_layers, "fan_in", "truncated_normal")
        return nn.Dense(c.embed_dim, use_bias=False, dtype=dtype, kernel_init=init, name="down")(nn.silu(gate) * up)


class Block(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x, cache, positions, mask, column):
        c = self.config
        with jax.named_scope("attention"):
            normal = RMSNorm(c.norm_eps, name="attention_norm")(x)
            mixed, cache = Attention(c, name="attention")(normal, positions, mask, cache, column)
            x = x + mixed
        with jax.named_scope("mlp"):
            x = x + SwiGLU(c, name="mlp")(RMSNorm(c.norm_eps, name="mlp_norm")(x))
        return x, cache


class Transformer(nn.Module):
    """Tokens → last hidden states, after the final norm, and the keys and values to remember."""

    config: ModelConfig
    vocab_size: int

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        positions: Int[Array, "batch time"],
        mask: Bool[Array, "batch time columns"],
        cache: PyTree = None,
        column: Int[Array, ""] | None = None,
    ) -> tuple[Float[Array, "batch time embed"], PyTree]:
        c = self.config
        dtype = jnp.dtype(c.dtype)
        init = nn.initializers.normal(c.embed_dim**-0.5)
        x = nn.Embed(self.vocab_size, c.embed_dim, dtype=dtype, embedding_init=init, name="embed")(tokens)
        block = Block if c.remat == "none" else nn.remat(Block, policy=REMAT[c.remat])
        if c.scan_layers:
            layers = nn.scan(
                block,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=(0, *[nn.broadcast] * 3),  # pyright: ignore[reportArgumentType]  flax takes tuples, annotates int
                length=c.num_layers,
            )
            x, cache = layers(c, name="blocks")(x, cache, positions, mask, column)
        else:
            before = (None,) * c.num_layers if cache is None else cache
            after: list[LayerCache] = []
            for i, layer_cache in enumerate(before):
                x, layer_cache = block(c, name=f"block_{i}")(x, layer_cache, positions, mask, column)
                after.append(layer_cache)
            cache = tuple(after)
        if not c.tie_embeddings:
            # the head is applied by models.logprobs, in chunks; here it only comes into being
            shape = (c.embed_dim, self.vocab_size)
            self.param("head", lambda key: {"kernel": nn.initializers.lecun_normal()(key, shape)})
        return RMSNorm(c.norm_eps, name="final_norm")(x), cache
