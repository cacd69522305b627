"""Policy gradients without critics: a response is compared with its siblings (RLOO, T1, GRPO, Dr. GRPO).

T1 (2501.11651, §2.2.2–2.2.3):  A_i = Σ_k w_k r̄_{k,i} − β d̄_i      L = −E[A_i log π(y_i)] − α H

with r̄_i = r_i − mean_{j≠i} r_j, d_i = Σ_t log(π/π_ref) and d̄ likewise. The other algorithms are other values of the
same fields; `grpo` and `dr_grpo` spell them out. One step = one set of rollouts → experience → update.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from rlsp_jax.algorithms.aggregation import Aggregation, ConstantLength, SequenceMean, SequenceSum, TokenMean
from rlsp_jax.algorithms.baselines import Apart, Baseline, GroupMean, GroupNormalized, LeaveOneOut, Mixed, Mixing
from rlsp_jax.algorithms.combination import logged_weights
from rlsp_jax.algorithms.drawing import Drawing, DynamicSampling
from rlsp_jax.algorithms.entropy import EntropyTarget, entropy_coefficient
from rlsp_jax.algorithms.gradients import accumulate, apply_gradients, first_state, minibatch_rows
from rlsp_jax.algorithms.kl_loss import K3, KLLoss
from rlsp_jax.algorithms.likelihood import map_rollout, response_logprobs, sequences
from rlsp_jax.algorithms.references import Fixed, Reference, check_reference
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_mean, masked_sum
from rlsp_jax.common.trees import copy, take_rows
from rlsp_jax.data import Selection
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import ActorCritic, learned, with_learned
from rlsp_jax.optim import AdamW, Optimizer, make_optimizer
from rlsp_jax.rewards import Stream, init_memory
from rlsp_jax.rl import approx_kl, clip_fraction, clipped_surrogate, leave_one_out, policy_gradient
from rlsp_jax.schedules import Constant, Schedule
from rlsp_jax.types import Experience, Params, PRNGKeyArray, Rollout, Scores, TrainState


@dataclasses.dataclass(frozen=True)
class PolicyGradient:
    """−A log π: one update per step, by the policy that drew the responses (`rl.policy_gradient`)."""

    def check(self, updates: int) -> None:
        """Raise `UserError` when a step's later updates would no longer be those of the policy that drew."""
        if updates > 1:
            raise UserError(
                f"PolicyGradient is right for one update per step only, not for {updates} (epochs × minibatches); "
                "leave epochs and minibatch_size at their defaults, or set loss to ClippedSurrogate()."
            )

    def __call__(self, logprobs, old_logprobs, advantages):
        return policy_gradient(logprobs, advantages)


@dataclasses.dataclass(frozen=True)
class ClippedSurrogate:
    """PPO's loss (`rl.clipped_surrogate`): several updates per step, each token's ratio within [1 − clip, 1 + clip]."""

    clip: float = 0.2

    def __post_init__(self):
        if not 0 < self.clip < 1:
            raise UserError(f"clip is {self.clip}; it must lie in (0, 1).")

    def check(self, updates: int) -> None:
        """Any number of updates is right."""

    def __call__(self, logprobs, old_logprobs, advantages):
        return clipped_surrogate(logprobs, old_logprobs, advantages, clip=self.clip)


@dataclasses.dataclass(frozen=True)
class SequenceKL:
    """KL to the reference in the advantage: −coef · d̄_i, of whole responses, leave-one-out (T1 Eq. 4)."""

    coef: float = 2e-4

    def __post_init__(self):
        if not self.coef > 0:
            raise UserError(f"coef of SequenceKL is {self.coef}; it must be positive, or kl = None for no KL.")


