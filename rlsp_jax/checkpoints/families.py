"""The families of published models: one table each, parameter of ours ↔ published tensor, read in both directions.

A family also says what the keys of its config.json mean; `model_json` reads and writes them.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from rlsp_jax.checkpoints.layouts import Flat, Interleaved, Layout, Linear, Same
from rlsp_jax.models import ModelConfig


@dataclasses.dataclass(frozen=True)
class Weight:
    """A parameter of ours and the published tensor that it is, or the `part`-th of `parts` equal cuts of its rows.

    Names are below the policy and the whole model, or below one block and one layer.
    """

    ours: str
    theirs: str
    layout: Layout
    part: int = 0
    parts: int = 1


Table = tuple[Weight, ...]


@dataclasses.dataclass(frozen=True)
class Family:
    """Models that write down their config and their weights alike."""

    name: str
    architecture: str  # in config.json
    model_type: str  # in config.json
    block: Callable[[ModelConfig], Table]  # the weights of one layer
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of our config, alike in all its models
    absent: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what a key of config.json is if left out
    only: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # the one value of a key that is understood

    def table(self, config: ModelConfig) -> list["Slot"]:
        """Where each parameter of such a model lies, layer by layer, in the order of its publisher."""
        head = () if config.tie_embeddings else (HEAD,)
        slots = [Slot(weight.ours, None, weight.theirs, weight) for weight in EMBEDDING]
        for i in range(config.num_layers):
            block, layer = ("blocks", i) if config.scan_layers else (f"block_{i}", None)
            for weight in self.block(config):
                slots.append(Slot(f"{block}/{weight.ours}", layer, f"model.layers.{i}.{weight.theirs}", weight))
        return slots + [Slot(weight.ours, None, weight.theirs, weight) for weight in (FINAL_NORM, *head)]


class Slot(NamedTuple):
    """A parameter of ours, or one layer of a stack of them, and the published tensor that it is or that holds it."""

    path: str  # below the policy
    layer: int | None  # its place where layers are stacked
    tensor: str
    weight: Weight


# ---- the tables --------------------------------------------------------------------------------

EMBEDDING = (Weight("embed/embedding", "model.embed_tokens.weight", Same()),)
FINAL_NORM = Weight("final_norm/scale", "model.norm.weight", Same())
HEAD = Weight("head/kernel", "lm_head.weight", Linear())
SUPERFLUOUS = re.compile(r"lm_head\.weight|.*\.rotary_emb\.inv_freq")  # a tied head's copy, and what is computed

NORMS = (
    Weight("attention_norm/scale", "input_layernorm.weight", Same()),
    Weight("mlp_norm/scale", "post_attention_layernorm.weight", Same()),
)
ATTENTION = (
    Weight("attention/query/kernel", "self_attn.q_proj.weight", Linear()),
    Weight("attention/key/kernel", "self_attn.k_proj.weight", Linear()),
    Weight("attention/value/kernel", "self_attn.v_proj.weight", Linear()),
    Weight("attention/out/kernel", "self_attn.o_proj.weight", Linear(inputs=2)),
)
BIASES = (
    Weight("attention/query/bias", "self_attn.q_proj.bias", Flat()),
    Weight("attention/key/bias", "self_attn.k_proj.bias", Flat()),
    Weight("attention/value/bias", "self_attn.v_proj.bias", Flat()),
)
QK_NORMS = (
    Weight("attention/query_norm/scale", "self_attn.q_norm.weight", Same()),
    Weight("attention/key_norm/scale", "self_attn.k_norm.weight", Same()),
)
SWIGLU = (
    Weight("mlp/gate/kernel", "mlp.gate_proj.weight", Linear()),
    Weight("mlp/up/kernel", "mlp.up_proj.weight", Linear()),
    Weight("mlp/down/kernel", "mlp.down_proj.weight", Linear()),
)
FUSED_SWIGLU = (
    Weight("mlp/gate/kernel", "mlp.gate_up_proj.weight", Linear(), part=0, parts=2),
    Weight("mlp/up/kernel", "mlp.gate_up_proj.weight", Linear(), part=1, parts=2),
    Weight("mlp/down/kernel", "mlp.down_proj.weight", Linear()),
)


def interleaved(table: Iterable[Weight], turned: int) -> Table:
    """The table of a family that turns neighbouring dimensions of queries and keys."""
    heads = re.compile(r"attention/(query|key)/")
    return tuple(
        dataclasses.replace(weight, layout=Interleaved(weight.layout, turned)) if heads.match(weight.ours) else weight
        for weight in table
    )


# ---- the families ------------------------------------------------------------------------------

WHOLE = {"rope_fraction": 1.0}  # heads are turned as a whole

LLAMA = Family(
    name="Llama",
    architecture="LlamaForCausalLM",
    model_type="llama",
    block=lambda config: (*NORMS, *ATTENTION, *SWIGLU),
    fields=WHOLE,
    only={"hidden_act": "silu", "attention_bias": False, "mlp_bias": False},
)
QWEN2 = Family(
    name="Qwen2.5",
    architecture="Qwen2ForCausalLM",
    model_type="qwen2",
    block=lambda config: (*NORMS, *ATTENTION, *BIASES, *SWIGLU),
    fields={"qkv_bias": True, **WHOLE},
    only={"hidden_act": "silu", "use_sliding_window": False},
)
QWEN3 = Family(
    name="Qwen3",
    architecture="Qwen3ForCausalLM",
    model_type="qwen3",
    block=lambda config: (*NORMS, *ATTENTION, *QK_NORMS, *SWIGLU),
    fields={"qk_norm": True, **WHOLE},
    absent={"head_dim": 128},
    only={"hidden_act": "silu", "attention_bias": False, "use_sliding_window": False},
)
GLM = Family(
    name="GLM-4",
    architecture="GlmForCausalLM",
    model_type="glm",
    block=lambda config: (*NORMS, *interleaved((*ATTENTION, *BIASES), config.rope_dims), *FUSED_SWIGLU),
    fields={"qkv_bias": True},
    absent={"head_dim": 128, "partial_rotary_factor": 0.5},
    only={"hidden_act": "silu", "attention_bias": True},
)
FAMILIES = (LLAMA, QWEN2, QWEN3, GLM)


def looks_like(tensors: Iterable[str]) -> Family | None:
    """The family whose weights have these names, whatever the number of their layers."""
    kinds = {re.sub(r"\.\d+\.", ".N.", name) for name in tensors if not SUPERFLUOUS.fullmatch(name)}
    for family in FAMILIES:
        slots = family.table(ModelConfig(num_layers=1))
        if kinds == {re.sub(r"\.\d+\.", ".N.", slot.tensor) for slot in slots}:
            return family
    return None
