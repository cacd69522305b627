"""Votes of k responses within a budget, against a slow count over recorded samples."""

import random
from fractions import Fraction

import pytest

from rlsp_jax.evaluation import vote_grid
from rlsp_jax.records import GridResult, Sample, append_rows, read_records, to_row
from rlsp_jax.verifiers import Countdown

BUDGETS = (30, 10, 20)
RIGHT, WRONG = ("1+2", "2+1", "(2+1)"), ("2-1", "1*2", None)


def sample(problem: int, number: int, tokens: int, answer: str | None, verdict: str) -> Sample:
    return Sample("heldout", "ppo", 7, problem, "all", "1 2 = 3\n", number, "…", tokens, "eos", verdict, answer)


@pytest.fixture(scope="module")
def samples():
    rng = random.Random(0)
    found = []
    for problem in range(12):
        for number in range(-1, 4 if problem == 5 else 8):  # one problem has fewer
            right = rng.random() < 0.5
            verdict = "unknown" if rng.random() < 0.1 else "correct" if right else "wrong"
            answer = rng.choice(RIGHT if right else WRONG)
            found.append(sample(problem, number, rng.randrange(1, 31), answer, verdict))
    rng.shuffle(found)
    return found


def slow(samples, k: int, budget: int) -> tuple[Fraction, Fraction, int]:
    """Accuracy, tokens and problems, with nothing clever: equal sums are the same answer."""
    accuracies, tokens = [], []
    for problem in sorted({s.problem for s in samples}):
        known = [s for s in samples if s.problem == problem and s.sample >= 0 and s.verdict != "unknown"]
        known.sort(key=lambda s: s.sample)
        votes = [known[i : i + k] for i in range(0, len(known), k)]
        votes = [vote for vote in votes if len(vote) == k]
        if not votes:
            continue
        scores = []
        for vote in votes:
            ended = [s.answer for s in vote if s.num_tokens <= budget and s.answer is not None]
            classes = ["1+2" if answer in RIGHT else answer for answer in ended]
            best = [c for c in set(classes) if classes.count(c) == max(map(classes.count, classes))]
            scores.append(Fraction("1+2" in best, len(best)) if best else Fraction(0))
        accuracies.append(sum(scores) / len(scores))
        tokens.append(Fraction(sum(min(s.num_tokens, budget) for vote in votes for s in vote), len(votes)))
    return sum(accuracies) / len(accuracies), sum(tokens) / len(tokens), len(accuracies)


def test_every_cell_is_that_of_a_slow_count(samples):
    grid = vote_grid(samples, Countdown(), BUDGETS)
    most = 3 if all(s.verdict != "unknown" for s in samples) else 2
    assert {(r.k, r.budget) for r in grid} >= {(2**i, budget) for i in range(most + 1) for budget in BUDGETS}
    for cell in grid:
        accuracy, tokens, problems = slow(samples, cell.k, cell.budget)
        assert cell.problems == problems
        assert cell.accuracy == pytest.approx(float(accuracy)) and cell.tokens == pytest.approx(float(tokens))
    unknown = sum(s.verdict == "unknown" for s in samples if s.sample >= 0)
    assert {r.unknown for r in grid} == {unknown} and unknown > 0


def test_a_single_response_is_right_more_often_the_longer_it_may_be(samples):
    single = sorted((r for r in vote_grid(samples, Countdown(), BUDGETS) if r.k == 1), key=lambda r: r.budget)
    assert [r.accuracy for r in single] == sorted(r.accuracy for r in single) and single[0].accuracy < single[
        -1
    ].accuracy


def test_truncated_responses_do_not_vote():
    votes = [sample(0, i, tokens, "2-1" if i < 3 else "1+2", "wrong" if i < 3 else "correct")
             for i, tokens in enumerate((20, 20, 20, 5))]  # fmt: skip
    by_budget = {r.budget: r.accuracy for r in vote_grid(votes, Countdown(), (4, 10, 20)) if r.k == 4}
    assert by_budget == {4: 0.0, 10: 1.0, 20: 0.0}


def test_nothing_known_is_no_grid():
    assert vote_grid([sample(0, 0, 5, "1+2", "unknown"), sample(0, -1, 5, "1+2", "correct")], Countdown(), (9,)) == []


def test_a_grid_comes_back_as_it_was_written(samples, tmp_path):
    grid = vote_grid(samples, Countdown(), BUDGETS)
    append_rows(tmp_path / "a.jsonl", [to_row(row) for row in grid])
    assert read_records(tmp_path / "a.jsonl", GridResult) == grid
