"""Low-rank adapters: a base that stays as it is, and beside its projections what is learned (LoRA, 2106.09685, §4.1).

    y = x W + scale · (x A) B        A [inputs, rank],  B [rank, outputs], which begins at 0

An adapted transformer is a dict of two trees, `base` and `lora`: where the one has `…/query/kernel`, the other has
`…/query_lora/a` and `b`. What is learned, and what optimizers and references remember, is a subtree then, and nothing
has to be masked. Adapters are float32 whatever the base is stored in.
"""

import dataclasses
import math
from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from rlsp_jax.common.errors import UserError
from rlsp_jax.types import Params

Projection = Literal["query", "key", "value", "out", "gate", "up", "down"]
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)

# parameter path → logical axes, each adapter split as its projection is
AXES = (
    (r"(query|key|value|gate|up)_lora/a", ("embed", None)),
    (r"(query|key|value)_lora/b", (None, "heads", None)),
    (r"(gate|up)_lora/b", (None, "mlp")),
    (r"out_lora/a", ("heads", None, None)),
    (r"down_lora/a", ("mlp", None)),
    (r"(out|down)_lora/b", (None, "embed")),
)


@dataclasses.dataclass(frozen=True)
class Lora:
    """Which projections have an adapter, and how large they are."""

    rank: int = 16
    alpha: float = 32.0  # an adapter's weight is alpha / rank
    targets: tuple[str, ...] = PROJECTIONS
    rank_stabilized: bool = False  # … or alpha / √rank (rsLoRA, 2312.03732), for large ranks

    def __post_init__(self):
        if self.rank < 1:
            raise UserError(f"model.lora.rank is {self.rank}; an adapter has rank 1 or more.")
        if not self.alpha > 0:
            raise UserError(f"model.lora.alpha is {self.alpha}; it must be positive, or nothing is learned.")
        for name in self.targets:
            if name not in PROJECTIONS:
                raise UserError(f"model.lora.targets has {name!r}; the projections are {', '.join(PROJECTIONS)}.")
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise UserError(f"model.lora.targets is {self.targets}; name one projection or more, each once.")

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)


class Adapter(nn.Module):
    """What one adapter adds: scale · (x A) B, from the last `inputs` axes of x to axes of the sizes `features`."""

    lora: Lora
    features: tuple[int, ...]
    inputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        rank, shape = self.lora.rank, x.shape[x.ndim - self.inputs :]
        a = self.param("a", lambda key: draw_a(key, rank, shape))
        b = self.param("b", nn.initializers.zeros, (rank, *self.features), jnp.float32)
        narrow = jnp.tensordot(x, a.astype(x.dtype), self.inputs)
        return self.lora.scale * jnp.tensordot(narrow, b.astype(x.dtype), 1)


def draw_a(key: Array, rank: int, shape: tuple[int, ...]) -> Array:
    """A fresh A: uniform within ±1 / √inputs, as PEFT draws it."""
    flat = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")(key, (math.prod(shape), rank), jnp.float32)
    return flat.reshape(*shape, rank)


def adapted(lora: Lora | None, name: Projection, x: Array, y: Array, inputs: int = 1) -> Array:
    """`y`, which the projection `name` made of `x`, and what its adapter adds, if it has one. Inside a flax module."""
    if lora is None or name not in lora.targets:
        return y
    return y + Adapter(lora, y.shape[x.ndim - inputs :], inputs, name=f"{name}_lora")(x)


# ---- trees ---------------------------------------------------------------------------------------


def is_adapted(tree: Params) -> bool:
    """Whether this is a base with adapters."""
    return isinstance(tree, dict) and tree.keys() == {"base", "lora"}


def split(transformer: Params) -> Params:
    """The base and the adapters of a transformer that has both in one tree."""
    base, lora = {}, {}
    for name, node in transformer.items():
        if name.endswith("_lora"):
            lora[name] = node
        elif isinstance(node, dict):
            parts = split(node)
            base[name] = parts["base"]
            lora |= {name: parts["lora"]} if parts["lora"] else {}
        else:
            base[name] = node
    return {"base": base, "lora": lora}


def joined(policy: Params) -> Params:
    """The inverse of `split`, for the transformer to read; without adapters, the policy as it is."""
    return _join(policy["base"], policy["lora"]) if is_adapted(policy) else policy


def _join(base: Params, lora: Params) -> Params:
    return base | {name: _join(base[name], node) if name in base else node for name, node in lora.items()}


def base_of(policy: Params) -> Params:
    """The transformer without its adapters."""
    return policy["base"] if is_adapted(policy) else policy


def learned(params: Params) -> Params:
    """What training changes of a tree: of what is adapted the adapters, of everything else all."""
    if is_adapted(params):
        return params["lora"]
    return {name: learned(node) for name, node in params.items()} if isinstance(params, dict) else params


def with_learned(params: Params, part: Params) -> Params:
    """The tree with `part` as what training changes (`learned`); a base is shared and not copied."""
    if is_adapted(params):
        return {"base": params["base"], "lora": part}
    return {name: with_learned(node, part[name]) for name, node in params.items()} if isinstance(params, dict) else part


def merge(lora: Lora, policy: Params) -> Params:
    """One transformer with W + scale · A B for its kernels, stored as they were; a base in bfloat16 rounds that."""
    return _merge(lora.scale, policy["base"], policy["lora"])


def _merge(scale: float, base: Params, lora: Params) -> Params:
    result = {name: _merge(scale, base[name], node) for name, node in lora.items() if name in base}
    for name, adapter in lora.items():
        if name not in base:
            projection = name.removesuffix("_lora")
            result[projection] = base[projection] | {"kernel": _add(scale, base[projection]["kernel"], adapter)}
    return base | result


def _add(scale: float, kernel: Array, adapter: Params) -> Array:
    """W + scale · A B, layer by layer where layers are stacked."""
    product = lambda a, b: jnp.tensordot(a, b, 1)  # noqa: E731
    is_stacked = adapter["a"].ndim + adapter["b"].ndim > kernel.ndim + 2
    change = (jax.vmap(product) if is_stacked else product)(adapter["a"], adapter["b"])
    return (kernel.astype(jnp.float32) + scale * change).astype(kernel.dtype)
