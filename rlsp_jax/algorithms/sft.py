"""Supervised fine-tuning on demonstrations: the mean log-loss of response tokens, nothing else."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from rlsp_jax.algorithms.gradients import accumulate, apply_gradients, first_state
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_sum
from rlsp_jax.data import Conversations, DemonstrationSource
from rlsp_jax.models import ActorCritic, learned, token_logprobs
from rlsp_jax.optim import AdamW, Optimizer, make_optimizer
from rlsp_jax.schedules import Cosine
from rlsp_jax.types import Demonstrations, Params, TrainState


@runtime_checkable
class Imitation(Protocol):
    """What an update asks of whoever imitates: this stage, or one that imitates its own responses."""

    @property
    def optimizer(self) -> Optimizer: ...

    @property
    def micro_batches(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class Config:
    """What is imitated, and how."""

    kind: ClassVar[str] = "sft"

    demonstrations: DemonstrationSource | Conversations
    num_steps: int = 3000
    batch_size: int = 4  # rows of one step
    row_length: int = 160  # tokens of a row; demonstrations are packed into it
    num_demonstrations: int = 20_000  # written once, packed once, then drawn in a new order each epoch
    micro_batches: int = 1
    optimizer: Optimizer = AdamW(Cosine(3e-3, 3000, warmup_steps=50))
    max_bad_steps: int = 5  # non-finite updates in a row that stop the run

    def __post_init__(self):
        if self.num_steps < 1:
            raise UserError(f"num_steps is {self.num_steps}; SFT takes at least 1 step.")
        if self.batch_size < 1 or self.micro_batches < 1 or self.batch_size % self.micro_batches:
            raise UserError(
                f"batch_size = {self.batch_size} is not a multiple of micro_batches = {self.micro_batches}."
            )
        if self.num_demonstrations < 1:
            raise UserError(f"num_demonstrations is {self.num_demonstrations}; there is nothing to imitate.")
        if self.max_bad_steps < 1:
            raise UserError(f"max_bad_steps is {self.max_bad_steps}; it must be at least 1.")

    def watched(self, step: int, every: int) -> bool:
        """Whether an eval with `every` looks at this step: never, since nothing is drawn."""
        return False


def init_state(config: Imitation, params: Params) -> TrainState:
    """The state before the first step."""
    return first_state(params, _optimizer(config).init(learned(params)))


def _optimizer(config: Imitation):
    """Of the policy; the critics, which have no gradient here, do not decay either."""
    return make_optimizer(policy=config.optimizer, value=dataclasses.replace(config.optimizer, weight_decay=0.0))


UpdateFn = Callable[[TrainState, Demonstrations], tuple[TrainState, dict[str, jax.Array]]]


def make_update_fn(model: ActorCritic, config: Imitation) -> UpdateFn:
    """`update(state, batch) -> (state, metrics)`, jitted; the given state is donated."""
    optimizer = _optimizer(config)

    def update(state: TrainState, batch: Demonstrations):
        total = jnp.maximum(batch.mask.sum(), 1)

        def loss_fn(params: Params, rows: Demonstrations):
            return loss(model, params, rows, total)

        gradients, metrics = accumulate(loss_fn, state.params, batch, config.micro_batches)
        new = apply_gradients(optimizer, state, gradients)
        metrics["grad_norm"] = optax.tree.norm(gradients["policy"])
        metrics["learning_rate"] = config.optimizer.learning_rate(state.step)
        return new._replace(step=state.step + 1), {f"sft/{name}": value for name, value in metrics.items()}

    return jax.jit(update, donate_argnums=0)


def loss(model: ActorCritic, params: Params, batch: Demonstrations, total: jax.Array):
    """Cross-entropy (nats) of response tokens, summed over these rows and divided by `total` tokens."""
    hidden = model.hidden(params["policy"], batch.tokens, batch.segments)
    logprobs, entropies = token_logprobs(hidden[:, :-1], model.head(params["policy"]), batch.tokens[:, 1:])
    mean = lambda x: masked_sum(x, batch.mask[:, 1:]) / total  # noqa: E731
    return -mean(logprobs), {"loss": -mean(logprobs), "entropy": mean(entropies)}
