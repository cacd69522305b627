r"""Boxes that are one list: `\boxed{1}` and `\boxed{2}`, in a model's response as in a published solution."""

import re

_CONNECTIVE = re.compile(
    r"(?:[\s$,;&]|\\[()\[\]]|\\(?:quad|qquad|[,;:! ])|\\(?:text|mathrm)\s*\{(?:[^{}]*\b(?:and|or)\b)?[\s,]*\}|"
    r"and\b|or\b|[A-Za-z]\w?(?:_\{?\w+\}?)?\s*=)*"
)
_SEPARATOR = re.compile(r"\b(?:and|or)\b(?!\s*=)|,|;|\\q?quad")  # `or =` is a name
_OPENING = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{?$")
MAX_GAP = 100  # characters between two items


def joined(text: str, boxes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The last box, with those before it that only commas, “and”, “or” and names part from it.

    Boxes are the places of their contents, in order. An empty last box joins none.
    """
    first = len(boxes) - 1
    if not text[slice(*boxes[first])].strip():
        return boxes[first:]
    while first > 0:
        end, start = boxes[first - 1][1], boxes[first][0]
        closed = text[end : end + 1] == "}"
        gap = _OPENING.sub("", text[end + closed : start]) if end < start < end + MAX_GAP else None
        if gap is None or "\n\n" in gap or not _CONNECTIVE.fullmatch(gap) or not _SEPARATOR.search(gap):
            break
        first -= 1
    return boxes[first:]
