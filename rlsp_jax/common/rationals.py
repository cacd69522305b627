r"""Plain numbers as text: integers, decimals, separators, fractions, mixed numbers; with a percent or degree sign.

What the device reads, too: host and device agree on these forms and on their values.
"""

import re
from fractions import Fraction
from typing import NamedTuple

MAX_CHARACTERS = 100


class Plain(NamedTuple):
    """An exact number: before the sign, if there is one."""

    value: Fraction
    percent: bool = False
    degree: bool = False
    divided: bool = False  # a quotient that comes out whole: `56/8` leaves 7 to compute


_PLAIN = re.compile(
    r"\s*\$*\s*\\?\$?(?P<sign>[+-]?)\s*\\?\$?(?:"
    r"(?P<whole>\d{1,3}(?:(?:,\\! ?|\{,\}|,)\d{3})+|\d+)(?P<decimals>\.\d*)?|(?P<only>\.\d+)|"
    r"(?:(?P<mixed>\d+) ?)?\\[dtc]?frac ?(?:\{(?P<top>[+-]?\d+)\}|(?P<t>\d)) ?(?:\{(?P<bottom>\d+)\}|(?P<b>\d))|"
    r"(?:(?P<beside>\d+) )?(?P<above>\d+) ?/ ?(?P<below>\d+))"
    r"\s*(?:(?P<percent>\\?%)|(?P<degree>\^ ?\\circ|\^ ?\{ ?\\circ ?\}|°))?\s*\$*\s*\.?\s*",
    re.ASCII,
)


def plain(text: str) -> Plain | None:
    """The number that a text is, and nothing else beside it; None for any other text."""
    if len(text) > MAX_CHARACTERS or (found := _PLAIN.fullmatch(text)) is None:
        return None
    part, divided = found.groupdict(), False
    if part["whole"]:
        value = Fraction(re.sub(r"\D", "", part["whole"]) + (part["decimals"] or "").rstrip("."))
    elif part["only"]:
        value = Fraction(part["only"])
    else:
        top = int(part["top"] or part["t"] or part["above"])
        bottom = int(part["bottom"] or part["b"] or part["below"])
        whole = part["mixed"] or part["beside"]
        if not bottom or (whole and not 0 < top < bottom):
            return None
        value = int(whole or 0) + Fraction(top, bottom)
        divided = value.denominator == 1
    value = -value if part["sign"] == "-" else value
    return Plain(value, part["percent"] is not None, part["degree"] is not None, divided)
