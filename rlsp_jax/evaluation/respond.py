"""Judged responses from a policy: prompts → rollout → verdicts, the same path for training and evaluation."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from rlsp_jax.common.codes import Verdict
from rlsp_jax.data import PromptFormat, Tokenizer, encode_prompts, token_table
from rlsp_jax.data.prompts import PLAIN
from rlsp_jax.generation import SamplingConfig, make_generate_fn, with_stops
from rlsp_jax.models import ActorCritic
from rlsp_jax.records import Problem
from rlsp_jax.rewards.reference_steps import encode_steps
from rlsp_jax.sharding import check_rows, own_rows, place_own_rows, place_rows, replicated
from rlsp_jax.types import Params, PRNGKeyArray, PromptBatch, PyTree, Rollout, TokenBytes, Verdicts
from rlsp_jax.verifiers import Outcome, VerifierPool

ROWS_PER_FETCH = 32  # responses that leave the device at once: a number of their own would be a compilation of its own


@runtime_checkable
class Checker(Protocol):
    """The jitted verifier of a kind of problem; rows that it cannot settle are `UNKNOWN`."""

    def encode_truth(self, problems: Sequence[Problem]) -> PyTree: ...

    def read_vocabulary(self, token_bytes: TokenBytes) -> PyTree:
        """What the checker needs to know of the tokens, worked out once and not in every call."""
        ...

    def __call__(self, rollout: Rollout, vocabulary: PyTree, /) -> Verdicts: ...


@dataclasses.dataclass(frozen=True)
class Judge:
    """The checker on the device, and the host's verifier for what it leaves undecided."""

    checker: Checker
    pool: VerifierPool
    tokenizer: Tokenizer
    token_bytes: TokenBytes
    vocabulary: PyTree  # what the checker has read off them


def make_judge(
    mesh: Mesh, checker: Checker, pool: VerifierPool, tokenizer: Tokenizer, vocab_size: int | None = None
) -> Judge:
    """`vocab_size` is the model's, where that has more ids than the tokenizer."""
    table = token_table(tokenizer, vocab_size)
    token_bytes = TokenBytes(*(jax.device_put(array, replicated(mesh)) for array in table))
    vocabulary = jax.device_put(checker.read_vocabulary(token_bytes), replicated(mesh))
    return Judge(checker, pool, tokenizer, token_bytes, vocabulary)


class Responder:
    """Fixed shapes of prompts and responses, compiled once: `rows` responses at a time.

    `sampling` is how responses are drawn; what ends one in the format of the prompts is among its stops.
    """

    def __init__(
        self,
        mesh: Mesh,
        model: ActorCritic,
        judge: Judge,
        sampling: SamplingConfig,
        rows: int,
        max_prompt: int,
        prompts: PromptFormat = PLAIN,
    ):
        check_rows(mesh, rows=rows)
        tokenizer = judge.tokenizer
        sampling = with_stops(sampling, prompts.stop_ids(tokenizer))
        self.rows, self.sampling = rows, sampling
        self._mesh, self._judge, self._max_prompt, self._format = mesh, judge, max_prompt, prompts
        self._generate = make_generate_fn(model, sampling, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
        self._check = make_check_fn(mesh, judge.checker)
        self._take = make_take_fn(mesh)

    def prompts(self, problems: Sequence[Problem], *, samples: int = 1, first: int = 0) -> PromptBatch:
        """Samples `first`, `first` + 1, … of each problem as neighbouring rows, on the mesh."""
        tokenizer = self._judge.tokenizer
        tokens, mask = encode_prompts(tokenizer, problems, max_prompt=self._max_prompt, prompts=self._format)
        number = np.asarray([problem.number for problem in problems], np.int32)
        truth = self._judge.checker.encode_truth(problems)
        steps = encode_steps(problems)
        repeated = jax.tree.map(lambda x: np.repeat(x, samples, axis=0), (tokens, mask, number, truth, steps))
        tokens, mask, number, truth, steps = repeated
        sample = np.tile(np.arange(first, first + samples, dtype=np.int32), len(problems))
        return PromptBatch(*place_rows(self._mesh, (tokens, mask, number, sample, truth, steps)))

    def generate(self, policy: Params, prompts: PromptBatch, key: PRNGKeyArray, *, greedy: bool = False) -> Rollout:
        """One response per row."""
        temperature = jnp.float32(0.0 if greedy else self.sampling.temperature)
        return self._generate(policy, prompts, key, temperature)

    def verify(self, rollout: Rollout, problems: Sequence[Problem]) -> Verdicts:
        """Verdicts of all rows; `problems[i]` is the problem of row i. Only undecided rows leave the device."""
        verdicts, outcome = self._check(rollout, self._judge.vocabulary)
        outcome = np.array(outcome)
        undecided = np.flatnonzero(outcome == Verdict.UNKNOWN)
        return self._settle(rollout, verdicts, outcome, undecided, problems) if undecided.size else verdicts

    def texts(self, rollout: Rollout, indices: Sequence[int] | None = None) -> list[str]:
        """The responses as text. Where few are chosen, the others do not leave the device."""
        return [self._decode(*row) for row in self._fetch(rollout, range(self.rows) if indices is None else indices)]

    def _decode(self, tokens: np.ndarray, mask: np.ndarray) -> str:
        return self._judge.tokenizer.decode(tokens[mask].tolist())

    def _fetch(self, rollout: Rollout, chosen: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The tokens and masks of rows, a fixed number at a time."""
        few = len(chosen) <= self.rows // 2
        size = min(ROWS_PER_FETCH, self.rows // 2) if few else self.rows
        for first in range(0, len(chosen), size):
            some = list(chosen[first : first + size])
            at = np.asarray(some + [0] * (size - len(some)), np.int32)
            tokens, mask = jax.device_get(self._take(rollout.tokens, rollout.mask, at))
            yield from zip(tokens[: len(some)], mask[: len(some)], strict=True)

    def outcomes(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Outcome]:
        """What the host's verifier says of responses, with the final answers that it found."""
        return self._judge.pool.verify([(p.truth, text) for p, text in zip(problems, texts, strict=True)])

    def _settle(
        self,
        rollout: Rollout,
        verdicts: Verdicts,
        outcome: np.ndarray,
        undecided: np.ndarray,
        problems: Sequence[Problem],
    ) -> Verdicts:
        """Have the host judge what is undecided: each process the rows that lie on its own devices."""
        own = own_rows(self._mesh, self.rows)
        tokens = list(self._fetch(rollout, undecided.tolist()))  # the same program on every process
        asked = [(row, i) for row, i in zip(tokens, undecided.tolist(), strict=True) if i in own]
        texts = [self._decode(*row) for row, _ in asked]
        settled = self.outcomes([problems[i] for _, i in asked], texts)
        outcome[[i for _, i in asked]] = [result.verdict for result in settled]
        return verdicts._replace(outcome=place_own_rows(self._mesh, outcome[own], self.rows))


def make_take_fn(mesh: Mesh):
    """`take(tokens, mask, at)`: the rows `at`, on every process; jitted."""

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def take(tokens: jax.Array, mask: jax.Array, at: jax.Array):
        return tokens[at], mask[at]

    return take


def make_check_fn(mesh: Mesh, checker: Checker):
    """`check(rollout, vocabulary) -> (verdicts, their outcomes on every process)`, jitted."""

    @jax.jit
    def check(rollout: Rollout, vocabulary: PyTree):
        verdicts = checker(rollout, vocabulary)
        return verdicts, jax.lax.with_sharding_constraint(verdicts.outcome, replicated(mesh))

    return check
