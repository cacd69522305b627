r"""The final answer of a response: the last one, and only the last.

In this order: the last `\boxed{…}` (boxes joined by commas, “and” or “or” in one sentence are one list); what follows
the last `####` or “the answer is”; the last formula or number. What comes before the last `</think>` is not read, and
thinking that does not end has no answer. A last box that does not close, or that is a part of an expression
(`-\boxed{5}`), is no answer, and no earlier one takes its place. Every search is linear in the response.
"""

import re
from typing import NamedTuple

from rlsp_jax.common.boxes import joined
from rlsp_jax.verifiers.operands import is_operand
from rlsp_jax.verifiers.spellings import chosen_in

MAX_TAIL = 2000  # characters at the end in which an answer without a box is looked for


class Found(NamedTuple):
    """The text of an answer, and how it was found: box, marker, formula or number."""

    text: str
    how: str


def final_answer(response: str, *, fallback: bool = True) -> Found | None:
    """The final answer of a response. Without `fallback`, only boxes and markers count."""
    response = response.rpartition("</think>")[2]
    if "<think>" in response:
        return None
    response = _CHAT.sub(" ", response)
    boxes = find_boxes(response)
    if boxes is None:
        return None
    if boxes:
        boxes = joined(response, boxes)
        if is_operand(response, boxes[0][0], boxes[-1][1]):
            return None
        return Found(", ".join(response[start:end] for start, end in boxes), "box")
    tail = response[-MAX_TAIL:]
    if (marked := _after_marker(tail)) is not None:
        return Found(marked, "marker")
    return _last_value(tail) if fallback else None


_CHAT = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|end|start)[a-z_]*\|>(?:user|assistant)?|</?answer>")

# ---- boxes ----

_BOX_PARTS = re.compile(
    r"\\{1,2}(?:boxed|fbox)\s*\{|\\(?:boxed|fbox)\s+(?=[0-9A-Za-z])|\\{1,2}(?:boxed|fbox)(?![A-Za-z])|\\.|[{}]",
    re.DOTALL,
)
_BARE = re.compile(r"[0-9A-Za-z.]+")


def find_boxes(text: str) -> list[tuple[int, int]] | None:
    r"""The contents of the outermost `\boxed{…}`, in order; None when the last one does not close."""
    boxes: list[tuple[int, int]] = []
    opened: list[int] = []  # for each open brace, where the contents of its box begin; -1 for another brace
    malformed = -1  # where the last box without contents begins
    for part in _BOX_PARTS.finditer(text):
        found = part[0]
        if found == "}":
            if opened and (start := opened.pop()) >= 0:
                while boxes and boxes[-1][0] > start:  # boxes within this one
                    boxes.pop()
                boxes.append((start, part.start()))
        elif found == "{":
            opened.append(-1)
        elif found.endswith("{") and len(found) > 2:
            opened.append(part.end())
        elif "box" in found and found[-1].isspace():
            bare = _BARE.match(text, part.end())
            boxes.append((part.end(), bare.end() if bare else part.end()))
        elif "box" in found:
            malformed = part.end()
    broken = max(malformed, max(opened, default=-1))
    return None if broken >= 0 and (not boxes or broken > boxes[-1][1]) else boxes


# ---- without a box ----

_MARKER = re.compile(
    r"####|(?:final\s++answer|answer|solution|result)\s*+(?:\*\*\s*+)?(?:is|are|:|=)++(?:\s*(?:\*\*|:))*|"
    r"(?:^|\n)[ \t]*+A(?:nswer)?\s*+:|答案(?:是|为|：|:)?|antwort\s++(?:ist|lautet)|r[ée]ponse\s*+(?:est|:)|"
    r"respuesta\s*+(?:es|:)|ответ\s*+:?",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"\.(?=\s|$)|。|\n")
