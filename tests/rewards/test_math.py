"""The device's verdicts on mathematics against the host's verifier, over tokens that cut the text anywhere."""

import json
import random
import re
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.rationals import plain
from rlsp_jax.records import Problem
from rlsp_jax.rewards.math import MathChecker
from rlsp_jax.sharding import MeshConfig, make_mesh, place_rows
from rlsp_jax.verifiers.math import Math
from tests.rewards.texts import Tokens

CASES = Path(__file__).parents[2].parent / "shared" / "cases"
HOST = Math()
CHECKER = MathChecker()
BATCH, TIME = 64, 288
CORRECT, WRONG, UNKNOWN = Verdict.CORRECT, Verdict.WRONG, Verdict.UNKNOWN

# ---- two vocabularies: single bytes, and pieces of mathematical text cut at random places ----

SAMPLE = (
    r"so $x$ = \boxed{\frac{1}{2}}$, and $\fbox{1{,}234.5\%}$.\n#### 12</think>\n\n####\boxed {-3/4}}{\boxed{\$7}. "
)


def merges(seed: int, count: int = 250) -> list[str]:
    rng = random.Random(seed)
    starts = [rng.randrange(len(SAMPLE)) for _ in range(count)]
    return sorted({SAMPLE[start : start + rng.randint(2, 9)] for start in starts} - {"", *SAMPLE})


def make_check(tokens: Tokens):
    vocabulary = jax.tree.map(jax.numpy.asarray, CHECKER.read_vocabulary(tokens.device))
    return jax.jit(lambda rollout: CHECKER(rollout, vocabulary))


BYTES, PIECES = Tokens(pieces=()), Tokens(pieces=merges(1))
CHECKS = [(BYTES, make_check(BYTES)), (PIECES, make_check(PIECES))]


def make_rollout(tokens: Tokens, cases, time: int = TIME):
    """A rollout of (gold, response) pairs, padded to a multiple of the batch."""
    padded = [*cases, *[("1", "")] * (-len(cases) % BATCH)]
    truth = CHECKER.encode_truth([Problem(0, "", "", {"answer": gold}) for gold, _ in padded])
    return tokens.rollout([response for _, response in padded], time, truth=truth)


def judge(cases, vocabulary: int = 1, time: int = TIME) -> list[tuple[Verdict, int, bool]]:
    """(verdict, answer_start, answered) of each (gold, response) pair."""
    tokens, check = CHECKS[vocabulary]
    result = check(make_rollout(tokens, cases, time))
    rows = zip(*(np.asarray(x).tolist() for x in result[:3]), strict=True)
    return [(Verdict(outcome), start, answered) for outcome, start, answered in rows][: len(cases)]


def contradictions(cases, time: int = TIME) -> list[tuple]:
    """Where the device decides otherwise than the host, in either vocabulary."""
    found = []
    for vocabulary in (0, 1):
        for (gold, response), (verdict, *_) in zip(cases, judge(cases, vocabulary, time), strict=True):
            if verdict != UNKNOWN and (expected := HOST.verify({"answer": gold}, response)).verdict != verdict:
                found.append((vocabulary, gold, response, verdict, expected))
    return found


# ---- forms by hand ----

