"""An outcome model of the policy: p(the final answer will be correct | question, response so far), at every token.

Cobbe et al. 2021 (2110.14168), §4: a verifier trained on the policy's own samples, by the correctness of their final
answers alone, with the loss at every token of the response; Havrilla et al. 2024 (2403.04642) pay by it and rerank with
it. Its trunk begins as a copy of the policy, which stays as it is; of a policy with adapters it learns adapters only.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from rlsp_jax.algorithms.gradients import accumulate, apply_gradients, first_state
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_sum
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import OutcomeModel, init_outcome_model, learned
from rlsp_jax.optim import AdamW, Optimizer, make_optimizer
from rlsp_jax.schedules import Cosine
from rlsp_jax.types import JudgedBatch, Params, TrainState

NAME = "outcome"  # of the outcome model among a state's parameters, beside the policy and its critics


@dataclasses.dataclass(frozen=True)
class Config:
    """What the policy is asked, and how the outcome model learns from its answers."""

    kind: ClassVar[str] = "outcome_model"

    num_problems: int = 1024  # of the training split, asked once
    samples_per_prompt: int = 4
    sampling: SamplingConfig = SamplingConfig(max_response=112)
    draw_size: int = 256  # responses drawn and written at a time
    heldout_share: float = 0.1  # of the problems: the model learns nothing from them and is judged by them
    num_steps: int = 400
    batch_size: int = 8  # rows of one step; each has room for the longest prompt and response, or for several
    micro_batches: int = 1
    optimizer: Optimizer = AdamW(Cosine(5e-4, 400, warmup_steps=20))
    validate_every: int = 100  # steps between looks at the held-out problems; the last step is looked at always
    bins: int = 10  # of the reliability diagram
    max_bad_steps: int = 5  # non-finite updates in a row that stop the run

    def __post_init__(self):
        for name in ("num_steps", "num_problems", "samples_per_prompt", "validate_every", "bins", "max_bad_steps"):
            if (value := vars(self)[name]) < 1:
                raise UserError(f"{name} of the outcome model is {value}; it must be at least 1.")
        if self.batch_size < 1 or self.micro_batches < 1 or self.batch_size % self.micro_batches:
            raise UserError(
                f"batch_size = {self.batch_size} is not a multiple of micro_batches = {self.micro_batches}."
            )
        if self.samples_per_prompt > 1 and self.sampling.temperature == 0:
            raise UserError(
                f"samples_per_prompt is {self.samples_per_prompt}, but at sampling.temperature = 0 all responses to a "
                "problem are the same; raise the temperature."
            )
        if self.draw_size < 1 or self.draw_size % self.samples_per_prompt:
            raise UserError(
                f"draw_size = {self.draw_size} is not a multiple of samples_per_prompt = {self.samples_per_prompt}."
            )
        if not 0 < self.heldout_share < 1:
            raise UserError(
                f"heldout_share is {self.heldout_share}; it must lie in (0, 1): some problems to learn from, and some "
                "to judge the outcome model by."
            )

    def watched(self, step: int, every: int) -> bool:
        """Whether an eval with `every` looks at this step: never, since the policy stays as it is."""
        return False


def init_state(config: Config, params: Params) -> TrainState:
    """The state before the first step: beside the policy and its critics, which never change, the outcome model."""
    outcome = init_outcome_model(params["policy"])
    return first_state({**params, NAME: outcome}, _optimizer(config).init(learned({NAME: outcome})))


def _optimizer(config: Config):
    return make_optimizer(**{NAME: config.optimizer})


UpdateFn = Callable[[TrainState, JudgedBatch], tuple[TrainState, dict[str, jax.Array]]]


def make_update_fn(model: OutcomeModel, config: Config) -> UpdateFn:
    """`update(state, batch) -> (state, metrics)`, jitted; the given state is donated."""
    optimizer = _optimizer(config)

    def update(state: TrainState, batch: JudgedBatch):
        total = jnp.maximum(batch.mask.sum(), 1)

        def loss_fn(params: Params, rows: JudgedBatch):
            return loss(model, params[NAME], rows, total)

        learning = state._replace(params={NAME: state.params[NAME]})
        gradients, metrics = accumulate(loss_fn, learning.params, batch, config.micro_batches)
        new = apply_gradients(optimizer, learning, gradients)
        metrics["grad_norm"] = optax.tree.norm(gradients)
        metrics["learning_rate"] = config.optimizer.learning_rate(state.step)
        new = new._replace(step=state.step + 1, params=state.params | new.params)
        return new, {f"outcome_model/{name}": value for name, value in metrics.items()}

    return jax.jit(update, donate_argnums=0)


def loss(model: OutcomeModel, params: Params, batch: JudgedBatch, total: jax.Array):
    """Binary cross-entropy (nats) at every counted token, summed over these rows and divided by `total` tokens."""
    logits = model.logits(params, batch.tokens, batch.segments)
    mean = lambda x: masked_sum(x, batch.mask) / total  # noqa: E731
    cross_entropy = mean(binary_cross_entropy(logits, batch.correct))
    right = (logits > 0) == batch.correct
    return cross_entropy, {"loss": cross_entropy, "accuracy": mean(right.astype(jnp.float32))}


def binary_cross_entropy(logits: Float[Array, "*shape"], correct: Bool[Array, "*shape"]) -> Float[Array, "*shape"]:
    """−log p of what came true, in nats, with p = σ(logit): log(1 + e^−logit) if correct, else log(1 + e^logit)."""
    return jax.nn.softplus(jnp.where(correct, -logits, logits))
