"""Proximal policy optimization with reward streams (Schulman et al., 1707.06347; RLSP §2.3).

One step = one set of rollouts → experience → `epochs` passes over minibatches. Losses are sums
divided by the counts of the whole minibatch, so that micro-batches and meshes change nothing.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from rlsp_jax.algorithms.combination import Channel, Combination, Decoupled, logged_weights
from rlsp_jax.algorithms.drawing import Drawing
from rlsp_jax.algorithms.gradients import accumulate, apply_gradients, first_state, minibatch_rows
from rlsp_jax.algorithms.kl_loss import K1, K2, K3, KLLoss  # noqa: F401 (a config spells them ppo.K1, …)
from rlsp_jax.algorithms.likelihood import map_rollout, response_logprobs, sequences
from rlsp_jax.algorithms.references import Fixed, Reference, check_reference
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_mean, masked_sum, masked_var
from rlsp_jax.common.trees import choose, copy, take_rows
from rlsp_jax.data import Selection
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import ActorCritic, learned, with_learned
from rlsp_jax.optim import AdamW, Optimizer, make_optimizer
from rlsp_jax.rewards import Normalization, Stream, init_memory
from rlsp_jax.rl import approx_kl, clip_fraction, clipped_surrogate, clipped_value_loss
from rlsp_jax.schedules import Constant, Schedule
from rlsp_jax.types import Experience, Params, PRNGKeyArray, Rollout, Scores, TrainState


@dataclasses.dataclass(frozen=True)
class KLReward:
    """KL to the reference inside the reward (RLSP Eq. 2): −(log π − log π_ref) of each token, a stream of its own."""

    weight: Schedule = Constant(0.01)
    gamma: float = 1.0
    lam: float = 1.0
    normalization: Normalization | None = None

    @property
    def name(self) -> str:
        return "kl"


@dataclasses.dataclass(frozen=True)
class Config:
    """Who is paid for what, and how the policy follows."""

    kind: ClassVar[str] = "ppo"

    streams: tuple[Stream, ...]  # what is paid for
    num_steps: int = 60  # one step is one set of rollouts
    prompts_per_step: int = 256
    samples_per_prompt: int = 1  # more than one makes groups of siblings
    sampling: SamplingConfig = SamplingConfig(max_response=112)
    select: Selection | None = None  # which training problems are worth it: Difficulty, Unsolved; None: all
    combination: Combination = Decoupled()  # Decoupled: a critic per stream; Coupled: one mixed reward
    kl: KLReward | KLLoss | None = KLReward()  # how far from the reference is paid for; None switches it off
    reference: Reference = Fixed()  # Fixed, Refreshed or MovingAverage
    clip: float = 0.2  # the ratio π / π_old counts within [1 − clip, 1 + clip]
    value_clip: float | None = 0.2  # a critic moves at most this far from its old value; None: freely
    value_coef: float = 1.0  # weight of the critics' loss
    entropy_coef: Schedule = Constant(0.0)  # weight of the mean entropy (nats per token), which is paid for
    epochs: int = 1  # passes over a step's rollouts
    minibatch_size: int = 32  # rows of one optimizer step
    micro_batches: int = 1  # equal parts of a minibatch, of like length each, accumulated
    target_kl: float | None = None  # the rest of the step is skipped once a minibatch is further away; None: never
    value_warmup_steps: int = 0  # first steps in which only the critics learn
    optimizer: Optimizer = AdamW(Constant(2e-4))  # the policy's
    value_optimizer: Optimizer = AdamW(Constant(3e-3))  # the critics'
    max_logp_gap: float = 0.05  # sampler and learner may differ by this much (mean absolute nats), no more
    max_bad_steps: int = 5  # non-finite updates in a row that stop the run

    def __post_init__(self):
        rows = self.rows
        if not self.streams:
            raise UserError("streams is empty; PPO needs at least one reward stream.")
        if self.num_steps < 1 or self.epochs < 1:
            raise UserError(f"num_steps = {self.num_steps} and epochs = {self.epochs} must be at least 1.")
        if rows < 1 or self.minibatch_size < 1 or rows % self.minibatch_size:
            raise UserError(
                f"prompts_per_step × samples_per_prompt = {rows} rows are not a multiple of "
                f"minibatch_size = {self.minibatch_size}."
            )
        if self.micro_batches < 1 or self.minibatch_size % self.micro_batches:
            raise UserError(
                f"minibatch_size = {self.minibatch_size} is not a multiple of micro_batches = {self.micro_batches}."
            )
        if not 0 < self.clip < 1:
            raise UserError(f"clip is {self.clip}; it must lie in (0, 1).")
        if self.target_kl is not None and self.target_kl <= 0:
            raise UserError(f"target_kl is {self.target_kl}; it must be positive, or None for no early stop.")
        if self.max_bad_steps < 1:
            raise UserError(f"max_bad_steps is {self.max_bad_steps}; at least 1 bad update must be seen to stop a run.")
        check_reference(self.reference, used=self.kl is not None)
        self.combination.check(self.channels, self.samples_per_prompt)
        names = [channel.name for channel in self.channels]
        if len(set(names)) < len(names):
            raise UserError(f'Two streams share a name: {", ".join(names)} ("kl" is the KL to the reference).')

    @property
    def rows(self) -> int:
        """Responses drawn per step."""
        return self.prompts_per_step * self.samples_per_prompt

    def watched(self, step: int, every: int) -> bool:
        """Whether an eval with `every` looks at this step: one in so many, and the last."""
        return step % every == 0 or step == self.num_steps

    @property
    def drawing(self) -> Drawing:
        """How a step's responses are drawn: all at once."""
        return Drawing(self.prompts_per_step, self.samples_per_prompt)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The reward streams, and the KL to the reference where it is a reward."""
        return (*self.streams, self.kl) if isinstance(self.kl, KLReward) else self.streams

    @property
    def value_heads(self) -> tuple[str, ...]:
        """The critics this stage needs, in order."""
        return self.combination.heads(self.channels)


def init_state(config: Config, params: Params) -> TrainState:
    """The state before the first step: the reference is a copy of the policy, and so is a critic's own trunk.

    Where the policy is adapters of a base, so are they, and all share the one base.
    """
    if "trunk" in params["value"]:
        params = params | {"value": params["value"] | {"trunk": copy(learned(params["policy"]))}}
    reference = copy(learned(params["policy"])) if config.kl is not None else ()
    opt_state = _optimizer(config).init(learned(params))
    return first_state(params, opt_state, reference=reference, memory=init_memory(config.streams))


def _optimizer(config: Config):
    return make_optimizer(policy=config.optimizer, value=config.value_optimizer)


# ---- scores → experience ------------------------------------------------------------------------


def make_experience_fn(model: ActorCritic, config: Config, heads: tuple[int, ...]) -> Callable:
    """`make_experience(state, rollout, scores) -> (experience, metrics)`, jitted.

    `heads` are the places of this stage's critics among the model's value heads. Rows pass through
    the model a minibatch at a time.
    """

    @jax.jit
    def make_experience(state: TrainState, rollout: Rollout, scores: Scores):
        learner, reference, values = _score_rows(model, config, heads, state, rollout)
        gap = masked_mean(jnp.abs(learner - rollout.logprobs), rollout.mask)
        drift = jnp.where(rollout.mask, rollout.logprobs - reference, 0.0)
        if isinstance(config.kl, KLReward):
            scores = Scores(
                jnp.concatenate([scores.rewards, -drift[None]]),
                jnp.concatenate([scores.valid, jnp.ones_like(scores.valid[:1])]),
            )
        group = config.samples_per_prompt
        result = config.combination(config.channels, scores, values, rollout.mask, state.step, group)
        tokens, token_mask = sequences(rollout)
        experience = Experience(
            tokens=tokens,
            token_mask=token_mask,
            mask=result.mask,
            value_mask=result.value_mask,
            logprobs=rollout.logprobs,
            reference_logprobs=reference,
            advantages=result.advantages,
            values=values,
            returns=result.returns,
        )
        metrics = {"policy/logp_gap": gap}
        if config.kl is not None:
            metrics["policy/kl_reference"] = masked_mean(drift, rollout.mask)
        metrics |= {f"advantage/{name}_std": result.spreads[k] for k, name in enumerate(config.value_heads)}
        metrics |= _explained(config, experience) | logged_weights(config.channels, state.step)
        return experience, metrics

    return make_experience


def _score_rows(model: ActorCritic, config: Config, heads: tuple[int, ...], state: TrainState, rollout: Rollout):
    """Learner and reference log-probs and values of every response token, some rows at a time."""

    def part(tokens, mask, response):
        learner, _, values = _forward(model, config, heads, state.params, tokens, mask, response)
        if config.kl is None:
            return learner, values
        reference = with_learned(state.params["policy"], state.reference)
        hidden = model.hidden(reference, tokens, mask)
        return learner, values, response_logprobs(model, config.sampling, reference, hidden, response)[0]

    parts = config.rows // (config.minibatch_size // config.micro_batches)
    learner, values, *reference = map_rollout(part, rollout, parts, by_length=config.micro_batches > 1)
    return learner, reference[0] if reference else rollout.logprobs, values


def _forward(model: ActorCritic, config: Config, heads, params: Params, tokens, mask, response):
    """Log-probs and entropies `[batch, time]`, values `[batch, head, time]`, about the response tokens."""
    hidden = model.hidden(params["policy"], tokens, mask)
    logprobs, entropies = response_logprobs(model, config.sampling, params["policy"], hidden, response)
    before = slice(tokens.shape[1] - response.shape[1] - 1, -1)
    values = model.values(params, tokens, mask, hidden)[jnp.asarray(heads), :, before]
    return logprobs, entropies, jnp.moveaxis(values, 0, 1)


def _explained(config: Config, experience: Experience) -> dict[str, jax.Array]:
    """1 − Var(return − value) / Var(return) of each critic."""

    def explained(k: int):
        mask = experience.value_mask[:, k]
        error = masked_var(experience.returns[:, k] - experience.values[:, k], mask)
        return 1 - error / jnp.maximum(masked_var(experience.returns[:, k], mask), 1e-8)

    return {f"value/explained_variance/{name}": explained(k) for k, name in enumerate(config.value_heads)}


# ---- experience → state -------------------------------------------------------------------------


def make_update_fn(model: ActorCritic, config: Config, heads: tuple[int, ...]) -> Callable:
    """`update(state, experience, key) -> (state, metrics)`, jitted; the given state is donated."""
    optimizer = _optimizer(config)

    def update(state: TrainState, experience: Experience, key: PRNGKeyArray):
        def one_minibatch(carry, indices):
            state, stopped = carry
            batch = take_rows(experience, indices)
            loss_fn = functools.partial(loss, model, config, heads, step=state.step, counts=_counts(batch))
            gradients, metrics = accumulate(
                loss_fn, state.params, batch, config.micro_batches, batch.token_mask[:, -batch.mask.shape[1] :]
            )
            new = apply_gradients(optimizer, state, gradients, _frozen(config, state))
            metrics |= {f"{part}/grad_norm": optax.tree.norm(gradients[part]) for part in ("policy", "value")}
            too_far = metrics["policy/approx_kl"] > (jnp.inf if config.target_kl is None else config.target_kl)
            return (choose(stopped, state, new), stopped | too_far), (metrics, ~stopped)

        indices = minibatch_rows(key, config.rows, config.minibatch_size, config.epochs)
        (state, _), (metrics, taken) = jax.lax.scan(one_minibatch, (state, jnp.zeros((), bool)), indices)
        step = state.step + 1
        if config.kl is not None:
            policy = learned(state.params["policy"])
            state = state._replace(reference=config.reference.update(state.reference, policy, step))
        means = {name: masked_mean(values, taken) for name, values in metrics.items()}
        about = {
            "policy/updates": taken.sum().astype(jnp.float32),
            "policy/learning_rate": config.optimizer.learning_rate(state.step),
        }
        return state._replace(step=step), means | about

    return jax.jit(update, donate_argnums=0)


def _counts(batch: Experience) -> tuple[jax.Array, jax.Array]:
    """Tokens that the policy loss counts, and tokens that each critic's loss counts, of a whole minibatch."""
    return jnp.maximum(batch.mask.sum(), 1), jnp.maximum(batch.value_mask.sum(axis=(0, 2)), 1)