RIGHT = [
    ("18", "18"), ("18", " 18 "), ("18", "$18$"), ("18", r"\$18"), ("18", "18."), ("18", "+18"), ("18", "018"),
    ("18", "18.0"), ("18", "18.000"), ("-18", "-18"), ("-18", r"-\$18"), ("-18", "$-18$"), ("0", "-0"), ("0", "0.0"),
    ("1234", "1,234"), ("1,234", "1234"), ("1234567", "1,234,567"), ("1234", "1{,}234"), ("1234", r"1,\!234"),
    ("1234", r"1,\! 234"), ("1234.5", "1{,}234.50"), ("0.5", ".5"), (".5", "0.50"), ("0.5", "1/2"), ("0.5", r"\frac12"),
    ("0.5", r"\frac{1}{2}"), (r"\frac{3}{4}", r"\dfrac{6}{8}"), (r"\frac{3}{4}", r"\tfrac{3}{4}"), ("3/4", "0.75"),
    (r"-\frac{3}{4}", r"\frac{-3}{4}"), (r"\frac{3}{4}", r"-\frac{-3}{4}"), ("25\\%", "25"), ("25\\%", "25%"),
    ("25\\%", "0.25"), ("25\\%", r"\frac{1}{4}"), ("25", r"25\%"), ("0.25", "25 %"), (r"\frac{1}{4}", r"25\%"),
    ("56/8", "7"), (r"\frac{56}{8}", r"\frac{14}{2}"), ("1" * 50, "1" * 50 + ".0"),
    ("0." + "0" * 40 + "1", "." + "0" * 40 + "10"),
    ("999999999/1000000000", "0.999999999"), ("123456789/987654321", "123456789/987654321"), ("x^2", "x^2"),
    ("1.5", "1 1/2"), ("1.5", r"1\frac12"), ("-3/2", r"-1 \frac{1}{2}"), ("90", r"90^\circ"),
    (r"90^\circ", "90"), (r"90^{\circ}", "90°"), ("3/4", r"\frac 3{4}"), (r"\text{(A)}", r"\text{(A)}"),
]  # fmt: skip
FALSE = [
    ("18", "81"), ("18", "-18"), ("18", "1"), ("18", "180"), ("18", "1.8"), ("18", "18.5"), ("18", "1/18"),
    ("18", ""),
    ("18", "  "), ("1234", "1,235"), ("1234", "1.234"), ("7", r"\frac{56}{8}"), ("7", "56/8"), ("0.5", "2"),
    ("0.5", "50"),
    ("0.25", "2.5%"), ("25\\%", "2.5"), ("25\\%", "2500"), ("25\\%", r"\frac{1}{25}"), ("1/3", "0.33"),
    ("1/3", "0.333333"),
    ("0.333", "1/3"), ("1" * 50, "1" * 49 + "2"), ("1" * 50, "1" * 49), ("-3/4", "3/4"), ("12", "0"), ("0", "12"),
    ("0", ".01"),
    ("11/2", "1 1/2"), ("90\\%", "90°"), (r"90^\circ", "90%"), ("1" * 50, "1/2"), ("4294967296/4294967297", "1/2"),
]  # fmt: skip
LEFT = [
    ("12", "1 2"), ("7/2", "1 5/2"), ("11/2", r"1\frac{-1}{2}"), ("1", "1000000 1/1000000"), ("18", "18 dollars"),
    ("18", r"\text{18}"), ("x", "18"), ("18", "x"),
    ("18", "1,8"), ("18", "1e1"), ("2", "1+1"), ("18", "1/0"), ("18", "１８"), ("18", "18" + " " * 80),
    ("1", "10000000000/10000000000"),
    ("18", "1, 8"), ("18", "(18)"), ("5", "--5"), ("1234", "12,34"), ("1234", "1,2345"),
]  # fmt: skip


@pytest.mark.parametrize("vocabulary", [0, 1])
@pytest.mark.parametrize(
    ("cases", "verdict"), [(RIGHT, CORRECT), (FALSE, WRONG), (LEFT, UNKNOWN)], ids=["right", "wrong", "left"]
)
def test_boxed_forms_get_their_known_verdicts(cases, verdict, vocabulary):
    boxed = [(gold, f"so $\\boxed{{{answer}}}$.") for gold, answer in cases]
    assert [case for case, row in zip(cases, judge(boxed, vocabulary), strict=True) if row[0] != verdict] == []
    assert contradictions(boxed) == []


