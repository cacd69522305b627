"""What stands behind an answer and is no part of it: conditions (`(x > 0)`, `if x > 0`), remarks (`(the minimum)`)."""

import itertools

from rlsp_jax.verifiers.cursor import Cursor
from rlsp_jax.verifiers.vocabulary import CONDITIONALS, SIGNS

_OPENING, _CLOSED = frozenset(("(", "[", "{", "\\{")), frozenset((")", "]", "}", "\\}"))


def at_condition(cursor: Cursor) -> bool:
    """Whether a condition on what was read comes next: `(x > 0)`, `where x > 0`, `, if x > 0`."""
    ahead = int(cursor.mark == ",")
    first = cursor.peek(ahead)
    if first.text not in CONDITIONALS and (ahead or first.text != "(" or not first.blank):  # `P(X = 1)` is a name
        return False
    level = int(first.text != "(")
    for token in cursor.tokens[cursor.at + ahead :]:
        level += (token.text in _OPENING) - (token.text in _CLOSED)
        if level == 0:
            break
        if level == 1 and token.kind in ("mark", "command") and token.text in SIGNS:
            return True
    return False


def at_remark(cursor: Cursor) -> bool:
    """Whether nothing but words stands in the parentheses that come next: `(the minimum)`."""
    inside = list(itertools.takewhile(lambda token: token.text != ")", cursor.tokens[cursor.at + 1 :]))
    return bool(inside) and all(token.kind == "words" for token in inside)
