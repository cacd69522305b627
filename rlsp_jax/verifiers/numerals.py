r"""Literal numbers: `12`, `0.\overline{3}`, `3\frac{1}{2}`, `3 1/2`, `1.5e-3`, `52_8`."""

from fractions import Fraction

from rlsp_jax.verifiers.cursor import Cursor
from rlsp_jax.verifiers.errors import NotUnderstood
from rlsp_jax.verifiers.lexer import Token
from rlsp_jax.verifiers.terms import Based, Number
from rlsp_jax.verifiers.vocabulary import BASES

MAX_POWER_OF_TEN = 999


def read_number(cursor: Cursor, text: str) -> Number | Based:
    """The number that begins with the digits `text`, which have just been taken."""
    if cursor.mark in (".", "overline") and (repeating := _repeating(cursor, text)):
        return repeating
    if cursor.skip("_"):
        return _based(cursor, text)
    value = Fraction(text)
    if value.denominator == 1 and (part := _proper_fraction(cursor)):
        return Number(value + part)
    return Number(value * _power_of_ten(cursor))


def first_digit(cursor: Cursor) -> Number | None:
    r"""As TeX reads `\frac43`: the next digit alone, where several stand together; None elsewhere."""
    token = cursor.peek()
    if token.kind != "number" or "." in token.text or len(token.text) == 1:
        return None
    cursor.tokens[cursor.at] = Token("number", token.text[1:])
    return Number(Fraction(token.text[0]))


def _repeating(cursor: Cursor, text: str) -> Number | None:
    start = cursor.at
    if "." not in text and cursor.skip("."):
        text += "."
    if "." in text and cursor.skip("overline") and (digits := _literal(cursor)) is not None:
        whole, _, fixed = text.partition(".")
        block = Fraction(int(digits), 10 ** len(digits) - 1)
        return Number((int(whole + fixed or "0") + block) / 10 ** len(fixed))
    cursor.at = start
    return None


def _based(cursor: Cursor, digits: str) -> Based:
    braces = cursor.skip("{")
    name = cursor.take().text
    if braces:
        cursor.need("}")
    base = BASES.get(name) or (int(name) if name.isdigit() and len(name) < 3 else 0)
    if not 2 <= base <= 36 or not digits.isdigit() or max(map(int, digits)) >= base:
        raise NotUnderstood(f"{digits} in the base {name!r}")
    return Based(digits, base)


def _proper_fraction(cursor: Cursor) -> Fraction | None:
    r"""A `\frac{1}{2}` or `1/2` of literal integers, less than 1; the cursor stays where there is none."""
    start, tokens = cursor.at, list(cursor.tokens[cursor.at : cursor.at + 2])
    if cursor.skip("frac"):
        top, bottom = _literal(cursor), _literal(cursor)
    elif cursor.kind == "number" and cursor.peek(1).text == "/" and cursor.peek(2).kind == "number":
        top, bottom = cursor.take().text, (cursor.take(), cursor.take().text)[1]
    else:
        return None
    if top and bottom and top.isdigit() and bottom.isdigit() and 0 < int(top) < int(bottom):
        return Fraction(int(top), int(bottom))
    cursor.at, cursor.tokens[start : start + 2] = start, tokens
    return None


def _literal(cursor: Cursor) -> str | None:
    """The digits of a command's argument: in braces, or a single one."""
    if cursor.peek().text == "{" and cursor.peek(1).kind == "number" and cursor.peek(2).text == "}":
        cursor.at += 3
        return cursor.peek(-2).text if cursor.peek(-2).text.isdigit() else None
    if (digit := first_digit(cursor)) is not None:
        return str(digit.value)
    return cursor.take().text if cursor.kind == "number" and cursor.peek().text.isdigit() else None


def _power_of_ten(cursor: Cursor) -> Fraction:
    """The `e-3` that is glued to a number, as a factor; 1 where there is none."""
    letter = cursor.peek()
    if letter.kind != "symbol" or letter.text not in "eE" or letter.blank:
        return Fraction(1)
    sign = cursor.peek(1).text if cursor.peek(1).text in ("+", "-") else ""
    digits = cursor.peek(1 + len(sign))
    if digits.kind != "number" or digits.blank or not digits.text.isdigit() or int(digits.text) > MAX_POWER_OF_TEN:
        return Fraction(1)
    cursor.at += 2 + len(sign)
    return Fraction(10) ** int(sign + digits.text)
