"""Optimizer configs → optax chains whose learning rate follows the stage's step, not their own count of updates.

What is trained is float32 whatever the model computes in (`ModelConfig.dtype`): these are the master weights, and
gradients arrive in float32 too. Moments are the rest of an optimizer's memory, per number trained: 8 bytes of `AdamW`,
6 with its first moment in bfloat16, next to none of `Adafactor`.
"""

import dataclasses
from typing import Literal, get_args

import jax
import optax

from rlsp_jax.common.errors import UserError
from rlsp_jax.schedules import Constant, Schedule
from rlsp_jax.types import PyTree

FloatName = Literal["float32", "bfloat16"]


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
    first_moment: FloatName = "float32"  # what it is stored in; bfloat16 saves a quarter of Adam's memory

    def __post_init__(self):
        for name in ("b1", "b2"):
            if not 0 <= (value := vars(self)[name]) < 1:
                raise UserError(f"{name} is {value}; it must lie in [0, 1).")
        check_clip_norm(self.clip_norm)
        if self.first_moment not in get_args(FloatName):
            raise UserError(f"first_moment is {self.first_moment!r}; it must be 'float32' or 'bfloat16'.")

    def make(self) -> optax.GradientTransformation:
        return optax.chain(
            clip(self.clip_norm),
            optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps, mu_dtype=self.first_moment),
            optax.add_decayed_weights(self.weight_decay, mask=decay_mask),
            follow(self.learning_rate),
        )


@dataclasses.dataclass(frozen=True)
class Adafactor:
    """Adam without a first moment, its second one kept as a row and a column of each matrix (1804.04235, Algorithm 4).

    For full fine-tuning where 8 bytes of moments per parameter do not fit: a matrix [m, n] costs 4 (m + n) bytes. The
    rate is absolute, as AdamW's, and not a part of a parameter's size. Clips and decay are AdamW's, beside its own.
    """

    learning_rate: Schedule = Constant(1e-4)
    decay: float = 0.8  # the second moment's memory after t updates is 1 − t^−decay
    clip_update: float = 1.0  # the root mean square of each parameter's update is at most this, before the rate
    min_size: int = 128  # arrays with a dimension below this, of their two largest, keep a whole second moment
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0

    def __post_init__(self):
        if not 0 < self.decay <= 1:
            raise UserError(f"decay is {self.decay}; it must lie in (0, 1].")
        if not self.clip_update > 0 or self.min_size < 1:
            raise UserError(f"clip_update is {self.clip_update} and min_size is {self.min_size}; both are positive.")
        check_clip_norm(self.clip_norm)

    def make(self) -> optax.GradientTransformation:
        return optax.chain(
            clip(self.clip_norm),
            optax.scale_by_factored_rms(decay_rate=self.decay, min_dim_size_to_factor=self.min_size),
            optax.clip_by_block_rms(self.clip_update),
            optax.add_decayed_weights(self.weight_decay, mask=decay_mask),
            follow(self.learning_rate),
        )


Optimizer = AdamW | Adafactor


def check_clip_norm(clip_norm: float | None) -> None:
    """Raise `UserError` unless gradients can be clipped to this norm."""
    if clip_norm is not None and clip_norm <= 0:
        raise UserError(f"clip_norm is {clip_norm}; it must be positive, or None for no clipping.")


def clip(norm: float | None) -> optax.GradientTransformation:
    """Of the global norm of gradients, or none."""
    return optax.identity() if norm is None else optax.clip_by_global_norm(norm)


def follow(learning_rate: Schedule) -> optax.GradientTransformationExtraArgs:
    """Descend at the learning rate of the step that `update` is told."""

    def update(updates, state, params=None, **told):
        rate = learning_rate(told["step"])
        return jax.tree.map(lambda u: -rate * u, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def decay_mask(params: PyTree) -> PyTree:
    """True for matrices, by name, an adapter's too: norms and biases are not decayed, whatever their shape."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in ("kernel", "embedding", "a", "b"), params)


def make_optimizer(**parts: Optimizer) -> optax.GradientTransformationExtraArgs:
    """An optimizer for a dict of parameters, one config per top-level key."""

    def labels(params: PyTree) -> PyTree:
        return {name: jax.tree.map(lambda _, name=name: name, tree) for name, tree in params.items()}

    return optax.partition({name: config.make() for name, config in parts.items()}, labels)
