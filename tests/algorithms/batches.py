"""A small model, rollouts and states for the algorithms' tests; every compiled function is shared by all of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo
from rlsp_jax.algorithms.combination import Coupled
from rlsp_jax.common.codes import StopReason
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import nano
from rlsp_jax.rewards import Stream, Whiten
from rlsp_jax.schedules import Constant, Linear
from rlsp_jax.types import Experience, PromptBatch, Rollout, Scores, TrainState
from tests.models.builders import VOCAB, build, left_padded

PROMPT, TIME, ROWS, GROUP = 4, 6, 8, 2
MODEL_CONFIG = nano(num_layers=1, value_heads=("correctness", "exploration", "kl", "total"))
MODEL, _ = build(MODEL_CONFIG)

CORRECTNESS = Stream("correctness", rewards.Correctness(), Linear(0.8, 0.4, 10), gamma=0.95, lam=0.9)
EXPLORATION = Stream("exploration", rewards.Correctness(), Constant(0.3), gamma=0.9, lam=0.7, normalization=Whiten())
KL = ppo.KLReward(Constant(0.05), gamma=1.0, lam=0.95)


def config(**changes) -> ppo.Config:
    """PPO on 8 rows in minibatches of 4, with streams that differ in everything."""
    base = dict(
        streams=(CORRECTNESS, EXPLORATION),
        prompts_per_step=ROWS // GROUP,
        samples_per_prompt=GROUP,
        sampling=SamplingConfig(max_response=TIME, temperature=0.8),
        kl=KL,
        minibatch_size=4,
        epochs=2,
    )
    return ppo.Config(**{**base, **changes})


DECOUPLED = config()
COUPLED = config(
    streams=tuple(Stream(stream.name, stream.kernel, stream.weight) for stream in (CORRECTNESS, EXPLORATION)),
    combination=Coupled(gamma=0.95, lam=0.9, normalization=Whiten()),
    kl=None,
)
LOSS = config(kl=ppo.KLLoss())


def heads(config: ppo.Config) -> tuple[int, ...]:
    return tuple(MODEL_CONFIG.value_heads.index(name) for name in config.value_heads)


@functools.cache
def experience_fn(config: ppo.Config):
    return ppo.make_experience_fn(MODEL, config, heads(config))


@functools.cache
def update_fn(config: ppo.Config):
    return ppo.make_update_fn(MODEL, config, heads(config))


@functools.cache
def loss_fn(config: ppo.Config):
    """`loss(params, batch, step, counts) -> (loss, metrics)` and its gradients, jitted."""

    def loss(params, batch, step, counts):
        return ppo.loss(MODEL, config, heads(config), params, batch, step=step, counts=counts)

    return jax.jit(loss), jax.jit(jax.grad(loss, has_aux=True))


@functools.cache
def _drawn(seed):
    return jax.device_get(build(MODEL_CONFIG, seed)[1])


def parameters(seed=0):
    """The same numbers in new memory each time."""
    return jax.tree.map(jnp.array, _drawn(seed))


def state(config: ppo.Config, *, step=0, reference_seed=1) -> TrainState:
    """A new state each time, since updates donate it; the reference differs from the policy."""
    fresh = ppo.init_state(config, parameters())
    reference = parameters(reference_seed)["policy"] if config.kl is not None else ()
    return fresh._replace(step=jnp.asarray(step, jnp.int32), reference=reference)


def rollout(seed=0) -> Rollout:
    """Responses of all lengths from 1 to TIME; log-probs are whatever a sampler might have said."""
    rng = np.random.default_rng(seed)
    questions = [rng.integers(0, VOCAB, rng.integers(1, PROMPT + 1)).tolist() for _ in range(ROWS // GROUP)]
    tokens, mask = left_padded([q for q in questions for _ in range(GROUP)], PROMPT)
    lengths = rng.permutation([1, TIME, *rng.integers(1, TIME + 1, ROWS - 2)])
    real = np.arange(TIME) < lengths[:, None]
    number = np.repeat(np.arange(ROWS // GROUP, dtype=np.int32), GROUP)
    prompts = PromptBatch(tokens, mask, number, np.tile(np.arange(GROUP, dtype=np.int32), ROWS // GROUP), ())
    return jax.tree.map(
        jnp.asarray,
        Rollout(
            prompts=prompts,
            tokens=np.where(real, rng.integers(0, VOCAB, real.shape), 0).astype(np.int32),
            mask=real,
            logprobs=np.where(real, -rng.exponential(2.0, real.shape), 0).astype(np.float32),
            entropies=np.where(real, rng.exponential(2.0, real.shape), 0).astype(np.float32),
            stop_reason=np.full(ROWS, StopReason.EOS, np.int8),
        ),
    )


def scores(rollout: Rollout, *, unknown=(), seed=0) -> Scores:
    """A right or wrong answer, paid at the end and not known of some rows, and something dense beside it."""
    rng = np.random.default_rng(seed)
    mask = np.asarray(rollout.mask)
    correct = rng.integers(0, 2, ROWS).astype(np.float32)
    terminal = np.where(np.arange(TIME) == mask.sum(axis=1, keepdims=True) - 1, correct[:, None], 0)
    dense = np.where(mask, rng.normal(size=mask.shape), 0)
    valid = np.ones((2, ROWS), bool)
    valid[0, list(unknown)] = False
    return Scores(jnp.asarray(np.stack([terminal, dense]), jnp.float32), jnp.asarray(valid))


@functools.cache
def experience(config: ppo.Config, *, unknown=()) -> Experience:
    rolled = rollout()
    return experience_fn(config)(state(config), rolled, scores(rolled, unknown=unknown))[0]


@functools.cache
def forward_fn():
    """`forward(params, experience) -> (logprobs, entropies, values of all heads)` of the learner, jitted."""
    every = tuple(range(len(MODEL_CONFIG.value_heads)))

    def forward(params, made: Experience):
        response = made.tokens[:, PROMPT:]
        return ppo._forward(MODEL, config(), every, params, made.tokens, made.token_mask, response)

    return jax.jit(forward)


def nearby(config: ppo.Config, *, unknown=()) -> Experience:
    """Experience as if sampled close to the policy of `parameters()`: ratios around 1, some clipped.

    `config` is one of DECOUPLED, COUPLED and LOSS, so that few programs are compiled; others with the same heads may
    learn from it.
    """
    made = experience(config, unknown=unknown)
    logprobs, _, values = forward_fn()(parameters(), made)
    rng = np.random.default_rng(5)
    noise = lambda x: x + jnp.asarray(rng.normal(scale=0.2, size=x.shape), jnp.float32)  # noqa: E731
    return made._replace(
        logprobs=noise(logprobs), values=noise(values[:, np.asarray(heads(config))]), reference_logprobs=noise(logprobs)
    )
