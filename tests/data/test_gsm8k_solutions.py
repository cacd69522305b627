"""GSM8K's published solutions as demonstrations."""

import json

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import GSM8K, DemonstrationSource, GSM8KSolutions, OwnProblems

ROWS = [
    {"question": "Ben has 2 pens and buys 3. How many?", "answer": "He has 2+3=<<2+3=5>>5 pens.\n#### 5"},
    {"question": "Ann halves 8. What is left?", "answer": "8/2 = <<8/2=4>>4\n#### 4"},
]


@pytest.fixture
def source(tmp_path) -> GSM8K:
    for part in ("train", "test"):
        (tmp_path / f"{part}.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return GSM8K(tmp_path)


def test_solutions_come_with_their_problems_in_one_order_and_begin_again(source):
    solutions = GSM8KSolutions(source)
    assert isinstance(solutions, DemonstrationSource) and isinstance(solutions, OwnProblems)
    problems = solutions.problems(0, 3)
    assert [problem.question[:3] for problem in problems] == ["Ann", "Ben", "Ann"]
    assert [solutions.trace(problem, problem.number) for problem in problems][:2] == [
        "8/2 = 4\n#### 4",
        "He has 2+3=5 pens.\n#### 5",
    ]


def test_the_calculators_marks_stay_where_they_are_wanted(source):
    solutions = GSM8KSolutions(source, calculator=True)
    (problem,) = solutions.problems(0, 1)
    assert solutions.trace(problem, 0) == "8/2 = <<8/2=4>>4\n#### 4"


def test_a_solution_of_another_problem_is_refused(source):
    solutions = GSM8KSolutions(source)
    first, second = solutions.problems(0, 2)
    with pytest.raises(UserError, match=r"^Solution 0 of GSM8K is of another problem than"):
        solutions.trace(second, 0)
