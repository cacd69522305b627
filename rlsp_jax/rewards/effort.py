"""Pay for written effort: the marks of searching (turning back, verifying, trying), each counted once per use."""

import dataclasses

import jax.numpy as jnp

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.words import BACK, CHECK, TRY
from rlsp_jax.rewards.byte_text import expand, find, places, windows
from rlsp_jax.rewards.hashing import count_distinct, hash_items
from rlsp_jax.rewards.streams import ResponseKernel
from rlsp_jax.types import Rollout, TokenBytes, Verdicts

_MAX_OCCURRENCES = 64  # of one marker, the first ones


@dataclasses.dataclass(frozen=True)
class SearchEffort(ResponseKernel):
    """Uses of search markers before the first final answer, up to `cap`, over `cap`: in [0, 1].

    A marker is found wherever its bytes stand, and counts once for each different continuation of `continuation`
    bytes, so that saying the same again earns nothing. Of each marker the first 64 occurrences are read. What is said
    is not checked: see `attempts.SearchAttempts` for that. Responses that outgrow `byte_text.expand` are not valid.
    """

    cap: int
    markers: tuple[str, ...] = (BACK, CHECK, TRY)
    continuation: int = 8

    def __post_init__(self):
        if self.cap < 1:
            raise UserError(f"cap is {self.cap}; at least 1 use must be countable.")
        if not self.markers or not all(self.markers):
            raise UserError(f"markers is {self.markers}; it needs at least one marker, and none may be empty.")
        if self.continuation < 1:
            raise UserError(f"continuation is {self.continuation}; it needs at least 1 byte.")

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        reasoning = rollout.mask & (jnp.arange(rollout.mask.shape[1]) < verdicts.answer_start[:, None])
        text = expand(rollout.tokens, reasoning, token_bytes)
        keys, valid = [], []
        for seed, marker in enumerate(self.markers):
            at, exists = places(find(text, marker.encode()), _MAX_OCCURRENCES)
            follows = windows(text.bytes, at + len(marker.encode()), self.continuation)
            keys.append(hash_items(follows, seed))
            valid.append(exists)
        count = count_distinct(jnp.concatenate(keys, axis=1), jnp.concatenate(valid, axis=1))
        return jnp.minimum(count, self.cap).astype(jnp.float32) / self.cap, ~text.overflow
