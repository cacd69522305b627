"""Samples × budget: majority votes of k responses that may take B tokens each, from recorded samples alone.

Self-consistency spends k · E[min(tokens, B)] tokens on a problem; with those beside the accuracy, it can be compared at
equal expense with one long response (RLSP, 2502.06773, Table 3).
"""

import itertools
from collections.abc import Iterator, Sequence

from rlsp_jax.evaluation.estimators import majority_correct
from rlsp_jax.records import GridResult, Sample
from rlsp_jax.verifiers import Verifier


def vote_grid(samples: Sequence[Sample], verifier: Verifier, budgets: Sequence[int]) -> list[GridResult]:
    """A result for k = 1, 2, 4, … and each budget, from the drawn samples of one evaluation.

    A response longer than the budget gives no answer. The samples of a problem are parted into as many votes of k as
    they make, each sample in one, so that the votes are independent; the mean is over a problem's votes, then over
    problems. Samples with an unknown verdict are left out and counted.
    """
    drawn = [sample for sample in samples if sample.sample >= 0]
    known = sorted((s for s in drawn if s.verdict != "unknown"), key=lambda s: (s.problem, s.sample))
    answers = {sample.answer for sample in known if sample.answer is not None}
    classes = {answer: verifier.equivalence(answer) for answer in answers}
    groups = [list(group) for _, group in itertools.groupby(known, key=lambda s: s.problem)]
    most = max(map(len, groups), default=0)
    ks = [2**i for i in range(most.bit_length())]
    return [_result(groups, classes, k, budget, len(drawn) - len(known)) for k in ks for budget in sorted(set(budgets))]


def _result(
    groups: Sequence[Sequence[Sample]], classes: dict[str, str | None], k: int, budget: int, unknown: int
) -> GridResult:
    told = [list(_votes(group, k)) for group in groups if len(group) >= k]
    accuracy = [_mean(_vote(vote, classes, budget) for vote in votes) for votes in told]
    tokens = [_mean(sum(min(s.num_tokens, budget) for s in vote) for vote in votes) for votes in told]
    first = groups[0][0]
    return GridResult(
        eval=first.eval,
        stage=first.stage,
        step=first.step,
        k=k,
        budget=budget,
        problems=len(told),
        accuracy=_mean(accuracy),
        tokens=_mean(tokens),
        unknown=unknown,
    )


def _votes(group: Sequence[Sample], k: int) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(group) - k + 1, k):
        yield group[start : start + k]


def _vote(vote: Sequence[Sample], classes: dict[str, str | None], budget: int) -> float:
    ended = [sample for sample in vote if sample.num_tokens <= budget]
    return majority_correct([(None if s.answer is None else classes[s.answer], s.verdict == "correct") for s in ended])


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)
