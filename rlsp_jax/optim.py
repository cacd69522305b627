"""Optimizer configs → optax chains whose learning rate follows the stage's step, not their own count of updates."""

import dataclasses

import jax
import optax

from rlsp_jax.common.errors import UserError
from rlsp_jax.schedules import Constant, Schedule
from rlsp_jax.types import PyTree


@dataclasses.dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (matrices only) and a clip of the global gradient norm.

    The learning rate is a schedule of the step that `update(…, step=step)` is told: however many minibatches a step
    has, and whichever of them are skipped, the rate is a function of the step alone.
    """

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
        return optax.chain(
            clip,
            optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps),
            optax.add_decayed_weights(self.weight_decay, mask=decay_mask),
            follow(self.learning_rate),
        )


def follow(learning_rate: Schedule) -> optax.GradientTransformationExtraArgs:
    """Descend at the learning rate of the step that `update` is told."""

    def update(updates, state, params=None, **told):
        rate = learning_rate(told["step"])
        return jax.tree.map(lambda u: -rate * u, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def decay_mask(params: PyTree) -> PyTree:
    """True for matrices, by name: norms and biases are not decayed, whatever their shape."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in ("kernel", "embedding"), params)


def make_optimizer(**parts: AdamW) -> optax.GradientTransformationExtraArgs:
    """An optimizer for a dict of parameters, one config per top-level key."""

    def labels(params: PyTree) -> PyTree:
        return {name: jax.tree.map(lambda _, name=name: name, tree) for name, tree in params.items()}

    return optax.partition({name: config.make() for name, config in parts.items()}, labels)
