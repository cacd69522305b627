"""Optimizer configs → optax chains."""

import dataclasses

import jax
import optax

from rlsp_jax.common.errors import UserError
from rlsp_jax.schedules import Constant, Schedule
from rlsp_jax.types import PyTree


@dataclasses.dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (matrices only) and a clip of the global gradient norm."""

    learning_rate: Schedule = Constant(3e-4)
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0

    def __post_init__(self):
        for name in ("b1", "b2"):
            if not 0 <= (value := vars(self)[name]) < 1:
                raise UserError(f"{name} is {value}; it must lie in [0, 1).")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise UserError(f"clip_norm is {self.clip_norm}; it must be positive, or None for no clipping.")

    def make(self) -> optax.GradientTransformation:
        clip = optax.identity() if self.clip_norm is None else optax.clip_by_global_norm(self.clip_norm)
        adam = optax.adamw(
            self.learning_rate, b1=self.b1, b2=self.b2, eps=self.eps, weight_decay=self.weight_decay, mask=decay_mask
        )
        return optax.chain(clip, adam)


def decay_mask(params: PyTree) -> PyTree:
    """True for matrices; norms and biases are not decayed."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def make_optimizer(**parts: AdamW) -> optax.GradientTransformation:
    """An optimizer for a dict of parameters, one config per top-level key."""

    def labels(params: PyTree) -> PyTree:
        return {name: jax.tree.map(lambda _, name=name: name, tree) for name, tree in params.items()}

    return optax.partition({name: config.make() for name, config in parts.items()}, labels)
