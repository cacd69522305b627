"""A place in a list of tokens, and the moves that a parser makes from it."""

from collections.abc import Callable
from typing import TypeVar

from rlsp_jax.verifiers.errors import NotUnderstood
from rlsp_jax.verifiers.lexer import Token
from rlsp_jax.verifiers.vocabulary import is_product

MAX_DEPTH = 20  # levels of brackets: more than any answer has, and few enough for the interpreter's stack
END = Token("end", "")
_T = TypeVar("_T")


class Cursor:
    """Reads tokens from left to right. Marks and commands are known by their text, other tokens by their kind."""

    def __init__(self, tokens: list[Token]):
        self.tokens = list(tokens)
        self.at = self.depth = 0

    def peek(self, ahead: int = 0) -> Token:
        """The token `ahead` places on, or that many back where it is negative; END beyond the last."""
        place = self.at + ahead
        return self.tokens[place] if 0 <= place < len(self.tokens) else END

    @property
    def kind(self) -> str:
        return self.peek().kind

    @property
    def mark(self) -> str:
        """The text of the next token if that is a mark or a command, else ""."""
        if self.at >= len(self.tokens):
            return ""
        kind, text, _ = self.tokens[self.at]  # not by `peek`: this is most of what a parser does
        return text if kind == "mark" or kind == "command" else ""

    def take(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def skip(self, *marks: str) -> bool:
        """Pass over the next token if it is one of these marks or commands."""
        if self.mark in marks:
            self.at += 1
            return True
        return False

    def need(self, *marks: str) -> str:
        """Pass over one of these; a brace that is missing at the very end is taken as read. Raises NotUnderstood."""
        token = self.peek()
        if not self.skip(*marks) and not (token == END and marks[-1] in ("}", "\\}")):
            raise NotUnderstood(f"{token.text!r} where {marks[0]!r} was due" if token.text else f"no {marks[0]!r}")
        return token.text

    def at_word(self) -> bool:
        """Whether text comes next, rather than variables side by side."""
        token = self.peek()
        return token.kind == "words" or (token.kind == "letters" and not is_product(token.text))

    def check_chain(self, links: int) -> None:
        """Raise NotUnderstood where a chain such as `2^2^2^…` would make a tree deeper than brackets may."""
        if links > MAX_DEPTH:
            raise NotUnderstood(f"more than {MAX_DEPTH} operations in a chain")

    def inside(self, read: Callable[[], _T]) -> _T:
        """What `read` reads one level deeper. Raises NotUnderstood below `MAX_DEPTH`."""
        if self.depth >= MAX_DEPTH:
            raise NotUnderstood(f"more than {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return read()
        finally:
            self.depth -= 1
