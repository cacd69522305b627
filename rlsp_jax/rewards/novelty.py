"""Pay for saying something new: compared with the siblings, compared with all of training, token by token."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Int

from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards.hashing import ngrams
from rlsp_jax.rewards.streams import ResponseKernel, Score, terminal
from rlsp_jax.types import PyTree, Rollout, TokenBytes, Verdicts


@dataclasses.dataclass(frozen=True)
class GroupNovelty(ResponseKernel):
    """1 − the largest share of a response's distinct token n-grams that one sibling has too: in [0, 1].

    Siblings are the rows of the same problem; a response without any is all novel. A response shorter than n tokens
    shows nothing and earns 0. N-grams are hashed into `buckets`, which only ever makes a response look less novel: by
    about (n-grams of a sibling) / buckets. Costs a `[batch, buckets]` array and its product with itself.
    """

    n: int = 4
    buckets: int = 2**12

    def __post_init__(self):
        _check_ngrams(self.n, self.buckets)

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        batch = len(rollout.tokens)
        keys, real = ngrams(rollout.tokens, rollout.mask, self.n)
        bucket = jnp.where(real, keys % self.buckets, self.buckets).astype(jnp.int32)  # what is not real is dropped
        has = jnp.zeros((batch, self.buckets)).at[jnp.arange(batch)[:, None], bucket].set(1.0, mode="drop")
        size = has.sum(axis=1)
        shared = (has @ has.T) / jnp.maximum(size, 1.0)[:, None]
        problem = rollout.prompts.problem
        siblings = (problem[:, None] == problem) & ~jnp.eye(batch, dtype=bool)
        overlap = jnp.max(jnp.where(siblings, shared, 0.0), axis=1)
        return jnp.where(size > 0, 1.0 - overlap, 0.0), jnp.ones(batch, bool)


@dataclasses.dataclass(frozen=True)
class TrainingNovelty:
    """The mean of 1/√count over a response's token n-grams, of all the n-grams of training, this batch included.

    In [0, 1]; a response shorter than n tokens earns 0. The memory is the counts, hashed: int32 [buckets].
    """

    buckets: int = 2**16
    n: int = 4

    def __post_init__(self):
        _check_ngrams(self.n, self.buckets)

    def init(self) -> Int[Array, " buckets"]:
        return jnp.zeros(self.buckets, jnp.int32)

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]:
        keys, real = ngrams(rollout.tokens, rollout.mask, self.n)
        bucket = (keys % self.buckets).astype(jnp.int32)
        counts = memory.at[bucket].add(real.astype(jnp.int32))
        rarity = jnp.where(real, 1.0 / jnp.sqrt(jnp.maximum(counts[bucket], 1).astype(jnp.float32)), 0.0)
        score = rarity.sum(axis=1) / jnp.maximum(real.sum(axis=1), 1)
        return Score(terminal(score, rollout.mask), jnp.ones(len(score), bool)), counts


@dataclasses.dataclass(frozen=True)
class TokenEntropy:
    """Each token's entropy at the time it was chosen, up to `cap` nats, over the response's length: a dense reward.

    It sums to the mean entropy, so that length itself earns nothing.
    """

    cap: float

    def __post_init__(self):
        if not self.cap > 0:
            raise UserError(f"cap is {self.cap}; it must be a positive number of nats.")

    def init(self) -> PyTree:
        return ()

    def __call__(
        self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes, memory: PyTree
    ) -> tuple[Score, PyTree]:
        length = jnp.maximum(rollout.mask.sum(axis=1, keepdims=True), 1)
        reward = jnp.where(rollout.mask, jnp.minimum(rollout.entropies, self.cap) / length, 0.0)
        return Score(reward, jnp.ones(len(reward), bool)), memory


def _check_ngrams(n: int, buckets: int) -> None:
    if n < 1:
        raise UserError(f"n is {n}; an n-gram has at least 1 token.")
    if buckets < 1:
        raise UserError(f"buckets is {buckets}; there must be at least 1.")
