"""Texts from a policy of one's own, asked through the library's engine."""

import dataclasses
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import with_suffix
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.records import Problem
from rlsp_jax.sharding import place_rows, row_shards
from rlsp_jax.training.run import Run
from rlsp_jax.types import Params

ROWS = 32  # responses at a time, rounded up to what the mesh divides


class PolicyGenerator:
    """Answers questions, typed as `rlsp sample` takes them, with responses of a run's policy.

    `suffix` is what the policy is shown after each question. What it answers depends on the question, the sample's
    number and the seed alone, and not on what else is asked.
    """

    def __init__(self, run: Run, policy: Params, sampling: SamplingConfig, *, suffix: str = "", seed: int = 0):
        shards = row_shards(run.mesh)
        self._rows = -(-ROWS // shards) * shards
        self._run, self._policy, self._suffix = run, policy, suffix
        self._responder = run.responder(sampling, self._rows)
        self._key = key_of(run.key, "texts", seed)

    def generate(self, prompts: Sequence[str], samples: int) -> list[list[str]]:
        """`samples` responses to each question, in order; `UserError` for one that is none."""
        texts = list(self._respond([(self._parse(prompt), i) for prompt in prompts for i in range(samples)]))
        return [texts[i : i + samples] for i in range(0, len(texts), samples)]

    def _parse(self, prompt: str) -> Problem:
        """The problem of a question, with a number of its own: together with the sample's it keys the randomness."""
        problem = self._run.experiment.problems.parse(prompt)
        return dataclasses.replace(problem, number=zlib.crc32(prompt.encode()) >> 1)

    def _respond(self, asked: list[tuple[Problem, int]]) -> Iterator[str]:
        for first in range(0, len(asked), self._rows):
            part = asked[first : first + self._rows]
            rows = part + [part[0]] * (self._rows - len(part))
            prompts = self._responder.prompts(with_suffix([problem for problem, _ in rows], self._suffix))
            sample = place_rows(self._run.mesh, np.asarray([i for _, i in rows], np.int32))
            rollout = self._responder.generate(self._policy, prompts._replace(sample=sample), self._key)
            yield from self._responder.texts(rollout)[: len(part)]
