"""The shape of a model, as a value."""

import dataclasses
from typing import Literal, get_args, get_origin, get_type_hints

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.literals import describe_type
from rlsp_jax.models.attention import Auto, Implementation
from rlsp_jax.models.lora import Lora
from rlsp_jax.models.rope import LinearScaling, Llama3Scaling


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A decoder-only transformer with value heads.

    `vocab_size` None means the tokenizer's; published models often have more rows than tokens. The
    critic reads the policy's last hidden states ("shared": its gradient trains them too; "detached":
    it does not) or has a transformer of its own ("separate").
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
    rope_fraction: float = 1.0  # of a head's dimensions that are turned by their position; the others know no place
    rope_scaling: LinearScaling | Llama3Scaling | None = None
    norm_eps: float = 1e-6
    qkv_bias: bool = False
    qk_norm: bool = False  # queries and keys are normalized, head by head, before they are turned
    tie_embeddings: bool = True
    value_heads: tuple[str, ...] = ()
    value_trunk: Literal["shared", "detached", "separate"] = "shared"
    value_hidden: int = 0  # width of a hidden layer in front of the value heads; 0 is a linear head
    attention: Implementation = Auto()  # of whole sequences; decoding always reads the cache in the same way
    scan_layers: bool = False
    remat: Literal["none", "full", "dots"] = "none"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"  # of the computation
    param_dtype: Literal["float32", "bfloat16"] = "float32"  # of the stored parameters; value heads are float32
    lora: Lora | None = None  # adapters, which are learned in place of the transformer; None: all of it is

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
        if not 0 < self.rope_dims <= self.head_dim or self.rope_dims % 2:
            raise UserError(
                f"model.rope_fraction = {self.rope_fraction} turns {self.rope_dims} of a head's {self.head_dim} "
                "dimensions; their number must be even, and at least 2."
            )
        if len(set(self.value_heads)) != len(self.value_heads):
            raise UserError(f"model.value_heads repeats a name: {self.value_heads}.")

    @property
    def rope_dims(self) -> int:
        """How many of a head's dimensions are turned by their position."""
        return int(self.head_dim * self.rope_fraction)
