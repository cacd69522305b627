import collections
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.data import Countdown, SearchTraces, identity, parse_question
from rlsp_jax.data.countdown_search import distinct_moves, moves, solvable

TRY = re.compile(r"try (\d+)([-+*/])(\d+)=(\d+)( check (\d+) (yes|no back))?")
ANSWER = re.compile(r"answer: ([-+*/()0-9]+|none)")
PROBLEMS = [Countdown(numbers=n).problem("train", i) for n in (2, 3, 4) for i in range(12)]

configs = st.builds(
    SearchTraces,
    keep=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    budget=st.integers(1, 9),
    shuffle=st.sampled_from([0.0, 0.5, 1.0]),
    noise=st.sampled_from([0.0, 0.5, 1.0]),
    nearest=st.sampled_from([None, 1, 2]),
    give_up=st.booleans(),
    seed=st.integers(0, 3),
)


class Walk:
    """Replays a written search line by line on a stack of states, refusing every line that does not follow."""

    def __init__(self, numbers, target):
        self.target = target
        self.stack = [(tuple(numbers), [])]  # the state and what was tried there, as canonical indices
        self.checks = self.slips = 0
        self.solved = False

    def read(self, line):
        assert not self.solved, "nothing but the answer follows a solution"
        if line == "back":
            assert len(self.stack) > 1
            self.stack.pop()
            return
        a, op, b, written, check, target, verdict = TRY.fullmatch(line).groups()
        values, tried = self.stack[-1]
        by_operation = {(values[m.left], m.op, values[m.right]): (i, m) for i, m in enumerate(distinct_moves(values))}
        index, move = by_operation[int(a), op, int(b)]
        assert index not in tried, "a line is never repeated at the same place"
        tried.append(index)
        assert (check is not None) == (len(values) == 2), "a leaf is checked, and nothing else is"
        if check is None:
            assert int(written) == move.value
            first, second = sorted((move.left, move.right))
            after = values[:first] + (move.value,) + values[first + 1 : second] + values[second + 1 :]
            self.stack.append((after, []))
            return
        self.checks += 1
        self.slips += int(written) != move.value
        self.solved = move.value == self.target
        assert int(target) == self.target
        assert (verdict == "yes") == self.solved == (int(written) == self.target)


def walk(problem, text):
    """The replayed search and the final answer."""
    *lines, last = text.split("\n")
    search = Walk(*identity(problem))
    for line in lines:
        search.read(line)
    return search, ANSWER.fullmatch(last).group(1)


@settings(max_examples=150, deadline=None)
@given(configs, st.sampled_from(PROBLEMS), st.integers(0, 100))
def test_every_trace_is_a_true_search_within_its_budget(evaluate, config, problem, number):
    search, answer = walk(problem, config.trace(problem, number))
    numbers, target = identity(problem)
    assert search.checks <= config.budget
    assert search.solved == (answer != "none")
    if answer == "none":
        assert config.give_up and search.checks == config.budget
    else:
        assert evaluate(answer) == (target, list(numbers))
    if config.noise == 0:
        assert search.slips == 0
    if config.noise == 1:
        assert search.slips == search.checks - search.solved


def test_five_numbers_work_too(evaluate):
    for config in (SearchTraces(), SearchTraces(give_up=False, budget=2)):
        for i, problem in enumerate(Countdown(numbers=5).problems("train", 0, 5)):
            search, answer = walk(problem, config.trace(problem, i))
            assert answer == "none" or evaluate(answer)[0] == search.target