_FORMULA = re.compile(  # a dollar may also be money: a formula has blanks at both of its ends or at neither
    r"\$\$([^$]+)\$\$|\$(?!\s)([^$\n]+)(?<!\s)\$(?!\d)|\$\s([^$\n]+)\s\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)
_NUMBER = re.compile(
    r"[-−]?(?:\d+(?:\.\d+)?)? ?(?:√\(?\d+\)?|π)(?: ?/ ?\d+)?|"
    r"(?<![A-Za-z0-9.^_])[-−]?\$?\d+(?:,\d{3})*(?:\.\d+)?(?:\s*/\s*\d+)?(?:\s?\\?%)?|(?<![A-Za-z0-9.])[-−]?\.\d+"
)
_SAID = re.compile(r"(?:\b(?:is|are|be|was|equals?|gives?|lautet|est|es)\b|是|为|=)\s*:?\s*")
_LISTED = re.compile(
    r"\b(?:is|are|be)\s+((?:[-−]?\d+(?:[./]\d+)?(?:,\s*(?:and|or)\s|,\s|\s(?:and|or)\s))+[-−]?\d+(?:[./]\d+)?)\.?\s*$"
)
_HEDGE = re.compile(r"\b(?:either|perhaps|maybe|might|possibly|one of)\b|\d\$? or \$?[-−]?\d", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:not|isn't|wrong|incorrect|root of|power of|(?:less|more|greater|smaller|fewer) than)\b", re.IGNORECASE
)
# What stands beside a number that is a part of something else: an operator, another number of a list, a scale.
_BEFORE = re.compile(
    r"(?:[+/^×÷<>[]|\d:|\d\s*\*|[-−–] |\d\s*(?:,|,?\s*\band|,?\s*\bor)|[A-Za-z]\(|\b(?:minus|negative|plus|log|ln))\s*$"
)
_BEHIND = re.compile(
    r"\s*[!^]|:\d|\s*[*×÷/]\s*\d|[xyzi](?![A-Za-z])|e\d|\s*(?:hundred|thousand|dozen|[a-z]+illion|hal(?:f|ve)|third|"
    r"quarter|fourth|(?:fif|six|seven|eigh|nin|ten|hundred|thousand)th)s?\b"
)
_REASON = re.compile(r",\s+(?:as|because|since|which)\b")
_VERB = re.compile(r"\b(?:is|are|equals)\b")
_LETTER = re.compile(r"\s*\(?([A-J])(?:\)|[.:。]|\)\.)(?=\s|$|[^\x00-\x7f])")
_PROSE = re.compile(r"[A-Za-z]{2,}")


def _after_marker(tail: str) -> str | None:
    markers = list(_MARKER.finditer(tail))
    if not markers:
        return None
    marker = markers[-1]
    rest = tail[marker.end() :].lstrip(" :*\n\t")
    found = _FORMULA.match(rest)
    if found and rest.startswith(("$$", "\\[")):
        return _content(found)
    end = _SENTENCE.search(rest)
    sentence = (rest[: end.start()] if end else rest).strip().strip("*").strip()
    return _core(sentence) if marker[0] != "####" else sentence


def _core(sentence: str) -> str:
    """The answer in a sentence: all of a short one, else its only formula, what it says last, or its last number."""
    if _is_guessing(sentence) or _DENIED.search(sentence):
        return sentence
    sentence = _REASON.split(sentence)[0]
    bare = _FORMULA.sub(" ", sentence)
    formulas = [_content(found) for found in _FORMULA.finditer(sentence)]
    if formulas and not re.search(r"\d", bare) and len(formulas) == 1 and bare.strip(" .,"):
        return formulas[0]
    if len(_PROSE.findall(bare)) <= 3 and not _VERB.search(bare):
        return sentence
    said = _SAID.split(sentence)[-1].strip()
    if said != sentence and len(_PROSE.findall(_FORMULA.sub(" ", said))) <= 3 and re.search(r"\d|\$|\\", said):
        return said
    last = _last_value(sentence)
    return last.text if last else sentence


def _last_value(text: str) -> Found | None:
    """The formula or number that stands last; else the choice that the text begins with; else a short text as it is."""
    if listed := _LISTED.search(text):
        return Found(listed[1].strip(), "list")
    last = _SENTENCE.split(text.rstrip(" .\n"))[-1]
    if _is_guessing(last) or _DENIED.search(last):
        return Found(last.strip(), "sentence")
    if (letter := chosen_in(last)) is not None:
        return Found(letter, "choice")
    formulas = [found for found in _FORMULA.finditer(text) if re.search(r"\d|\\[A-Za-z]", found[0])]
    numbers = list(_NUMBER.finditer(text))
    if formulas and (not numbers or numbers[-1].start() < formulas[-1].end()):
        return Found(_content(formulas[-1]), "formula")
    if numbers:
        number = numbers[-1]
        alone = not _BEFORE.search(text[: number.start()]) and not _BEHIND.match(text[number.end() :])
        return Found(number[0].strip(), "number") if alone else Found(last.strip(), "sentence")
    if letter := _LETTER.match(text):
        return Found(letter[1], "choice")
    text = text.strip()
    return Found(text, "text") if text and len(text) <= 60 and "\n" not in text else None


def _is_guessing(sentence: str) -> bool:
    """Whether several numbers are on offer: `either 3 or 4`."""
    return _HEDGE.search(sentence) is not None and len(_NUMBER.findall(sentence)) > 1


def _content(formula: re.Match[str]) -> str:
    return next(part for part in formula.groups() if part is not None).strip()
