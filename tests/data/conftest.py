"""Shared by the data tests: a trained tokenizer, and an expression evaluator that shares no code with the package."""

import ast
import operator
from fractions import Fraction

import pytest

from rlsp_jax.data import SEARCH_SYMBOLS, Countdown, SearchTraces, SentencePiece

OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def _value(node: ast.expr) -> tuple[Fraction, list[int]]:
    if isinstance(node, ast.Constant):
        return Fraction(node.value), [node.value]
    assert isinstance(node, ast.BinOp)
    (left, left_numbers), (right, right_numbers) = _value(node.left), _value(node.right)
    return OPERATIONS[type(node.op)](left, right), left_numbers + right_numbers


@pytest.fixture(scope="session")
def evaluate():
    """expression text → (exact value, numbers used, sorted)"""

    def evaluate(text: str) -> tuple[Fraction, list[int]]:
        value, numbers = _value(ast.parse(text, mode="eval").body)
        return value, sorted(numbers)

    return evaluate


@pytest.fixture(scope="session")
def traces() -> list[str]:
    problems = Countdown().problems("train", 0, 3000)
    return [problem.question + SearchTraces().trace(problem, i) for i, problem in enumerate(problems)]


@pytest.fixture(scope="session")
def tokenizer(traces, tmp_path_factory):
    return SentencePiece(vocab_size=320).train(traces, tmp_path_factory.mktemp("tokenizer") / "tokenizer.model")


@pytest.fixture(scope="session")
def worded(traces, tmp_path_factory):
    """A tokenizer to which the words of a search are symbols."""
    config = SentencePiece(vocab_size=320, symbols=SEARCH_SYMBOLS)
    return config.train(traces, tmp_path_factory.mktemp("worded") / "tokenizer.model")