EXPECTED = [
    ("no answer at all", UNKNOWN, "18", "I think it is 18"),
    ("no text", UNKNOWN, "18", ""),
    ("behind ####", CORRECT, "18", "6*3=18\n#### 18"),
    ("behind ####, with a comma", CORRECT, "1800", "#### 1,800\n"),
    ("behind ####, dollars", CORRECT, "18", "####$18"),
    ("behind ####, a full stop", CORRECT, "18", "#### 18."),
    ("behind ####, stars", CORRECT, "18", "#### **18**\n"),
    ("the last ####", WRONG, "18", "#### 18\n#### 19"),
    ("the first ####", CORRECT, "18", "#### 19\n#### 18"),
    ("words behind it", UNKNOWN, "18", "#### 18\nThe answer is 19"),
    ("words beside it", UNKNOWN, "18", "#### 18 dollars"),
    ("a box before ####", CORRECT, "18", r"\boxed{18} #### 19"),
    ("nothing behind ####", UNKNOWN, "18", "####"),
    ("fbox", CORRECT, "18", r"\fbox{18}"),
    ("a blank behind the name", CORRECT, "18", "\\boxed \n{18}"),
    ("a bare box", UNKNOWN, "18", r"\boxed 18"),
    ("the last box", WRONG, "18", r"\boxed{18}. No, it is \boxed{19}."),
    ("the last box, right", CORRECT, "18", r"\boxed{19}. No, it is \boxed{18}."),
    ("an unclosed box", WRONG, "18", r"\boxed{18"),
    ("an unclosed box behind a closed one", WRONG, "18", r"\boxed{18}. \boxed{18"),
    ("braces in an unclosed box", WRONG, "18", r"\boxed{\frac{1}{2}\}"),
    ("an unclosed box of a gold that is no number", WRONG, "x", r"\boxed{x"),
    ("a list", UNKNOWN, "18", r"\boxed{17} and \boxed{18}"),
    ("a list with layout", UNKNOWN, "18", r"$\boxed{17}$,\quad $\text{ and }x = \boxed{18}$"),
    ("no list without a comma", CORRECT, "18", r"$\boxed{17}$ $\boxed{18}$"),
    ("an item far before", CORRECT, "18", r"\boxed{17}, which is one less than \boxed{18}"),
    ("a box in a box", UNKNOWN, "18", r"\boxed{\fbox{18}}"),
    ("a box behind a box in a box", CORRECT, "18", r"\boxed{\fbox{17}}. \boxed{18}"),
    ("a box in a box that never closes", UNKNOWN, "18", r"\boxed{17 \boxed{18}"),
    ("a box in a set", CORRECT, "18", r"{ \boxed{18} } }"),
    ("a backslash too many", CORRECT, "18", r"\\boxed{18}"),
    ("a command that is no box", UNKNOWN, "18", r"\bboxed{18}"),
    ("the marks of a chat", UNKNOWN, "18", r"\boxed{18}<|im_end|>"),
    ("a line break before a box", CORRECT, "18", r"\\\boxed{18}"),
    ("before the end of thought", CORRECT, "18", r"\boxed{17}, \boxed{17</think>\boxed{18}"),
    ("only before the end of thought", UNKNOWN, "18", r"\boxed{18}</think> it is."),
    ("the last end of thought", CORRECT, "18", r"</think>\boxed{17}</think>\boxed{18}"),
    ("thinking that never ends", UNKNOWN, "18", r"<think>\boxed{18}"),
    ("thinking that ended", CORRECT, "18", r"<think>\boxed{18</think>\boxed{18}"),
    ("thinking once more", UNKNOWN, "18", r"</think><think>\boxed{18}"),
    ("thinking after the answer", UNKNOWN, "18", r"\boxed{18} <think>"),
    ("bold", CORRECT, "18", r"so it is **\boxed{18}**"),
    ("a box in tags", CORRECT, "18", r"<answer>$\boxed{18}$</answer>"),
    ("equal to the box", CORRECT, "18", r"$$x = \boxed{18}$$"),
    ("a unit behind the box", CORRECT, "18", r"$\boxed{18}\text{ cm} - 1$"),
    ("a dash behind the box", CORRECT, "18", r"\boxed{18} - done"),
    ("a number after the box", CORRECT, "18", r"\boxed{18} since 3*6=18 and \frac{1}{2}} is not 19. #"),
]  # fmt: skip


@pytest.mark.parametrize("vocabulary", [0, 1])
def test_answers_are_found_where_the_host_finds_them(vocabulary):
    cases = [case[2:] for case in EXPECTED]
    rows = zip(EXPECTED, judge(cases, vocabulary), strict=True)
    assert [(name, row[0]) for (name, verdict, *_), row in rows if row[0] != verdict] == []
    assert contradictions(cases) == []


OPERATORS = [
    ("-", ""), ("$-", "$"), ("- ", ""), ("x = -$", "$"), ("−", ""), ("2", ""), ("2 - ", ""), ("2*", ""),
    ("2 \\cdot ", ""), ("\\frac{1}{", "}"), ("\\frac{", "}{2}"), ("\\frac1", ""), ("\\sqrt{", "}"), ("x^{", "}"),
    ("10^", ""), ("1/", ""), ("\\pm", ""), ("", "^2"), ("", "^{-1}"), ("", "0"), ("", ".5"),
    ("", "/2"), ("", " + 3"), ("", "\\cdot 2"), ("", " \\times 10^3"), ("", "-\\frac12"),
    ("-\\", ""), ("2{", "}"), ("-\\,", ""), ("-~", ""), ("-(", ")"), ("-\\left( ", "\\right)"), ("-\\mathbf{", "}"),
    ("-**", "**"), ("2_", "_"), ("\\ln", ""), ("\\arcsin(", ")"), ("", "\\sqrt2"), ("", " \\pi"), ("", "i"),
    ("", "\\,i"),
    ("", "~\\cdot~2"), ("-\\</answer>", ""), ("", "\\</answer>\\pi"),
]  # fmt: skip


