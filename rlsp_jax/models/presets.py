"""Models by name: two small ones for laptops and tests, and the published sizes with their real numbers.

A published model is given as its checkpoint's config.json has it, with its whole context; give `max_length` what an
experiment needs. It computes in bfloat16 and scans its layers; base and instruct models have the same shape.
"""

import dataclasses

from rlsp_jax.models.config import ModelConfig
from rlsp_jax.models.rope import Llama3Scaling


def tiny(**changes) -> ModelConfig:
    """Three layers of 96: learns Countdown on a laptop in minutes."""
    return dataclasses.replace(ModelConfig(), **changes)


def nano(**changes) -> ModelConfig:
    """The smallest model with every part (grouped-query attention included), for tests and `debug.py`."""
    small = dict(num_layers=2, embed_dim=32, num_heads=4, num_kv_heads=2, head_dim=8, mlp_dim=64)
    return dataclasses.replace(ModelConfig(), **{**small, **changes})


# ---- Llama -------------------------------------------------------------------------------------


def llama2_7b(**changes) -> ModelConfig:
    """Llama-2-7B, 6,738,415,616 parameters."""
    return _llama2(changes, num_layers=32, embed_dim=4096, num_heads=32, num_kv_heads=32, mlp_dim=11008)


def llama2_13b(**changes) -> ModelConfig:
    """Llama-2-13B, 13,015,864,320 parameters."""
    return _llama2(changes, num_layers=40, embed_dim=5120, num_heads=40, num_kv_heads=40, mlp_dim=13824)


def llama31_8b(**changes) -> ModelConfig:
    """Llama-3.1-8B, 8,030,261,248 parameters."""
    return _llama3(changes, num_layers=32, embed_dim=4096, num_heads=32, mlp_dim=14336)


def llama32_1b(**changes) -> ModelConfig:
    """Llama-3.2-1B, 1,235,814,400 parameters."""
    far = Llama3Scaling(factor=32.0)
    small = dict(num_layers=16, embed_dim=2048, num_heads=32, head_dim=64, mlp_dim=8192)
    return _llama3(changes, **small, rope_scaling=far, tie_embeddings=True)


def llama32_3b(**changes) -> ModelConfig:
    """Llama-3.2-3B, 3,212,749,824 parameters."""
    far = Llama3Scaling(factor=32.0)
    return _llama3(
        changes, num_layers=28, embed_dim=3072, num_heads=24, mlp_dim=8192, rope_scaling=far, tie_embeddings=True
    )


def _llama2(changes: dict, **sizes) -> ModelConfig:
    return _published(changes, vocab_size=32_000, max_length=4096, norm_eps=1e-5, tie_embeddings=False, **sizes)


def _llama3(changes: dict, **sizes) -> ModelConfig:
    family = dict(
        num_kv_heads=8,
        vocab_size=128_256,
        max_length=131_072,
        rope_theta=500_000.0,
        rope_scaling=Llama3Scaling(factor=8.0),
        norm_eps=1e-5,
        tie_embeddings=False,
    )
    return _published(changes, **{**family, **sizes})


# ---- Qwen --------------------------------------------------------------------------------------


def qwen25_05b(**changes) -> ModelConfig:
    """Qwen2.5-0.5B, 494,032,768 parameters."""
    small = dict(num_layers=24, embed_dim=896, num_heads=14, num_kv_heads=2, head_dim=64, mlp_dim=4864)
    return _qwen25(changes, **small, vocab_size=151_936, tie_embeddings=True)


def qwen25_15b(**changes) -> ModelConfig:
    """Qwen2.5-1.5B, 1,543,714,304 parameters."""
    small = dict(num_layers=28, embed_dim=1536, num_heads=12, num_kv_heads=2, mlp_dim=8960)
    return _qwen25(changes, **small, vocab_size=151_936, tie_embeddings=True)


def qwen25_7b(**changes) -> ModelConfig:
    """Qwen2.5-7B, 7,615,616,512 parameters."""
    return _qwen25(changes, num_layers=28, embed_dim=3584, num_heads=28, num_kv_heads=4, mlp_dim=18944)


def qwen25_14b(**changes) -> ModelConfig:
    """Qwen2.5-14B-Instruct, 14,770,033,664 parameters; the base model has norm_eps=1e-5."""
    return _qwen25(changes, num_layers=48, embed_dim=5120, num_heads=40, num_kv_heads=8, mlp_dim=13824)


def qwen25_32b(**changes) -> ModelConfig:
    """Qwen2.5-32B-Instruct, 32,763,876,352 parameters; the base model has norm_eps=1e-5."""
    return _qwen25(changes, num_layers=64, embed_dim=5120, num_heads=40, num_kv_heads=8, mlp_dim=27648)


def qwen25_math_15b(**changes) -> ModelConfig:
    """Qwen2.5-Math-1.5B: the shape of Qwen2.5-1.5B, with a context of its own."""
    return qwen25_15b(**{"rope_theta": 10_000.0, "max_length": 4096, **changes})


def qwen25_math_7b(**changes) -> ModelConfig:
    """Qwen2.5-Math-7B: the shape of Qwen2.5-7B, with a context of its own."""
    return qwen25_7b(**{"rope_theta": 10_000.0, "max_length": 4096, **changes})


def qwen3_06b(**changes) -> ModelConfig:
    """Qwen3-0.6B, 596,049,920 parameters."""
    return _qwen3(changes, num_layers=28, embed_dim=1024, num_heads=16, mlp_dim=3072, tie_embeddings=True)


def qwen3_17b(**changes) -> ModelConfig:
    """Qwen3-1.7B, 1,720,574,976 parameters."""
    return _qwen3(changes, num_layers=28, embed_dim=2048, num_heads=16, mlp_dim=6144, tie_embeddings=True)


def qwen3_4b(**changes) -> ModelConfig:
    """Qwen3-4B, 4,022,468,096 parameters."""
    return _qwen3(changes, num_layers=36, embed_dim=2560, num_heads=32, mlp_dim=9728, tie_embeddings=True)


def qwen3_8b(**changes) -> ModelConfig:
    """Qwen3-8B, 8,190,735,360 parameters."""
    return _qwen3(changes, num_layers=36, embed_dim=4096, num_heads=32, mlp_dim=12288, tie_embeddings=False)


def _qwen25(changes: dict, **sizes) -> ModelConfig:
    family = dict(vocab_size=152_064, max_length=32_768, rope_theta=1e6, qkv_bias=True, tie_embeddings=False)
    return _published(changes, **{**family, **sizes})


def _qwen3(changes: dict, **sizes) -> ModelConfig:
    family = dict(num_kv_heads=8, vocab_size=151_936, max_length=40_960, rope_theta=1e6, qk_norm=True)
    return _published(changes, **{**family, **sizes})


# ---- GLM ---------------------------------------------------------------------------------------


def glm4_9b(**changes) -> ModelConfig:
    """GLM-4-9B, 9,399,951,360 parameters."""
    return _published(
        changes,
        num_layers=40,
        embed_dim=4096,
        num_heads=32,
        num_kv_heads=2,
        mlp_dim=13696,
        vocab_size=151_552,
        max_length=131_072,
        rope_fraction=0.5,
        norm_eps=1.5625e-7,
        qkv_bias=True,
        tie_embeddings=False,
    )


def _published(changes: dict, **numbers) -> ModelConfig:
    """A published model: heads of 128 unless it says otherwise."""
    return ModelConfig(**{"head_dim": 128, "scan_layers": True, "dtype": "bfloat16", **numbers, **changes})
