"""Models of every family in odd shapes, drawn at random: what their config.json says, and how they are saved."""

import random
from typing import Any, NamedTuple

import torch
from transformers import GlmConfig, LlamaConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

FAMILIES = {"Llama": LlamaConfig, "Qwen2.5": Qwen2Config, "Qwen3": Qwen3Config, "GLM-4": GlmConfig}


class Drawn(NamedTuple):
    """A model to be made, and how it is read."""

    config: PreTrainedConfig
    max_shard_size: str
    scan_layers: bool


def draw(family: str, number: int, seed: int) -> Drawn:
    """The `number`-th model of a family. Heads are as wide as they like, whatever the model's width."""
    rng = random.Random(f"{seed} {family} {number}")
    kv_heads = rng.choice([1, 2, 3])
    heads = kv_heads * rng.choice([1, 2, 3])
    rope = {"rope_theta": rng.choice([100.0, 10_000.0, 1e6]), **_scaling(rng)}
    head_dim = rng.choice([4, 6, 10, 16, 20])
    if family == "GLM-4":
        head_dim = rng.choice([8, 16, 24])
        rope["partial_rotary_factor"] = rng.choice([0.25, 0.5, 1.0])
    sizes: dict[str, Any] = dict(
        vocab_size=rng.randrange(60, 130),
        hidden_size=heads * rng.randrange(2, 12),
        intermediate_size=rng.randrange(10, 70),
        num_hidden_layers=rng.choice([1, 2, 3]),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        max_position_embeddings=256,
        rms_norm_eps=rng.choice([1e-6, 1e-5, 1.5625e-7]),
        tie_word_embeddings=rng.random() < 0.5,
        rope_parameters=rope,
        dtype=rng.choice([torch.float32, torch.float32, torch.bfloat16, torch.float16]),
        pad_token_id=None,
    )
    return Drawn(FAMILIES[family](**sizes), rng.choice(["10KB", "1GB"]), rng.random() < 0.5)


def _scaling(rng: random.Random) -> dict[str, Any]:
    low = rng.choice([0.5, 1.0])
    llama3 = {"low_freq_factor": low, "high_freq_factor": low * rng.choice([2.0, 4.0])}
    return rng.choice(
        [
            {"rope_type": "default"},
            {"rope_type": "linear", "factor": rng.choice([1.5, 4.0])},
            {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": rng.choice([16, 64]), **llama3},
        ]
    )
