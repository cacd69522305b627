"""Inference scaling: what the first part of the thinking is worth when the answer is asked for right behind it.

T1 (2501.11651), §4: a full response is cut to its first i · 10 % or to a budget, and a model that did not learn from
rewards, the summary model, writes the answer. Here the policy that thought writes one too, since what the summary model
can do by itself sets the floor of its curve.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Tokenizer, encode_on
from rlsp_jax.evaluation.elicit import (
    WHOLE,
    ElicitFn,
    ReadFn,
    default_marker,
    kept_tokens,
    make_elicit_fns,
    thinking_tokens,
)
from rlsp_jax.evaluation.respond import Checker, Responder
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import ActorCritic
from rlsp_jax.records import Problem, ScalingResult
from rlsp_jax.types import Params, PRNGKeyArray, Rollout

TENTHS = tuple(i / 10 for i in range(1, 11))


class Cut(NamedTuple):
    """How much of the thinking is kept: a fraction, a budget, or neither for the response as it was written."""

    fraction: float | None = None
    budget: int | None = None

    @property
    def thousandths(self) -> int:
        return WHOLE if self.fraction is None else round(self.fraction * WHOLE)


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Held-out problems, each answered from the first part of the thinking only.

    Thinking is what a response says before its first final answer. It is run at the end of each stage that learns from
    rewards, and at the end of the stage before it, whose policy is the summary model of the next.
    """

    name: str
    problems: int = 512
    fractions: tuple[float, ...] = TENTHS  # of each response's own thinking
    budgets: tuple[int, ...] = ()  # thinking tokens, for all responses alike
    samples: int = 0  # drawn responses to each problem; 0 is the greedy one
    sampling: SamplingConfig = SamplingConfig()
    batch_size: int = 256
    elicit_tokens: int = 24  # the longest answer that is asked for, after the marker
    marker: str | None = None  # the text that asks for the answer; None is the checker's own

    def __post_init__(self):
        if not self.name.isidentifier():
            raise UserError(f"A scaling is named {self.name!r}; its name becomes a file's: letters, digits and _.")
        for field, least in (("problems", 1), ("samples", 0), ("batch_size", 1), ("elicit_tokens", 1)):
            if (value := vars(self)[field]) < least:
                raise UserError(f"The scaling {self.name!r} has {field} = {value}; it must be at least {least}.")
        if not self.fractions and not self.budgets:
            raise UserError(f"The scaling {self.name!r} has neither fractions nor budgets; give it some of either.")
        if not all(0 < fraction <= 1 for fraction in self.fractions):
            raise UserError(f"The scaling {self.name!r} has the fractions {self.fractions}; each must lie in (0, 1].")
        if not all(budget >= 0 for budget in self.budgets):
            raise UserError(f"The scaling {self.name!r} has the budgets {self.budgets}; each must be 0 or more.")
        if len(set(self.cuts)) < len(self.cuts):
            raise UserError(f"The scaling {self.name!r} repeats a fraction or a budget.")
        if self.marker == "":
            raise UserError(f"The scaling {self.name!r} has an empty marker; None is the checker's own.")

    @property
    def cuts(self) -> tuple[Cut, ...]:
        return (*(Cut(fraction=f) for f in self.fractions), *(Cut(budget=b) for b in self.budgets))

    def marker_text(self, checker: Checker) -> str:
        return default_marker(checker) if self.marker is None else self.marker


NONE = np.array([], np.int8)


class Summarizer(NamedTuple):
    """A policy that reads what another one thought, and what it is called in the records."""

    name: str
    policy: Params


class Reading(NamedTuple):
    """One batch at one cut: `[batch]` tokens kept, and outcomes of the policy's and of the summary model's answers."""

    cut: Cut
    kept: np.ndarray
    own: np.ndarray
    summary: np.ndarray  # empty without a summary model


