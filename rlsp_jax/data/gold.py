r"""The gold answer in a published solution: what follows the last `####`, else the last `\boxed{…}`."""

import re

MARKER = "####"

_PARTS = re.compile(
    r"\\(?:boxed|fbox)(?![A-Za-z])\s*(?:(?P<box>\{)|(?P<bare>[^\s{}$\\]+))|"
    r"\\.|[{}]",  # what a backslash precedes is no brace of LaTeX's own
    re.DOTALL,
)


def gold_answer(solution: str) -> str | None:
    """The answer that a worked solution ends in; None when it marks none."""
    if MARKER in solution:
        return solution.rpartition(MARKER)[2].strip() or None
    return last_box(solution)


def last_box(text: str) -> str | None:
    r"""The content of the last `\boxed{…}` or `\fbox{…}` that closes, or of a bare `\boxed 5`. Linear in the text."""
    boxes = [(-1, "")]  # where each begins, and what is in it
    opened: list[int] = []  # for each open brace, where the content of its box begins; -1 for another brace
    for part in _PARTS.finditer(text):
        if part["bare"]:
            boxes.append((part.start("bare"), part["bare"].rstrip(".,;")))
        elif part["box"]:
            opened.append(part.end())
        elif part[0] == "{":
            opened.append(-1)
        elif part[0] == "}" and opened and (start := opened.pop()) >= 0:
            boxes.append((start, text[start : part.start()].strip()))
    return max(boxes)[1] or None