@dataclasses.dataclass(frozen=True)
class Config:
    """Who is paid for what, compared how, and how the policy follows. Advantages and loss are T1's by default."""

    kind: ClassVar[str] = "rloo"

    streams: tuple[Stream, ...]  # what is paid for
    num_steps: int = 60  # one step is one set of rollouts
    prompts_per_step: int = 32
    samples_per_prompt: int = 16  # siblings, which are each other's baseline
    sampling: SamplingConfig = SamplingConfig(max_response=112)
    select: Selection | None = None  # which training problems are worth it: Difficulty, Unsolved; None: all
    chunk_prompts: int | None = None  # prompts whose responses are generated at once, as many as fit; None: all
    dynamic: DynamicSampling | None = None  # draw again in place of groups that are all correct or all wrong
    baseline: Baseline = LeaveOneOut()  # LeaveOneOut, GroupMean or GroupNormalized
    mixing: Mixing = Apart()  # Apart: each stream against its own baseline; Mixed: their weighted sum against one
    loss: PolicyGradient | ClippedSurrogate = PolicyGradient()
    aggregation: Aggregation = SequenceSum()  # of tokens: SequenceSum, SequenceMean, TokenMean or ConstantLength
    kl: SequenceKL | KLLoss | None = SequenceKL()  # how far from the reference is paid for; None switches it off
    reference: Reference = Fixed()  # Fixed, Refreshed or MovingAverage
    entropy_coef: Schedule | EntropyTarget = Constant(0.0)  # weight of the mean entropy (nats per token)
    epochs: int = 1  # passes over a step's rollouts
    minibatch_size: int | None = None  # rows of one optimizer step; None: all of them
    micro_batches: int = 1  # equal parts of a minibatch, of like length each, accumulated
    optimizer: Optimizer = AdamW(Constant(2e-4))
    max_logp_gap: float = 0.05  # sampler and learner may differ by this much (mean absolute nats), no more
    max_bad_steps: int = 5  # non-finite updates in a row that stop the run

    def __post_init__(self):
        if not self.streams:
            raise UserError("streams is empty; there must be at least one reward stream.")
        for field in ("num_steps", "prompts_per_step", "epochs", "micro_batches", "max_bad_steps"):
            if (value := vars(self)[field]) < 1:
                raise UserError(f"{field} is {value}; it must be at least 1.")
        if self.samples_per_prompt < 2:
            raise UserError(
                f"samples_per_prompt is {self.samples_per_prompt}; siblings are compared, so set 2 or more."
            )
        if self.sampling.temperature == 0:
            raise UserError(
                "At sampling.temperature = 0 all responses to a problem are the same, so comparing them teaches "
                "nothing; raise the temperature."
            )
        self._check_sizes()
        self.loss.check(self.epochs * self.rows // self.update_rows)
        check_reference(self.reference, used=self.kl is not None)
        for stream in self.streams:
            if (stream.gamma, stream.lam, stream.normalization) != (1.0, 1.0, None):
                raise UserError(
                    f"Stream {stream.name!r} has a gamma, lam or normalization of its own, but without critics a "
                    "response is paid as a whole and compared by baseline; leave the stream's at their defaults."
                )
        name, count = Counter(stream.name for stream in self.streams).most_common(1)[0]
        if count > 1:
            raise UserError(f"{count} streams are named {name!r}; names must be unique.")

    def _check_sizes(self) -> None:
        if self.update_rows < 1 or self.rows % self.update_rows:
            raise UserError(
                f"prompts_per_step × samples_per_prompt = {self.rows} rows are not a multiple of "
                f"minibatch_size = {self.minibatch_size}."
            )
        if self.update_rows % self.micro_batches:
            raise UserError(
                f"The {self.update_rows} rows of an update are not a multiple of micro_batches = {self.micro_batches}."
            )
        if self.chunk_prompts is not None and (self.chunk_prompts < 1 or self.prompts_per_step % self.chunk_prompts):
            raise UserError(
                f"prompts_per_step = {self.prompts_per_step} is not a multiple of chunk_prompts = {self.chunk_prompts}."
            )

    @property
    def rows(self) -> int:
        """Responses learned from per step."""
        return self.prompts_per_step * self.samples_per_prompt

    @property
    def update_rows(self) -> int:
        """Rows of one optimizer step."""
        return self.rows if self.minibatch_size is None else self.minibatch_size

    def watched(self, step: int, every: int) -> bool:
        """Whether an eval with `every` looks at this step: one in so many, and the last."""
        return step % every == 0 or step == self.num_steps

    @property
    def drawing(self) -> Drawing:
        """How a step's responses are drawn."""
        return Drawing(self.prompts_per_step, self.samples_per_prompt, self.chunk_prompts, self.dynamic)


def grpo(**fields: Any) -> Config:
    """Shao et al. (2402.03300): the mixed reward normalised in its group, clipped ratios, a k3 loss."""
    values = dict(
        baseline=GroupNormalized(),
        mixing=Mixed(),
        loss=ClippedSurrogate(),
        aggregation=SequenceMean(),
        kl=KLLoss(0.04, K3()),
    )
    return Config(**{**values, **fields})


def dr_grpo(*, sampling: SamplingConfig, **fields: Any) -> Config:
    """Liu et al. (2503.20783): GRPO without its bias to long wrong answers and to one-sided groups, and no KL."""
    values = dict(
        baseline=GroupMean(),
        mixing=Mixed(),
        loss=ClippedSurrogate(),
        aggregation=ConstantLength(sampling.max_response),
        kl=None,
    )
    return Config(sampling=sampling, **{**values, **fields})


def init_state(config: Config, params: Params) -> TrainState:
    """The state before the first step; the reference is a copy of the policy, or of its adapters if it has a base."""
    reference = copy(learned(params["policy"])) if config.kl is not None else ()
    opt_state = _optimizer(config).init(learned(params))
    return first_state(params, opt_state, reference=reference, memory=init_memory(config.streams))


def _optimizer(config: Config):
    """Of the policy; critics, which have no gradient here, do not decay either."""
    return make_optimizer(policy=config.optimizer, value=dataclasses.replace(config.optimizer, weight_decay=0.0))


# ---- scores → experience ------------------------------------------------------------------------


def make_experience_fn(model: ActorCritic, config: Config) -> Callable:
    """`make_experience(state, rollout, scores) -> (experience, metrics)`, jitted.

    Rows pass through the model a micro-batch at a time. There are no critics: the head axis is of size 0.
    """

    @jax.jit
    def make_experience(state: TrainState, rollout: Rollout, scores: Scores):
        learner, reference = _score_rows(model, config, state, rollout)
        drift = jnp.where(rollout.mask, rollout.logprobs - reference, 0.0)
        mask = jnp.all(scores.valid, axis=0)[:, None] & rollout.mask
        advantages = response_advantages(config, scores, rollout.mask, drift, state.step)
        tokens, token_mask = sequences(rollout)
        none = jnp.zeros((len(tokens), 0, rollout.mask.shape[1]))
        experience = Experience(
            tokens=tokens,
            token_mask=token_mask,
            mask=mask,
            value_mask=none.astype(bool),
            logprobs=rollout.logprobs,
            reference_logprobs=reference,
            advantages=jnp.where(mask, advantages[:, None], 0.0),
            values=none,
            returns=none,
        )
        known = jnp.any(mask, axis=1)
        metrics = {
            "policy/logp_gap": masked_mean(jnp.abs(learner - rollout.logprobs), rollout.mask),
            "advantage/magnitude": masked_mean(jnp.abs(advantages), known),
            "advantage/zero": masked_mean((advantages == 0).astype(jnp.float32), known),
        }
        if config.kl is not None:
            metrics["policy/kl_reference"] = masked_mean(drift, rollout.mask)
            metrics["policy/kl_sequence"] = jnp.mean(drift.sum(axis=1))
        return experience, metrics | logged_weights(config.streams, state.step)

    return make_experience


def response_advantages(
    config: Config,
    scores: Scores,
    mask: Bool[Array, "batch time"],
    drift: Float[Array, "batch time"],
    step: jax.Array,
) -> Float[Array, " batch"]:
    """A_i of every response, before rows that are not known are masked. `drift` is log π/π_ref of its tokens."""
    group = config.samples_per_prompt
    rewards = masked_sum(scores.rewards, jnp.broadcast_to(mask, scores.rewards.shape), axis=2)
    advantages = config.mixing(config.baseline, config.streams, rewards, scores.valid, step, group)
    if isinstance(config.kl, SequenceKL):
        advantages -= config.kl.coef * leave_one_out(drift.sum(axis=1), jnp.any(mask, axis=1), group)
    return advantages


def _score_rows(model: ActorCritic, config: Config, state: TrainState, rollout: Rollout):
    """Learner and reference log-probs of every response token, some rows at a time."""

    def part(tokens, mask, response):
        learner, _ = _forward(model, config, state.params["policy"], tokens, mask, response)
        if config.kl is None:
            return (learner,)
        reference = with_learned(state.params["policy"], state.reference)
        return learner, _forward(model, config, reference, tokens, mask, response)[0]

    parts = config.rows // (config.update_rows // config.micro_batches)
    learner, *reference = map_rollout(part, rollout, parts, by_length=config.micro_batches > 1)
    return learner, reference[0] if reference else rollout.logprobs


def _forward(model: ActorCritic, config: Config, policy: Params, tokens, mask, response):
    """Log-probs and entropies `[batch, time]` of the response tokens."""
    hidden = model.hidden(policy, tokens, mask)
    return response_logprobs(model, config.sampling, policy, hidden, response)


# ---- experience → state -------------------------------------------------------------------------


class Weighted(NamedTuple):
    """Rows with the weights of their tokens in the minibatch that they are part of."""

    rows: Experience
    loss: Float[Array, "batch time"]  # as the aggregation says
    mean: Float[Array, "batch time"]  # 1 / number of tokens: what metrics and the entropy are means by


def weigh(config: Config, minibatch: Experience) -> Weighted:
    """The weights of a whole minibatch."""
    return Weighted(minibatch, config.aggregation(minibatch.mask), TokenMean()(minibatch.mask))


def make_update_fn(model: ActorCritic, config: Config) -> Callable:
    """`update(state, experience, key) -> (state, metrics)`, jitted; the given state is donated."""
    optimizer = _optimizer(config)

    def update(state: TrainState, experience: Experience, key: PRNGKeyArray):
        entropy_coef = entropy_coefficient(config.entropy_coef, state.step, experience)
        loss_fn = functools.partial(loss, model, config, entropy_coef=entropy_coef)

        def one_minibatch(state, indices):
            batch = weigh(config, take_rows(experience, indices))
            response_mask = batch.rows.token_mask[:, -batch.loss.shape[1] :]
            gradients, metrics = accumulate(loss_fn, state.params, batch, config.micro_batches, response_mask)
            metrics["policy/grad_norm"] = optax.tree.norm(gradients["policy"])
            return apply_gradients(optimizer, state, gradients), metrics

        indices = minibatch_rows(key, config.rows, config.update_rows, config.epochs)
        state, metrics = jax.lax.scan(one_minibatch, state, indices)
        step = state.step + 1
        if config.kl is not None:
            policy = learned(state.params["policy"])
            state = state._replace(reference=config.reference.update(state.reference, policy, step))
        about = {
            "policy/updates": jnp.float32(len(indices)),
            "policy/learning_rate": config.optimizer.learning_rate(state.step),
            "policy/entropy_coef": entropy_coef,
        }
        return state._replace(step=step), {name: jnp.mean(values) for name, values in metrics.items()} | about

    return jax.jit(update, donate_argnums=0)


def loss(model: ActorCritic, config: Config, params: Params, batch: Weighted, *, entropy_coef):
    """The objective (a loss) of some rows of a minibatch, and its metrics: sums of what the weights make of tokens.

    L = Σ weight · (loss(log π, A) + kl.coef · KL, when KL is a loss) − entropy_coef · mean entropy.
    """
    rows = batch.rows
    response = rows.tokens[:, -rows.mask.shape[1] :]
    logprobs, entropies = _forward(model, config, params["policy"], rows.tokens, rows.token_mask, response)
    mean = lambda x: masked_sum(batch.mean * x, rows.mask)  # noqa: E731

    policy_loss = masked_sum(batch.loss * config.loss(logprobs, rows.logprobs, rows.advantages), rows.mask)
    entropy = mean(entropies)
    total = policy_loss - entropy_coef * entropy
    metrics = {
        "policy/loss": policy_loss,
        "policy/entropy": entropy,
        "policy/ratio": mean(jnp.exp(logprobs - rows.logprobs)),
        "policy/approx_kl": mean(approx_kl(logprobs, rows.logprobs)),
    }
    if isinstance(config.loss, ClippedSurrogate):
        metrics["policy/clip_fraction"] = mean(clip_fraction(logprobs, rows.logprobs, clip=config.loss.clip))
    if isinstance(config.kl, KLLoss):
        estimate = config.kl.estimator(logprobs, rows.reference_logprobs)
        metrics["policy/kl_loss"] = masked_sum(batch.loss * estimate, rows.mask)
        total += config.kl.coef * metrics["policy/kl_loss"]
    return total, metrics
