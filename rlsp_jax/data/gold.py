r"""The gold answer in a published solution: what follows the last `####`, else the last `\boxed{…}`.

Boxes that only commas, “and” or “or” part are one answer, as they are where a model's response is judged.
"""

import re

from rlsp_jax.common.boxes import joined

MARKER = "####"

_BESIDE = re.compile(r"[\s$.}]|\\[()\[\]]|\\(?:boxed|fbox)\s*\{?")  # layout, and what makes the box

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
    r"""What the last `\boxed{…}` or `\fbox{…}` that closes holds, or a bare `\boxed 5`; `1, 2` of two joined ones."""
    boxes = _boxes(text)
    return ", ".join(text[start:end].strip() for start, end in boxes) or None


def only_box(text: str) -> str | None:
    """The same, of a text that is nothing else."""
    boxes = _boxes(text)
    if not boxes or _BESIDE.sub("", text[: boxes[0][0]]) or _BESIDE.sub("", text[boxes[-1][1] :]):
        return None
    return last_box(text)


def _boxes(text: str) -> list[tuple[int, int]]:
    """Where the contents of the last box stand, and of those that it is joined to. Linear in the text."""
    boxes: list[tuple[int, int]] = []  # in the order in which they close
    opened: list[int] = []  # for each open brace, where the content of its box begins; -1 for another brace
    for part in _PARTS.finditer(text):
        if part["bare"]:
            boxes.append((part.start("bare"), part.start("bare") + len(part["bare"].rstrip(".,;"))))
        elif part["box"]:
            opened.append(part.end())
        elif part[0] == "{":
            opened.append(-1)
        elif part[0] == "}" and opened and (start := opened.pop()) >= 0:
            boxes.append((start, part.start()))
    if not boxes:
        return []
    last = max(boxes)
    return joined(text, [*(box for box in boxes if box[1] < last[0]), last])
