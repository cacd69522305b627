"""Answers that are no mathematics: choices, times of day, and words. And what wraps an answer, taken off."""

import re

from rlsp_jax.verifiers.unicode_math import to_ascii
from rlsp_jax.verifiers.units import lowered

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
_CHOOSING = re.compile(
    r"(?=.*\s)(?:(?:so|hence|thus|therefore)\b,?\s+)?(?:(?:the|my|our)\s+)?(?:(?:correct|right|best|final)\s+)?"
    r"(?:(?:answer|option|choice)\s+(?:(?:is|should\s+be|must\s+be)\s+)?|i\s+(?:choose|pick|select)\s+)?"
    r"(?:(?:answer|option|choice)\s+)?[(*]*(?-i:([A-J]))[)*]*"
    r"(?:\s+is\s+(?:the\s+)?(?:correct|right)(?:\s+(?:one|answer|option|choice))?)?[.!]?",
    re.IGNORECASE,
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
_ARTICLE = re.compile(r"(?:(?<!\S)(?:and|the|an?)|^\s*(?:The|An?))\s+(?=\w)")  # in `Plan A` it is a name
_DASHED = re.compile(r"\d+(?:\s*-\s*\d+)+", re.ASCII)


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
    if (letter := chosen_in(text)) is not None:
        return letter
    found = _CHOSEN.fullmatch(text)
    if found is None or len(set(_LETTER.findall(text))) > 1 or _DENIED.search(text):  # guesses are no choice
        return None
    return (found["first"] or found["letter"]).upper()


def chosen_in(sentence: str) -> str | None:
    """The letter of a sentence that says nothing else: `So option C is correct`, `I choose (B)`."""
    found = _CHOOSING.fullmatch(_without_commands(sentence)) if len(sentence) < 80 else None
    return found[1] if found else None


def time_of_day(text: str) -> tuple[int, int, str] | None:
    """Hours, minutes, and `a`, `p` or "" for neither."""
    found = _TIME.fullmatch(_without_commands(text))
    return (int(found[1]), int(found[2]), (found[3] or "").lower()) if found else None


def same_time(gold: tuple[int, int, str], answer: tuple[int, int, str]) -> bool:
    """Whether they are one time of a day; where one does not say which half of the day, that may be either."""
    unsaid = not gold[2] or not answer[2]
    return (unsaid and gold[:2] == answer[:2]) or _minutes(*gold) == _minutes(*answer)


def _minutes(hour: int, minute: int, half: str) -> int:
    """Since midnight, on a clock of 24 hours where no half of the day is said."""
    return (hour % 12 + 12 * (half == "p") if half else hour) * 60 + minute


def dashed(text: str) -> tuple[int, ...] | None:
    """The numbers of a score, a date or a range, `3-2`; None for other answers."""
    text = _without_commands(to_ascii(text))
    return tuple(map(int, text.split("-"))) if len(text) < 40 and _DASHED.fullmatch(text) else None


def words(text: str) -> tuple[str, ...]:
    """The words of an answer that is text, in lower case and without articles; none for mathematics."""
    text = lowered(_ARTICLE.sub("", _without_commands(to_ascii(text))))
    if _MATHEMATICS.search(text) or not _TWO_LETTERS.search(text) or (_NUMBERED.search(text) and _POINT.search(text)):
        return ()
    return tuple(_WORD.findall(text))