def _frozen(config: Config, state: TrainState) -> Params | None:
    """The policy's parameters while only the critics learn."""
    if not config.value_warmup_steps:
        return None
    warming = state.step < config.value_warmup_steps
    still = {"policy": warming, "value": jnp.zeros((), bool)}
    return {name: jax.tree.map(lambda _, part=name: still[part], tree) for name, tree in learned(state.params).items()}


def loss(model: ActorCritic, config: Config, heads, params: Params, batch: Experience, *, step, counts):
    """The PPO objective (a loss) of some rows, divided by the whole minibatch's counts, and its metrics.

    L = surrogate + value_coef · Σ_k value_k − entropy_coef · entropy (+ kl.coef · KL, when KL is a loss).
    """
    num_tokens, num_values = counts
    response = batch.tokens[:, -batch.mask.shape[1] :]
    logprobs, entropies, values = _forward(model, config, heads, params, batch.tokens, batch.token_mask, response)
    mean = lambda x: masked_sum(x, batch.mask) / num_tokens  # noqa: E731

    surrogate = mean(clipped_surrogate(logprobs, batch.logprobs, batch.advantages, clip=config.clip))
    value_losses = clipped_value_loss(values, batch.values, batch.returns, clip=config.value_clip)
    value_loss = jnp.sum(masked_sum(value_losses, batch.value_mask, axis=(0, 2)) / num_values)
    entropy = mean(entropies)
    total = surrogate + config.value_coef * value_loss - config.entropy_coef(step) * entropy
    metrics = {
        "policy/loss": surrogate,
        "policy/entropy": entropy,
        "policy/ratio": mean(jnp.exp(logprobs - batch.logprobs)),
        "policy/approx_kl": mean(approx_kl(logprobs, batch.logprobs)),
        "policy/clip_fraction": mean(clip_fraction(logprobs, batch.logprobs, clip=config.clip)),
        "value/loss": value_loss,
    }
    if isinstance(config.kl, KLLoss):
        kl = mean(config.kl.estimator(logprobs, batch.reference_logprobs))
        total += config.kl.coef * kl
        metrics["policy/kl_loss"] = kl
    return total, metrics
