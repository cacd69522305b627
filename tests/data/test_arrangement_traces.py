import pytest

from rlsp_jax.common.codes import Verdict
from rlsp_jax.data import (
    ArrangementTraces,
    Countdown,
    DemonstrationSource,
    Permutations,
    SearchTraces,
    SentencePiece,
    pack,
    parse_permutation,
    permutation_symbols,
)
from rlsp_jax.verifiers import ExactText

PROBLEMS = Permutations(moves=(1, 9)).problems("demonstrations", 0, 300)


def followed(problem, lines) -> str:
    """The answer, made by applying to each line's arrangement the swaps up to the next line; lines must be right."""
    letters, done = list(problem.truth["start"]), 0
    for line in lines:
        label, shown = line.split(":")
        while done < int(label):
            i, j = problem.truth["moves"][done]
            letters[i - 1], letters[j - 1] = letters[j - 1], letters[i - 1]
            done += 1
        assert "".join(letters) == shown
    for i, j in problem.truth["moves"][done:]:
        letters[i - 1], letters[j - 1] = letters[j - 1], letters[i - 1]
    return "".join(letters)


def split(trace: str) -> tuple[list[str], str]:
    empty, *lines, last = trace.split("\n")
    assert empty == "" and last.startswith("answer: ")
    return lines, last.removeprefix("answer: ")


def test_the_trace_of_the_docstring():
    text = ArrangementTraces().trace(parse_permutation("dbaec 1:24 2:15 3:34"), 0)
    assert text == "\n1:deabc\n2:ceabd\nanswer: cebad"


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_line_and_every_answer_is_right_and_lines_stand_a_stride_apart(stride):
    for problem in PROBLEMS:
        lines, answer = split(ArrangementTraces(strides=(stride,)).trace(problem, 0))
        assert answer == followed(problem, lines) == problem.truth["answer"]
        count = len(problem.truth["moves"])
        assert [int(line.split(":")[0]) for line in lines] == list(range(stride, count, stride))


def test_a_direct_trace_is_an_answer_and_nothing_else():
    for problem in PROBLEMS:
        assert ArrangementTraces(direct=1.0).trace(problem, 0) == f"\nanswer: {problem.truth['answer']}"


def test_the_shares_of_direct_answers_and_strides_are_kept():
    config, problem = ArrangementTraces(direct=0.25, strides=(1, 1, 2)), parse_permutation("bac" + " 12" * 6)
    lengths = [len(split(config.trace(problem, i))[0]) for i in range(4000)]
    for length, share in ((0, 0.25), (5, 0.5), (2, 0.25)):
        assert abs(lengths.count(length) / 4000 - share) <= 4 * (share * (1 - share) / 4000) ** 0.5


def test_a_trace_is_a_function_of_the_config_the_problem_and_the_number():
    config, problem = ArrangementTraces(direct=0.5, strides=(1, 2, 3)), PROBLEMS[20]
    texts = [config.trace(problem, i) for i in range(20)]
    assert [config.trace(problem, i) for i in range(19, -1, -1)] == texts[::-1]
    assert len(set(texts)) > 1


def test_traces_are_right_for_the_verifier():
    config = ArrangementTraces(direct=0.5, strides=(1, 2))
    assert all(ExactText().verify(p.truth, config.trace(p, p.number)).verdict == Verdict.CORRECT for p in PROBLEMS)


def test_with_their_symbols_a_question_takes_two_tokens_a_move_and_a_line_takes_six(tmp_path):
    traces = [p.question + ArrangementTraces().trace(p, 0) for p in PROBLEMS]
    tokenizer = SentencePiece(330, symbols=permutation_symbols(5, 9)).train(traces, tmp_path / "t")
    for problem in PROBLEMS:
        count = len(problem.truth["moves"])
        response = ArrangementTraces().trace(problem, 0)
        assert len(tokenizer.encode(problem.question)) == 5 + 2 * count
        assert len(tokenizer.encode(response)) == 6 * count
        assert tokenizer.decode(tokenizer.encode(response)) == response
    responses = [ArrangementTraces().trace(p, 0) for p in PROBLEMS]
    rows = pack(tokenizer, [p.question for p in PROBLEMS], responses, length=80)
    assert rows.mask.sum() == sum(6 * len(p.truth["moves"]) + 1 for p in PROBLEMS)


def test_searches_and_compositions_are_both_sources_of_demonstrations():
    assert isinstance(ArrangementTraces(), DemonstrationSource) and isinstance(SearchTraces(), DemonstrationSource)


def test_a_problem_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="is no Permutations problem"):
        ArrangementTraces().trace(Countdown().problem("train", 0), 0)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [({"direct": 1.5}, "direct is 1.5"), ({"strides": ()}, "strides is"), ({"strides": (1, 0)}, "strides is")],
)
def test_impossible_fields_are_refused(fields, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        ArrangementTraces(**fields)