@pytest.mark.parametrize("vocabulary", [0, 1])
def test_a_box_beside_an_operator_is_left_to_the_host_which_takes_it_for_no_answer(vocabulary):
    cases = [(gold, f"so {before}\\boxed{{{gold}}}{behind}") for gold in ("18", "x") for before, behind in OPERATORS]
    assert [row[0] for row in judge(cases, vocabulary)] == [UNKNOWN] * len(cases)
    taken = [response for gold, response in cases if HOST.verify(gold, response).verdict == CORRECT]
    assert taken == ["so - \\boxed{18}", "so - \\boxed{x}"]  # the dash of a sentence


@pytest.mark.parametrize("vocabulary", [0, 1])
def test_a_problem_without_a_gold_answer_is_left_to_the_host(vocabulary):
    cases = [(None, "\\boxed{None}"), (None, "\\boxed{5}"), (None, "#### 5")]
    assert [row[0] for row in judge(cases, vocabulary)] == [UNKNOWN] * 3
    assert contradictions([*cases, (None, "\\boxed{}"), (None, "\\boxed{5")]) == []


# ---- generated answers ----


def write_plain(rng: random.Random, value: Fraction) -> str:
    """A number in one of the plain forms that can hold it."""
    sign, size = "-" * (value < 0) or rng.choice(["", "", "", "+"]), abs(value)
    top, bottom = size.numerator, size.denominator
    scaled = rng.choice([1, 1, 1, 2, 3, 10])
    forms = [f"{sign}{top * scaled}/{bottom * scaled}"]
    forms += [f"{sign}\\{name}{{{top * scaled}}}{{{bottom * scaled}}}" for name in ("frac", "dfrac", "tfrac")]
    forms += [f"\\frac{{{sign}{top}}}{{{bottom}}}"]
    if top < 10 > bottom:
        forms.append(f"{sign}\\frac{top}{bottom}")
    if 0 < bottom < top and bottom > 1:
        whole, left = divmod(top, bottom)
        forms += [f"{sign}{whole} {left}/{bottom}", f"{sign}{whole}\\frac{{{left}}}{{{bottom}}}"]
    decimals = next((n for n in range(12) if (size * 10**n).denominator == 1), None)
    if decimals is not None:
        places = decimals + rng.choice([0, 0, 0, 1, 3])
        digits = str(int(size * 10**places)).rjust(places + 1, "0")
        whole, behind = (digits[:-places], "." + digits[-places:]) if places else (digits, rng.choice(["", "", "."]))
        grouped = f"{int(whole):,}"
        forms = [
            *forms[rng.randrange(2) :: 2],
            sign + whole + behind,
            sign + grouped + behind,
            "0" * 3 + whole + behind,
        ]
        forms += [sign + whole + behind] * 4
        forms += [sign + grouped.replace(",", rng.choice(["{,}", ", ", ",\\!"])) + behind.rstrip(".")]
        if whole == "0" and places:
            forms.append(sign + behind)
        if value < 0:
            forms = [form for form in forms if form.startswith(sign)]
    return rng.choice(forms)


def dress(rng: random.Random, text: str) -> str:
    blank = rng.choice(["", "", "", " "])
    dressed = rng.choice(["{}", "{}", "{}", "${}$", "\\${}", "$ {} $", "${}"]).format(text)
    return blank + dressed + rng.choice(["", "", " ", "."])


def write(rng: random.Random, value: Fraction) -> str:
    if rng.random() < 0.15:
        return dress(rng, write_plain(rng, value * 100) + rng.choice(["%", "\\%", " \\%"]))
    return dress(rng, write_plain(rng, value) + ("^\\circ" if rng.random() < 0.05 else ""))


def other_value(rng: random.Random, value: Fraction) -> Fraction:
    drop = str(value.numerator)[:-1]
    return rng.choice(
        [value + 1, value - 1, -value, value * 10, value * 100, value / 100, 1 / value if value else value]
        + [Fraction(int(drop) if drop.strip("-") else 0, value.denominator), value + Fraction(1, 10**6)]
    )


