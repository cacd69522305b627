"""Answers that are no mathematics: choices, times of day, and words. And what wraps an answer, taken off."""

import re

from rlsp_jax.verifiers.unicode_math import to_ascii

_WRAPPED = re.compile(
    r"\$\$(.*)\$\$|\$([^$]*)\$|\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*|`(.*)`|\\(?:boxed|fbox)\{(.*)\}", re.DOTALL
)
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it|sf)|operatorname|mbox)\s*\{([^{}]*)\}")
_LAYOUT = re.compile(r"\\[ ,;:!]|~|\$")
_CHOICE = re.compile(r"\(?([A-Ja-j])\)?")
_CHOSEN = re.compile(
    r"(?:\((?P<first>[A-J])\)(?![A-Za-z(]).*|"
    r"(?:(?:option|choice|answer)\s*:?\s*)?\(?(?P<letter>[A-J])\)?(?:[.:)]+(?:\s.*)?|\s*\\(?:\\|q?quad|[ ,;:]).*|\s*))",
    re.DOTALL | re.IGNORECASE,
)
_LETTER = re.compile(r"(?<![A-Za-z])[A-J](?![A-Za-z])")
_DENIED = re.compile(r"\b(?:not|no|wrong|incorrect|false)\b", re.IGNORECASE)
_TIME = re.compile(r"(\d{1,2}):(\d\d)\s*(?:([ap])\.?\s?m\.?)?", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_TWO_LETTERS = re.compile(r"[^\W\d_]{2}")
# Operators, brackets, and what is no hyphen or apostrophe within a word: there, signs and points must not be lost.
_MATHEMATICS = re.compile(r"[\\^_=<>+*/{}\[\]|()!%~]|(?<![^\W\d_])[-'’]|[-'’](?![^\W\d_])")
_NUMBERED = re.compile(r"\d")
_POINT = re.compile(r"[^\w\s]")
_ARTICLES = frozenset(("and", "the", "a", "an"))


def unwrapped(text: str) -> str:
    """An answer without what wraps it: blanks, dollars, a box, a final full stop, braces that close nothing."""
    for _ in range(4):
        text = text.strip().rstrip("\\").strip()
        if text[-1:] in (".", "。") and text[-2:-1] != ".":
            text = text[:-1].rstrip()
        if (unopened := text.count("}") - text.count("{")) > 0:
            text = text[: max(len(text.rstrip("}")), len(text) - unopened)]
        found = _WRAPPED.fullmatch(text)
        inner = found and next(part for part in found.groups() if part is not None)
        if inner is None or not _balanced(inner):
            break
        text = inner
    return text


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def _without_commands(text: str) -> str:
    return _LAYOUT.sub(" ", _TEXT.sub(r"\1", text)).strip()


def choice(gold: str) -> str | None:
    """The letter of a multiple-choice gold: `C`, `(C)`, `\\text{(C)}`; None for other answers."""
    text = _without_commands(gold).rstrip(".")
    found = _CHOICE.fullmatch(text)
    return found[1].upper() if found and (found[1].isupper() or "(" in text) else None


def chosen(answer: str) -> str | None:
    """The letter that an answer chooses, with or without the choice's text: `C`, `(C) 12`, `Option c`."""
    text = _without_commands(answer)
    found = _CHOSEN.fullmatch(text)
    if found is None or len(set(_LETTER.findall(text))) > 1 or _DENIED.search(text):  # guesses are no choice
        return None
    return (found["first"] or found["letter"]).upper()


def time_of_day(text: str) -> tuple[int, int, str] | None:
    """Hours, minutes, and `a`, `p` or "" for neither."""
    found = _TIME.fullmatch(_without_commands(text))
    return (int(found[1]), int(found[2]), (found[3] or "").lower()) if found else None


def same_time(gold: tuple[int, int, str], answer: tuple[int, int, str]) -> bool:
    return gold[:2] == answer[:2] and (not gold[2] or not answer[2] or gold[2] == answer[2])


def words(text: str) -> tuple[str, ...]:
    """The words of an answer that is text, in lower case and without articles; none for mathematics."""
    text = _without_commands(to_ascii(text)).lower()
    if _MATHEMATICS.search(text) or not _TWO_LETTERS.search(text) or (_NUMBERED.search(text) and _POINT.search(text)):
        return ()
    return tuple(word for word in _WORD.findall(text) if word not in _ARTICLES)
