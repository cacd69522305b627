"""The shape of a model, as a value."""

import dataclasses
from typing import Literal, get_args, get_origin, get_type_hints

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.literals import describe_type


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A decoder-only transformer with value heads.

    `vocab_size` None means the tokenizer's. The critic reads the policy's last hidden states
    ("shared": its gradient trains them too; "detached": it does not) or has a transformer of its
    own ("separate").
    """

    num_layers: int = 3
    embed_dim: int = 96
    num_heads: int = 4
    num_kv_heads: int = 4
    head_dim: int = 24
    mlp_dim: int = 256
    vocab_size: int | None = None
    max_length: int = 512  # the longest prompt + response
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    qkv_bias: bool = False
    tie_embeddings: bool = True
    value_heads: tuple[str, ...] = ()
    value_trunk: Literal["shared", "detached", "separate"] = "shared"
    value_hidden: int = 0  # width of a hidden layer in front of the value heads; 0 is a linear head
    scan_layers: bool = False
    remat: Literal["none", "full", "dots"] = "none"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self):
        for name, wanted in get_type_hints(type(self)).items():
            if get_origin(wanted) is Literal and (value := vars(self)[name]) not in get_args(wanted):
                raise UserError(f"model.{name} is {value!r}; it must be {describe_type(wanted)}.")
        for name in ("num_layers", "embed_dim", "num_heads", "num_kv_heads", "head_dim", "mlp_dim", "max_length"):
            if (size := vars(self)[name]) < 1:
                raise UserError(f"model.{name} is {size}; it must be at least 1.")
        if self.num_heads % self.num_kv_heads:
            raise UserError(
                f"model.num_heads = {self.num_heads} is not a multiple of model.num_kv_heads = {self.num_kv_heads}."
            )
        if self.head_dim % 2:
            raise UserError(f"model.head_dim is {self.head_dim}; rotary embeddings need an even one.")
        if len(set(self.value_heads)) != len(self.value_heads):
            raise UserError(f"model.value_heads repeats a name: {self.value_heads}.")


def tiny(**changes) -> ModelConfig:
    """Three layers of 96: learns Countdown on a laptop in minutes."""
    return dataclasses.replace(ModelConfig(), **changes)


def nano(**changes) -> ModelConfig:
    """The smallest model with every part (grouped-query attention included), for tests and `debug.py`."""
    small = dict(num_layers=2, embed_dim=32, num_heads=4, num_kv_heads=2, head_dim=8, mlp_dim=64)
    return dataclasses.replace(ModelConfig(), **{**small, **changes})