@dataclasses.dataclass(frozen=True)
class Scaler:
    """A scaling with all it needs: its problems, who thinks and who asks for answers."""

    config: Scaling
    problems: Sequence[Problem]
    responder: Responder
    read: ReadFn
    elicit: ElicitFn

    def __call__(
        self, policy: Params, summarizer: Summarizer | None, key: PRNGKeyArray, *, stage: str, step: int
    ) -> list[ScalingResult]:
        """A result for each fraction and each budget, and last for the responses as they were written."""
        readings = [reading for batch in self._batches() for reading in self._batch(policy, summarizer, key, *batch)]
        return [
            summarize_cut(self.config, cut, [r for r in readings if r.cut == cut], summarizer, stage, step)
            for cut in (*self.config.cuts, Cut())
        ]

    def _batches(self) -> Iterator[tuple[list[Problem], int]]:
        """Problems, as many as the responder has rows or fewer, and which of their samples is asked for."""
        size = self.responder.rows
        for sample in range(max(self.config.samples, 1)):
            for start in range(0, len(self.problems), size):
                yield list(self.problems[start : start + size]), sample

    def _batch(
        self, policy: Params, summarizer: Summarizer | None, key: PRNGKeyArray, asked: list[Problem], sample: int
    ) -> Iterator[Reading]:
        """One response to each problem, answered at every cut; the last batch is filled up to the one shape."""
        responder, count = self.responder, len(asked)
        rows = asked + [asked[-1]] * (responder.rows - count)
        rollout = responder.generate(policy, responder.prompts(rows, first=sample), key, greedy=not self.config.samples)
        verdicts = responder.verify(rollout, rows)
        thinking = thinking_tokens(rollout, verdicts)
        own = self._answers(policy, rollout, thinking, rows)
        summary = [] if summarizer is None else self._answers(summarizer.policy, rollout, thinking, rows)
        kept, outcome = jax.device_get((thinking, verdicts.outcome))
        for cut, (tokens, mine), its in itertools.zip_longest(self.config.cuts, own, summary):
            yield Reading(cut, tokens[:count], mine[:count], NONE if its is None else its[1][:count])
        yield Reading(Cut(), kept[:count], outcome[:count], NONE)

    def _answers(
        self, policy: Params, rollout: Rollout, thinking: jax.Array, rows: Sequence[Problem]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each cut, the tokens kept and the outcomes of the answers; cuts that keep the same are one."""
        cache, found, known = self.read(policy, rollout), [], {}
        for cut in self.config.cuts:
            budget = rollout.tokens.shape[1] if cut.budget is None else cut.budget
            kept = kept_tokens(thinking, cut.thousandths, budget)
            tokens = jax.device_get(kept)
            if tokens.tobytes() not in known:
                judged = self.elicit(policy, cache, rollout, kept)
                known[tokens.tobytes()] = jax.device_get(self.responder.verify(judged, rows).outcome)
            found.append((tokens, known[tokens.tobytes()]))
        return found


def make_scaler(
    config: Scaling,
    problems: Sequence[Problem],
    responder: Responder,
    model: ActorCritic,
    tokenizer: Tokenizer,
    checker: Checker,
) -> Scaler:
    """`responder` is one of `config.sampling` and `config.batch_size`."""
    read, elicit = make_elicit_fns(
        model,
        encode_on(tokenizer, config.marker_text(checker)),
        config.elicit_tokens,
        stop_ids=responder.sampling.stop_ids,
        eos_id=tokenizer.eos_id,
        pad_id=tokenizer.pad_id,
    )
    return Scaler(config, problems, responder, read, elicit)


def summarize_cut(
    config: Scaling, cut: Cut, readings: Sequence[Reading], summarizer: Summarizer | None, stage: str, step: int
) -> ScalingResult:
    """What all batches say of one cut; unknown verdicts are counted and left out of the accuracies."""
    own, summary = (np.concatenate([getattr(r, who) for r in readings]) for who in ("own", "summary"))
    return ScalingResult(
        scaling=config.name,
        stage=stage,
        step=step,
        fraction=cut.fraction,
        budget=cut.budget,
        responses=len(own),
        kept=float(np.concatenate([reading.kept for reading in readings]).mean()),
        own=_accuracy(own),
        own_unknown=int(np.sum(own == Verdict.UNKNOWN)),
        summary=_accuracy(summary),
        summary_unknown=int(np.sum(summary == Verdict.UNKNOWN)),
        summarizer="" if summarizer is None else summarizer.name,
    )


def _accuracy(outcomes: np.ndarray) -> float:
    known = outcomes[outcomes != Verdict.UNKNOWN]
    return float(np.mean(known == Verdict.CORRECT)) if len(known) else math.nan
