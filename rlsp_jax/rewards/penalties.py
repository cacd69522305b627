"""What a response loses for how it is written, at its last token: 0, or the penalty."""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Bool

from rlsp_jax.common.codes import StopReason
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_mean
from rlsp_jax.rewards.byte_text import ByteText, expand
from rlsp_jax.rewards.hashing import count_distinct, ngrams
from rlsp_jax.rewards.streams import ResponseKernel
from rlsp_jax.types import Rollout, TokenBytes, Verdicts


@dataclasses.dataclass(frozen=True)
class Truncation(ResponseKernel):
    """The response was cut off by the length limit."""

    penalty: float = -1.0

    def __post_init__(self):
        _check_penalty(self.penalty)

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        return _penalize(rollout.stop_reason == StopReason.LENGTH, self.penalty)


@dataclasses.dataclass(frozen=True)
class RepeatedNgrams(ResponseKernel):
    """More than a share `allowed` of the response's token n-grams was there before in it (T1 §2.2.3: repetition)."""

    n: int = 8
    allowed: float = 0.2
    penalty: float = -1.0

    def __post_init__(self):
        _check_penalty(self.penalty)
        if self.n < 1:
            raise UserError(f"n is {self.n}; an n-gram has at least 1 token.")
        if not 0 <= self.allowed <= 1:
            raise UserError(f"allowed is {self.allowed}; it is a share and must lie in [0, 1].")

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        keys, real = ngrams(rollout.tokens, rollout.mask, self.n)
        total = real.sum(axis=1)
        repeated = total - count_distinct(keys, real)
        return _penalize(repeated > self.allowed * total, self.penalty)


@dataclasses.dataclass(frozen=True)
class NoAnswer(ResponseKernel):
    """No final answer stands in the response; one that is malformed is an answer all the same."""

    penalty: float = -1.0

    def __post_init__(self):
        _check_penalty(self.penalty)

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        return _penalize(~verdicts.answered, self.penalty)


@dataclasses.dataclass(frozen=True)
class GarbledBytes(ResponseKernel):
    """The response's bytes are no UTF-8. Responses that outgrow `byte_text.expand` are not valid."""

    penalty: float = -1.0

    def __post_init__(self):
        _check_penalty(self.penalty)

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        text = expand(rollout.tokens, rollout.mask, token_bytes)
        return _penalize(~is_utf8(text), self.penalty)[0], ~text.overflow


@dataclasses.dataclass(frozen=True)
class HighPerplexity(ResponseKernel):
    """The response's perplexity, exp of the mean −log π of its tokens, is above `limit` (T1 §2.2.3: fluent nonsense).

    π is the policy as it was sampled from, temperature and truncations included: what the sampler knew when it wrote,
    so that it costs nothing, and what surges when a policy drifts into noise. Under the reference, a response would be
    charged for what the policy has learned since.
    """

    limit: float
    penalty: float = -1.0

    def __post_init__(self):
        _check_penalty(self.penalty)
        if not self.limit > 1:
            raise UserError(f"limit is {self.limit}; no perplexity is below 1, so it must be larger.")

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        surprise = -masked_mean(rollout.logprobs, rollout.mask, axis=1)
        return _penalize(surprise > math.log(self.limit), self.penalty)


def is_utf8(text: ByteText) -> Bool[Array, " batch"]:
    """Whether the bytes are UTF-8, as strict as Python's decoder: no overlong forms, surrogates, or cut characters."""
    n = text.bytes.shape[1]
    padded = jnp.pad(text.bytes.astype(jnp.int32), ((0, 0), (3, 3)))  # zeros around: a cut character is noticed
    here, one, two, three = (padded[:, 3 - back : 3 - back + n + 3] for back in range(4))
    continues = (here >= 0x80) & (here < 0xC0)
    expected = (one >= 0xC0) | (two >= 0xE0) | (three >= 0xF0)
    impossible = (here == 0xC0) | (here == 0xC1) | (here > 0xF4)
    overlong = ((one == 0xE0) & (here < 0xA0)) | ((one == 0xF0) & (here < 0x90))
    beyond = ((one == 0xED) & (here > 0x9F)) | ((one == 0xF4) & (here > 0x8F))  # surrogates, and above U+10FFFF
    return jnp.all((continues == expected) & ~impossible & ~overlong & ~beyond, axis=1)


def _penalize(faulty: Bool[Array, " batch"], penalty: float):
    return jnp.where(faulty, penalty, 0.0), jnp.ones(len(faulty), bool)


def _check_penalty(penalty: float) -> None:
    if not penalty <= 0:
        raise UserError(f"penalty is {penalty}; it must not be positive.")