def test_a_full_search_is_written_in_canonical_order():
    text = SearchTraces(keep=1.0, budget=10**6).trace(parse_question("1 2 12 = 7"), 0)
    assert text == (
        "try 1+2=3\n"
        "try 3+12=15 check 7 no back\n"
        "try 12-3=9 check 7 no back\n"
        "try 3*12=36 check 7 no back\n"
        "try 12/3=4 check 7 no back\n"
        "back\n"
        "try 2-1=1\n"
        "try 1+12=13 check 7 no back\n"
        "try 12-1=11 check 7 no back\n"
        "try 1*12=12 check 7 no back\n"
        "try 12/1=12 check 7 no back\n"
        "back\n"
        "try 1*2=2\n"
        "try 2+12=14 check 7 no back\n"
        "try 12-2=10 check 7 no back\n"
        "try 2*12=24 check 7 no back\n"
        "try 12/2=6 check 7 no back\n"
        "back\n"
        "try 2/1=2\n"
        "try 2+12=14 check 7 no back\n"
        "try 12-2=10 check 7 no back\n"
        "try 2*12=24 check 7 no back\n"
        "try 12/2=6 check 7 no back\n"
        "back\n"
        "try 1+12=13\n"
        "try 13+2=15 check 7 no back\n"
        "try 13-2=11 check 7 no back\n"
        "try 13*2=26 check 7 no back\n"
        "back\n"
        "try 12-1=11\n"
        "try 11+2=13 check 7 no back\n"
        "try 11-2=9 check 7 no back\n"
        "try 11*2=22 check 7 no back\n"
        "back\n"
        "try 1*12=12\n"
        "try 12+2=14 check 7 no back\n"
        "try 12-2=10 check 7 no back\n"
        "try 12*2=24 check 7 no back\n"
        "try 12/2=6 check 7 no back\n"
        "back\n"
        "try 12/1=12\n"
        "try 12+2=14 check 7 no back\n"
        "try 12-2=10 check 7 no back\n"
        "try 12*2=24 check 7 no back\n"
        "try 12/2=6 check 7 no back\n"
        "back\n"
        "try 2+12=14\n"
        "try 1+14=15 check 7 no back\n"
        "try 14-1=13 check 7 no back\n"
        "try 1*14=14 check 7 no back\n"
        "try 14/1=14 check 7 no back\n"
        "back\n"
        "try 12-2=10\n"
        "try 1+10=11 check 7 no back\n"
        "try 10-1=9 check 7 no back\n"
        "try 1*10=10 check 7 no back\n"
        "try 10/1=10 check 7 no back\n"
        "back\n"
        "try 2*12=24\n"
        "try 1+24=25 check 7 no back\n"
        "try 24-1=23 check 7 no back\n"
        "try 1*24=24 check 7 no back\n"
        "try 24/1=24 check 7 no back\n"
        "back\n"
        "try 12/2=6\n"
        "try 1+6=7 check 7 yes\n"
        "answer: 1+(12/2)"
    )


def test_searches_move_forward_only_unless_shuffled():
    def backward_steps(config):
        count = 0
        for i, problem in enumerate(PROBLEMS * 5):
            *lines, _ = config.trace(problem, i).split("\n")
            search = Walk(*identity(problem))
            for line in lines:
                search.read(line)
                tried = search.stack[-1][1]
                count += len(tried) > 1 and tried[-1] < tried[-2]
        return count

    assert backward_steps(SearchTraces(keep=0.7, budget=30)) == 0
    assert backward_steps(SearchTraces(keep=0.7, budget=30, give_up=False)) == 0
    assert backward_steps(SearchTraces(keep=0.7, budget=30, shuffle=0.5)) > 0