BOXED = [
    "\\boxed{@}", "So $\\boxed{@}$.", "\\[\\fbox{@}\\]\n", "<think>\\boxed{3</think>\\boxed{@}",
    "\\frac{1}{2}}. {\\boxed{@}",
    "\\boxed{5}. Wait.\n\n\\boxed{@} is it, as \\{1\\} and \\text{that}", "#### 5\n\\boxed{@}\n#### 6",
    "\\boxed{1}, 2, \\boxed{@}",
]  # fmt: skip
MARKED = ["#### @", "6*3=18\n####@", "#### 1\n#### @\n", "The answer is 5.\n#### **@**", "#### @\n12 - 5!"]


def case(rng: random.Random):
    """(gold, response, the answer written in it, whether it is boxed)."""
    value = Fraction(rng.randint(-1, 12)) if rng.random() < 0.3 else Fraction(rng.randint(-5000, 10**7))
    value /= rng.choice([1, 1, 1, 2, 3, 4, 8, 7, 10, 100, 1000])
    gold = write(rng, value)
    answer = gold if rng.random() < 0.1 else write(rng, value if rng.random() < 0.6 else other_value(rng, value))
    boxed = rng.random() < 0.75
    return gold, rng.choice(BOXED if boxed else MARKED).replace("@", answer), answer, boxed


def cut_short(answer: str) -> bool:
    """A sentence ends at a full stop before a blank, so a #### may not see all of this answer."""
    return re.search(r"\.[\s\\%$^.]", answer.strip()) is not None or "$$" in answer


def large_quotient(answer: str) -> bool:
    """Of numbers from 10⁹ on, a mixed number as one fraction."""
    if "/" not in answer and "frac" not in answer:
        return False
    numbers = [int(digits) for digits in re.findall(r"\d+", answer)]
    if re.search(r"frac ?\d\d", answer):
        return False
    return max(numbers) >= 10**9 or (len(numbers) == 3 and numbers[0] * numbers[2] + numbers[1] >= 10**9)


@given(st.integers(0, 2**63))
def test_plain_answers_are_all_settled_and_as_by_the_host(seed):
    rng = random.Random(seed)
    cases = [case(rng) for _ in range(BATCH)]
    pairs = [case[:2] for case in cases]
    assert contradictions(pairs) == []
    for vocabulary in (0, 1):
        for (gold, response, answer, boxed), (verdict, *_) in zip(cases, judge(pairs, vocabulary), strict=True):
            number = plain(gold) is not None and plain(answer) is not None and not large_quotient(answer)
            assert not (number and (boxed or not cut_short(answer)) and verdict == UNKNOWN), (gold, response)


EDITS = [
    *"0123456789 $%.,/-+*#{}\\\n",
    "\\boxed{",
    "\\fbox{",
    "####",
    "</think>",
    "\\frac",
    "}",
    "}",
    " and ",
    "\\boxed",
    "<think>",
    "<answer>",
    "</answer>",
    "^",
    "\\cdot ",
    "- ",
    "−",
    "\u00a0",
    "x",
]


def corrupt(rng: random.Random, text: str) -> str:
    i, j = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    edit = rng.randrange(4)
    if edit == 0:
        return text[:i] + text[i + 1 :]
    if edit == 1:
        return text[:i] + text[i:j] + text[i:]  # a part twice
    return text[:i] + rng.choice(EDITS) + text[i:]


@given(st.integers(0, 2**63))
def test_the_device_never_contradicts_the_host_on_corrupted_responses(seed):
    rng = random.Random(seed)
    cases = []
    for _ in range(BATCH):
        gold, response, *_ = case(rng)
        for _ in range(rng.randint(1, 4)):
            response = corrupt(rng, response)
        cases.append((gold, response[:240]))
    assert contradictions(cases) == []


BETWEEN = [
    *"  ,;$&ax=_1\n\\",
    "<answer>",
    "</answer>",
    "and",
    "or",
    "\\quad",
    "\\,",
    "\\text{ and }",
    "\\mathrm",
    "{,}",
    "-",
]
BESIDE = [*"  -*_/^~$({2i+", "\\,", "\\left", "\\mathbf{", "\\ln", "\\pi", "</answer>", "\\", "\\cdot", "x", "\n", ":"]


