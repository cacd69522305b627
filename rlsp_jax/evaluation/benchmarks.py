"""An evaluation: what is asked, and what the samples say of it. Reads samples, never the trainer."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.evaluation.estimators import bootstrap_interval, majority_correct, pass_at_k, rerank_correct
from rlsp_jax.evaluation.respond import Responder
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.records import Behaviors, EvalResult, Problem, Sample
from rlsp_jax.types import Params, PRNGKeyArray, Rollout
from rlsp_jax.verifiers import Verifier

GREEDY = -1

# responses and whether each is right → what they do (`behaviors.mean_behaviors`)
Describe = Callable[[Sequence[str], Sequence[bool]], Behaviors]

# responses → an outcome model's p(correct) of each, which every process can read
Rank = Callable[[Rollout], Float[Array, " batch"]]


@dataclasses.dataclass(frozen=True)
class Eval:
    """Held-out problems, one greedy response and `samples` drawn ones for each.

    `every` steps of a stage that draws its own samples, from step 0; None is at the end of each stage.
    """

    name: str
    every: int | None = None
    problems: int = 512
    samples: int = 8
    budgets: tuple[int, ...] = ()
    sampling: SamplingConfig = SamplingConfig()
    batch_size: int = 256

    def __post_init__(self):
        if not self.name.isidentifier():
            raise UserError(f"An eval is named {self.name!r}; its name becomes a file's: letters, digits and _.")
        if self.problems < 1:
            raise UserError(f"The eval {self.name!r} has problems = {self.problems}: the problem set is empty.")
        if self.samples < 0 or self.batch_size < 1:
            raise UserError(f"The eval {self.name!r} needs samples ≥ 0 and batch_size ≥ 1.")
        if self.every is not None and self.every < 1:
            raise UserError(f"The eval {self.name!r} has every = {self.every}; it must be at least 1, or None.")


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """An eval with all it needs: its problems, who answers them, who votes, who describes and who ranks, if anyone."""

    config: Eval
    problems: Sequence[Problem]
    responder: Responder
    verifier: Verifier
    describe: Describe
    rank: Rank | None = None

    def __call__(
        self, policy: Params, key: PRNGKeyArray, *, stage: str, step: int
    ) -> tuple[list[EvalResult], list[Sample]]:
        """Results over all levels first, then by level, and the samples behind them."""
        start = time.monotonic()
        samples = [
            sample
            for number in range(GREEDY, self.config.samples)
            for sample in self._draw(policy, key, number, stage, step)
        ]
        seconds = time.monotonic() - start
        levels = sorted({sample.level for sample in samples})
        groups = [("all", samples), *((level, [s for s in samples if s.level == level]) for level in levels)]
        summary = functools.partial(summarize, self.config, self.verifier, self.describe, seconds)
        return [summary(level, group) for level, group in groups], samples

    def _draw(self, policy: Params, key: PRNGKeyArray, number: int, stage: str, step: int) -> Iterator[Sample]:
        """Sample `number` of every problem, batch by batch; the last batch is filled up to the one shape."""
        responder = self.responder
        for start in range(0, len(self.problems), responder.rows):
            asked = list(self.problems[start : start + responder.rows])
            rows = asked + [asked[-1]] * (responder.rows - len(asked))
            prompts = responder.prompts(rows, first=max(number, 0))
            rollout = responder.generate(policy, prompts, key, greedy=number == GREEDY)
            outcome = responder.verify(rollout, rows).outcome
            outcome, lengths, reasons = jax.device_get((outcome, rollout.mask.sum(axis=1), rollout.stop_reason))
            scores = None if self.rank is None else np.asarray(self.rank(rollout)).tolist()
            texts = responder.texts(rollout, range(len(asked)))
            answers = [found.extracted for found in responder.outcomes(asked, texts)]
            for i, problem in enumerate(asked):
                yield Sample(
                    eval=self.config.name,
                    stage=stage,
                    step=step,
                    problem=problem.number,
                    level=problem.level,
                    question=problem.question,
                    sample=number,
                    response=texts[i],
                    num_tokens=int(lengths[i]),
                    stop_reason=StopReason(reasons[i]).name.lower(),
                    verdict=Verdict(outcome[i]).name.lower(),
                    answer=answers[i],
                    score=None if scores is None else scores[i],
                )


def summarize(
    config: Eval, verifier: Verifier, describe: Describe, seconds: float, level: str, samples: Sequence[Sample]
) -> EvalResult:
    """What the samples of one level say; unknown verdicts are counted and left out of every rate."""
    known = [sample for sample in samples if sample.verdict != "unknown"]
    greedy = [sample for sample in known if sample.sample == GREEDY]
    drawn = [sample for sample in known if sample.sample != GREEDY]
    by_problem = list(_by_problem(drawn))
    correct = np.asarray([sum(_right(s) for s in group) for group in by_problem])
    total = np.asarray([len(group) for group in by_problem])
    ranked = [[(s.score, _right(s)) for s in group if s.score is not None] for group in by_problem]
    majority = [majority_correct([(_vote(verifier, s), _right(s)) for s in group]) for group in by_problem]
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k < config.samples] + [config.samples] * (config.samples > 0)
    described = drawn or greedy
    return EvalResult(
        eval=config.name,
        stage=samples[0].stage,
        step=samples[0].step,
        level=level,
        problems=len({sample.problem for sample in samples}),
        samples=config.samples,
        greedy=_mean(map(_right, greedy)),
        greedy_length=_mean(s.num_tokens for s in greedy),
        greedy_truncated=_mean(s.stop_reason == "length" for s in greedy),
        greedy_behaviors=_behaviors(describe, greedy),
        pass_at={str(k): pass_at_k(correct, total, k) for k in ks},
        maj_at={str(config.samples): _mean(majority)} if drawn else {},
        maj_interval=bootstrap_interval(majority),
        length=_mean(s.num_tokens for s in described),
        truncated=_mean(s.stop_reason == "length" for s in described),
        behaviors=_behaviors(describe, described),
        budgets={str(b): _mean(_right(s) and s.num_tokens <= b for s in greedy) for b in config.budgets},
        unknown=len(samples) - len(known),
        tokens_generated=sum(sample.num_tokens for sample in samples),
        seconds=seconds,
        rerank_at={str(config.samples): _mean(map(rerank_correct, ranked))} if any(ranked) else {},
    )


def _behaviors(describe: Describe, samples: Sequence[Sample]) -> Behaviors:
    if not samples:  # every verdict is unknown
        return Behaviors(math.nan, math.nan, math.nan, math.nan, math.nan)
    return describe([sample.response for sample in samples], [_right(sample) for sample in samples])


def _right(sample: Sample) -> bool:
    return sample.verdict == "correct"


def _vote(verifier: Verifier, sample: Sample) -> str | None:
    return None if sample.answer is None else verifier.equivalence(sample.answer)


def _by_problem(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.problem, []).append(sample)
    yield from groups.values()


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values) if values else math.nan
