"""Random token tables and responses in them, for holding device kernels against slow readings of the same text."""

import random
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.words import ANSWER, BACK, CHECK, TRY
from rlsp_jax.types import PromptBatch, Rollout, TokenBytes, Verdicts

EOS, PAD = 256, 257
_WORDS = [ANSWER, f"{ANSWER} ", "answ", "er:", TRY, f"{TRY} ", f" {CHECK} ", CHECK, BACK, f"{BACK}\n", " no back\n"]
PIECES = [*_WORDS, "12", "+7=", "\u20ac", "(("]


class Tokens:
    """Every byte is a token; so are the pieces and two control tokens without bytes. Text is cut up at random."""

    def __init__(self, seed: int = 0, pieces: Sequence[str] = PIECES):
        self.random = random.Random(seed)
        self.pieces = [bytes([byte]) for byte in range(256)] + [b"", b""] + [piece.encode() for piece in pieces]
        self.starting = [[i for i, piece in enumerate(self.pieces) if piece[:1] == bytes([b])] for b in range(256)]
        width = max(map(len, self.pieces))
        table = np.zeros((len(self.pieces), width), np.uint8)
        for row, piece in zip(table, self.pieces, strict=True):
            row[: len(piece)] = list(piece)
        self.device = TokenBytes(jnp.asarray(table), jnp.asarray([len(piece) for piece in self.pieces], jnp.int32))

    def encode(self, text: bytes | str) -> list[int]:
        data = text.encode() if isinstance(text, str) else text
        ids, at = [], 0
        while at < len(data):
            fits = [i for i in self.starting[data[at]] if data.startswith(self.pieces[i], at)]
            ids.append(self.random.choice(fits))
            at += len(self.pieces[ids[-1]])
            if self.random.random() < 0.05:
                ids.append(EOS)  # a control token anywhere spells nothing
        return ids

    def rows(self, texts, time: int) -> tuple[jax.Array, jax.Array]:
        """Token ids and mask [batch, time] of texts (or lists of ids)."""
        tokens = np.full((len(texts), time), PAD, np.int32)
        mask = np.zeros((len(texts), time), bool)
        for row, text in enumerate(texts):
            ids = text if isinstance(text, list) else self.encode(text)
            assert len(ids) <= time, "make time longer"
            tokens[row, : len(ids)], mask[row, : len(ids)] = ids, True
        return jnp.asarray(tokens), jnp.asarray(mask)

    def rollout(self, texts, time: int, *, truth=(), problem=None, stop_reason=None, entropies=None) -> Rollout:
        tokens, mask = self.rows(texts, time)
        batch = len(texts)
        zeros = np.zeros((batch, time), np.float32)
        prompts = PromptBatch(
            np.zeros((batch, 1), np.int32),
            np.ones((batch, 1), bool),
            np.asarray(range(batch) if problem is None else problem, np.int32),
            np.zeros(batch, np.int32),
            truth,
        )
        stops = np.full(batch, StopReason.EOS, np.int8) if stop_reason is None else np.asarray(stop_reason, np.int8)
        entropies = zeros if entropies is None else np.asarray(entropies, np.float32)
        return jax.tree.map(jnp.asarray, Rollout(prompts, tokens, mask, zeros, entropies, stops))


def verdicts(rollout: Rollout, outcome=None, answer_start=None, answered=None) -> Verdicts:
    """Verdicts of a rollout; by default nothing is answered and all is wrong."""
    lengths = rollout.mask.sum(axis=1)
    outcome = [Verdict.WRONG] * len(lengths) if outcome is None else outcome
    starts = lengths if answer_start is None else answer_start
    answered = [False] * len(lengths) if answered is None else answered
    return Verdicts(jnp.asarray(outcome, jnp.int8), jnp.asarray(starts, jnp.int32), jnp.asarray(answered))


def spelled(tokens: Tokens, rollout: Rollout) -> list[bytes]:
    """What every row spells."""
    rows = zip(np.asarray(rollout.tokens), np.asarray(rollout.mask), strict=True)
    return [b"".join(tokens.pieces[i] for i in ids[real]) for ids, real in rows]