def test_a_shuffle_only_swaps_neighbours():
    children = list(moves((3, 7, 12, 5)))
    assert SearchTraces()._ordered(children, Zeros()) == children
    swapped = SearchTraces(shuffle=1.0)._ordered(children, Zeros())
    places = [children.index(move) for move in swapped]
    assert sorted(places) == list(range(len(children)))
    assert all(abs(place - i) == 1 for i, place in enumerate(places[: len(places) // 2 * 2]))


class Zeros(random.Random):
    """Every event of positive probability happens, and none of probability 0."""

    def random(self):
        return 0.0


def test_without_kept_children_the_first_solution_is_written_straight():
    for i, problem in enumerate(PROBLEMS):
        lines = SearchTraces(keep=0.0).trace(problem, i).split("\n")
        assert len(lines) == len(problem.truth["numbers"])
        assert not any("back" in line for line in lines)


def test_failing_children_are_kept_at_the_stated_rate():
    """A step is written when it is kept and something behind it is."""
    kept = expected = met = 0
    for i in range(400):
        numbers, target = identity(problem := PROBLEMS[12 + i % 12])
        tried = {line.split("=")[0] for line in SearchTraces(keep=0.3, budget=10**6).trace(problem, i).split("\n")}
        for move in distinct_moves(numbers):
            first, second = sorted((move.left, move.right))
            rest = numbers[:first] + (move.value,) + numbers[first + 1 : second] + numbers[second + 1 :]
            if solvable(rest, target):
                break
            met += 1
            expected += 0.3 * (1 - 0.7 ** len(distinct_moves(rest)))
            kept += f"try {numbers[move.left]}{move.op}{numbers[move.right]}" in tried
    assert met > 500 and abs(kept - expected) / met < 0.05


@pytest.mark.parametrize("nearest", [1, 2])
def test_a_place_tries_the_moves_nearest_the_target_nearest_first(nearest):
    config, met = SearchTraces(keep=1.0, budget=10**6, nearest=nearest), 0
    for i, problem in enumerate(PROBLEMS):
        _, target = identity(problem)
        for place, tries in tries_by_place(config.trace(problem, i), problem):
            distances = sorted(abs(move.value - target) for move in distinct_moves(place))
            assert [abs(value - target) for value in tries] == distances[: nearest if distances[0] else 1]
            met += 1
    assert met > 100


def tries_by_place(text, problem):
    """Every state of two numbers that a search comes to, with the results checked there, in the order written."""
    search, found, checked = Walk(*identity(problem)), [], False
    for line in text.split("\n")[:-1]:
        if "check" not in line:
            checked = False
        else:
            if not checked:
                found.append((search.stack[-1][0], []))
            found[-1][1].append(int(TRY.fullmatch(line)[4]))
            checked = True
        search.read(line)
    return found


def test_giving_up_stops_at_the_last_check_of_the_budget():
    text = SearchTraces(keep=1.0, budget=5).trace(parse_question("1 2 12 = 7"), 0)
    assert text.endswith("try 2-1=1\ntry 1+12=13 check 7 no back\nanswer: none")
    assert text.count("check") == 5


def test_without_giving_up_failed_attempts_are_left_out_until_the_search_fits():
    problem = parse_question("1 2 12 = 7")
    full = SearchTraces(keep=1.0, budget=10**6).trace(problem, 0).split("\n")
    for number in range(20):
        lines = SearchTraces(keep=1.0, budget=5, give_up=False).trace(problem, number).split("\n")
        rest = iter(full)
        assert all(line in rest for line in lines), "a subsequence of the full search"
        assert lines[-3:] == full[-3:] and 1 <= sum("check" in line for line in lines) <= 5


def test_direct_traces_give_only_an_answer_at_the_stated_share(evaluate):
    config = SearchTraces(direct=0.5)
    texts = [config.trace(problem, i) for i in range(30) for problem in PROBLEMS]
    direct = [text for text in texts if text.startswith("answer: ")]
    assert abs(len(direct) / len(texts) - 0.5) < 0.08
    assert all("\n" not in text for text in direct)


def test_direct_answers_are_drawn_from_all_solutions(evaluate):
    problem = parse_question("2 4 9 = 26")
    answers = collections.Counter(SearchTraces(direct=1.0).trace(problem, i)[len("answer: ") :] for i in range(50))
    assert all(evaluate(answer) == (26, [2, 4, 9]) for answer in answers)
    problem = parse_question("3 3 5 = 5")
    assert len({SearchTraces(direct=1.0).trace(problem, i) for i in range(50)}) == 2


def test_a_trace_is_a_pure_function_of_config_problem_and_number():
    config, problem = SearchTraces(keep=0.7, shuffle=0.3, noise=0.2), PROBLEMS[20]
    texts = [config.trace(problem, i) for i in range(10)]
    assert [SearchTraces(keep=0.7, shuffle=0.3, noise=0.2).trace(problem, i) for i in range(9, -1, -1)] == texts[::-1]
    assert config.trace(parse_question(problem.question), 3) == texts[3]
    assert len(set(texts)) > 1


def test_a_problem_without_solution_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"^'1 1 = 7' has no solution, so there is nothing to demonstrate\.$"):
        SearchTraces().trace(parse_question("1 1 = 7"), 0)


@pytest.mark.parametrize("field", ["direct", "keep", "noise", "shuffle"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_probabilities_outside_the_unit_interval_are_refused(field, value):
    with pytest.raises(ValueError, match=f"^{field} is {value}; it is a probability"):
        SearchTraces(**{field: value})


def test_a_budget_below_one_is_refused():
    with pytest.raises(ValueError, match=r"^budget is 0; a search needs at least 1 check\.$"):
        SearchTraces(budget=0)


def test_a_place_where_nothing_may_be_tried_is_refused():
    with pytest.raises(ValueError, match=r"^nearest is 0; at least 1 move must be tried"):
        SearchTraces(nearest=0)