@given(st.integers(0, 2**63))
def test_the_device_never_contradicts_the_host_on_two_boxes_with_tags_between_them(seed):
    rng = random.Random(seed)
    cases = [("5", "\\boxed{4}</answer>, \\boxed{5}"), ("5", "\\boxed{4},\\</answer>\\boxed{5}")]
    for _ in range(BATCH - len(cases)):
        gap = "".join(rng.choices(BETWEEN, k=rng.randint(1, 5)))
        cases.append(("5", f"\\boxed{{4}}{gap}\\boxed{{{rng.choice('45')}}}"))
    assert contradictions(cases) == []


@given(st.integers(0, 2**63))
def test_the_device_never_contradicts_the_host_on_what_stands_beside_a_box(seed):
    rng = random.Random(seed)
    sides = [["".join(rng.choices(BESIDE, k=rng.randint(0, 4))) for _ in range(BATCH)] for _ in range(2)]
    assert contradictions([("5", f"{before}\\boxed{{5}}{behind}") for before, behind in zip(*sides, strict=True)]) == []


@given(st.integers(0, 2**63))
def test_the_device_never_contradicts_the_host_on_arbitrary_pieces(seed):
    rng = random.Random(seed)
    texts = ["".join(rng.choices(EDITS, k=rng.randint(1, 24))) for _ in range(BATCH)]
    assert (
        contradictions([(rng.choice("0123456789"), rng.choice(["\\boxed{", "####", ""]) + text) for text in texts])
        == []
    )


# ---- labelled cases ----


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="the labelled cases are not here")
@pytest.mark.parametrize("name", ["cases_dev", "cases_policy"])
def test_the_device_never_contradicts_the_host_on_labelled_cases(name):
    rows = [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text().splitlines()]
    boxed = [(row["gold"], f"\\boxed{{{row['prediction']}}}") for row in rows if row["kind"] == "answer"]
    cases = [*boxed, *[(row["gold"], row["prediction"]) for row in rows if row["kind"] == "response"]]
    short = [case for case in cases if len(case[1].encode()) < 250]
    long = [case for case in cases if 250 <= len(case[1].encode()) < 3800]
    assert [row for start in range(0, len(short), BATCH) for row in contradictions(short[start : start + BATCH])] == []
    assert [
        row for start in range(0, len(long), BATCH) for row in contradictions(long[start : start + BATCH], 4096)
    ] == []


# ---- places, shapes, meshes ----


@given(st.text("\\boxed{}#</think> 1\n", max_size=40), st.sampled_from(["\\boxed{", "\\fbox {", "####"]))
def test_answer_start_is_the_token_in_which_the_first_marker_begins(text, marker):
    for tokens, check in CHECKS:
        ids = tokens.encode(f"{text} </think>a {marker}1}} \\boxed{{2}} #### 3")
        place = b"".join(tokens.pieces[i] for i in ids).rfind(f"</think>a {marker}".encode()) + len("</think>a ")
        ends = np.cumsum([len(tokens.pieces[i]) for i in ids])
        _, start, answered = (x[0] for x in check(make_rollout(tokens, [("1", ids)]))[:3])
        assert answered and int(start) == int(np.searchsorted(ends, place, side="right"))


def test_answer_start_is_the_length_of_a_response_without_an_answer():
    ids = BYTES.encode("boxed{5}")
    assert judge([("5", ids), ("5", [])], 0) == [(UNKNOWN, len(ids), False), (UNKNOWN, 0, False)]


def test_no_room_for_an_answer_is_refused():
    with pytest.raises(ValueError, match="answer_bytes is 0"):
        MathChecker(answer_bytes=0)


def test_percent_signs_are_forgiven_only_where_the_host_forgives_them():
    strict = MathChecker(forgive_percent=False)
    vocabulary = strict.read_vocabulary(BYTES.device)
    cases = [("12", r"\boxed{12\%}"), ("0.12", r"\boxed{12\%}"), (r"12\%", r"\boxed{12}"), ("12", r"\boxed{12}")]
    outcome = strict(make_rollout(BYTES, cases), vocabulary).outcome[: len(cases)]
    host = Math(forgive_percent=False)
    assert np.asarray(outcome).tolist() == [host.verify(*case).verdict for case in cases] == [0, 1, 1, 1]


def test_rows_spread_over_a_mesh_get_the_same_verdicts():
    rng = random.Random(3)
    tokens, check = CHECKS[1]
    rollout = make_rollout(tokens, [case(rng)[:2] for _ in range(BATCH)])
    mesh = make_mesh(MeshConfig(data=2, fsdp=4))
    with jax.set_mesh(mesh):
        spread = check(place_rows(mesh, rollout))
    jax.tree.map(np.testing.assert_array_equal, spread, check(rollout))
