"""Judged responses from a policy: prompts → rollout → verdicts, the same path for training and evaluation."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from rlsp_jax.common.codes import Verdict
from rlsp_jax.data import Tokenizer, encode_prompts, token_table
from rlsp_jax.generation import SamplingConfig, make_generate_fn
from rlsp_jax.models import ActorCritic
from rlsp_jax.records import Problem
from rlsp_jax.sharding import check_rows, place_rows, replicated
from rlsp_jax.types import Params, PRNGKeyArray, PromptBatch, PyTree, Rollout, TokenBytes, Verdicts
from rlsp_jax.verifiers import Outcome, VerifierPool


@runtime_checkable
class Checker(Protocol):
    """The jitted verifier of a kind of problem; rows that it cannot settle are `UNKNOWN`."""

    def encode_truth(self, problems: Sequence[Problem]) -> PyTree: ...

    def __call__(self, rollout: Rollout, token_bytes: TokenBytes) -> Verdicts: ...


@dataclasses.dataclass(frozen=True)
class Judge:
    """The checker on the device, and the host's verifier for what it leaves undecided."""

    checker: Checker
    pool: VerifierPool
    tokenizer: Tokenizer
    token_bytes: TokenBytes


def make_judge(mesh: Mesh, checker: Checker, pool: VerifierPool, tokenizer: Tokenizer) -> Judge:
    table = TokenBytes(*(jax.device_put(array, replicated(mesh)) for array in token_table(tokenizer)))
    return Judge(checker, pool, tokenizer, table)


class Responder:
    """Fixed shapes of prompts and responses, compiled once: `rows` responses at a time."""

    def __init__(
        self, mesh: Mesh, model: ActorCritic, judge: Judge, sampling: SamplingConfig, rows: int, max_prompt: int
    ):
        check_rows(mesh, rows=rows)
        self.rows, self.sampling = rows, sampling
        self._mesh, self._judge, self._max_prompt = mesh, judge, max_prompt
        tokenizer = judge.tokenizer
        self._generate = make_generate_fn(model, sampling, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
        self._check = make_check_fn(judge.checker)

    def prompts(self, problems: Sequence[Problem], *, samples: int = 1, first: int = 0) -> PromptBatch:
        """Samples `first`, `first` + 1, … of each problem as neighbouring rows, on the mesh."""
        tokens, mask = encode_prompts(self._judge.tokenizer, problems, max_prompt=self._max_prompt)
        number = np.asarray([problem.number for problem in problems], np.int32)
        truth = self._judge.checker.encode_truth(problems)
        repeated = jax.tree.map(lambda x: np.repeat(x, samples, axis=0), (tokens, mask, number, truth))
        tokens, mask, number, truth = repeated
        sample = np.tile(np.arange(first, first + samples, dtype=np.int32), len(problems))
        return PromptBatch(*place_rows(self._mesh, (tokens, mask, number, sample, truth)))

    def generate(self, policy: Params, prompts: PromptBatch, key: PRNGKeyArray, *, greedy: bool = False) -> Rollout:
        """One response per row."""
        temperature = jnp.float32(0.0 if greedy else self.sampling.temperature)
        return self._generate(policy, prompts, key, temperature)

    def verify(self, rollout: Rollout, problems: Sequence[Problem]) -> Verdicts:
        """Verdicts of all rows; `problems[i]` is the problem of row i. Only undecided rows leave the device."""
        verdicts, undecided = self._check(rollout, self._judge.token_bytes)
        return self._settle(rollout, verdicts, problems) if int(undecided) else verdicts

    def texts(self, rollout: Rollout, indices: Sequence[int] | None = None) -> list[str]:
        """The responses as text."""
        tokens, mask = jax.device_get((rollout.tokens, rollout.mask))
        chosen = range(len(tokens)) if indices is None else indices
        return [self._judge.tokenizer.decode(tokens[i][mask[i]].tolist()) for i in chosen]

    def outcomes(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Outcome]:
        """What the host's verifier says of responses, with the final answers that it found."""
        return self._judge.pool.verify([(p.truth, text) for p, text in zip(problems, texts, strict=True)])

    def _settle(self, rollout: Rollout, verdicts: Verdicts, problems: Sequence[Problem]) -> Verdicts:
        outcome = np.array(verdicts.outcome)
        undecided = np.flatnonzero(outcome == Verdict.UNKNOWN).tolist()
        settled = self.outcomes([problems[i] for i in undecided], self.texts(rollout, undecided))
        outcome[undecided] = [result.verdict for result in settled]
        return verdicts._replace(outcome=place_rows(self._mesh, outcome))


def make_check_fn(checker: Checker):
    """`check(rollout, token_bytes) -> (verdicts, how many are undecided)`, jitted."""

    @jax.jit
    def check(rollout: Rollout, token_bytes: TokenBytes):
        verdicts = checker(rollout, token_bytes)
        return verdicts, jnp.sum(verdicts.outcome == Verdict.UNKNOWN)

    return check
