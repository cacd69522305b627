"""Inputs that are made to hang, crash or fool a verifier of mathematical answers: by hand, and any number by chance.

    python -m tests.verifiers.adversarial < pairs.jsonl

judges each [gold, text] in every way and prints what is wrong with the verifier. It is a program of its own, since the
tests' checks of types at every call would cost ten times what they check.
"""

import json
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlsp_jax.verifiers import Math, Outcome

CPU_SECONDS = 1.0  # of one judgement; the slowest takes a few tenths

GOLDS = (
    "12", "-3", "1/2", "0.5", "1,234", "10^{20}", r"\frac{3}{4}", r"5\frac{1}{2}", r"\sqrt{2}", r"\frac{\sqrt{3}}{2}",
    r"2\pi", "e^x", "x^2-1", "(x-1)(x+1)", r"\sin^2 x + \cos^2 x", "(1, 2]", r"(-\infty, 3) \cup (5, \infty)",
    "x > 3", r"\{1, 2, 3\}", "(1, 2, 3)", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "y = 2x + 1",
    "x = 1, x = -1", r"1 \pm \sqrt{3}", "12 cm", "50%", r"30^\circ", "(C)", r"\text{Tuesday}", "52_8", "3:4",
    "7:30 pm", r"\$5.00", "n!", r"\binom{10}{3}", r"\log_2 8", r"\sum_{k=1}^{n} k", "all real numbers",
    r"0.\overline{3}", "2+3i", r"\emptyset",
)  # fmt: skip

FRAGMENTS = (
    *"0123456789", *"xyzneik", *"+-*/^_=<>!|&%$#~@?:;,.'\"`", *"()[]{}\\", " ", "\n", "\t", "99999999", "1e9",
    "1e999", "0.", ".5", "1,000,000", r"\frac", r"\frac{", r"\dfrac12", "}{", r"\sqrt", r"\sqrt[", r"\sqrt[3]{",
    r"\boxed{", r"\boxed", r"\fbox{", r"\left(", r"\right)", r"\left", r"\right.", r"\cdot", r"\times", r"\div",
    r"\pm", r"\mp", r"\infty", r"\pi", r"\theta", r"\sin", r"\arctan", r"\log_", r"\ln", r"\exp", r"\binom",
    r"\sum_{k=1}^{", r"\prod", r"\int_0^1", r"\lim_{x\to0}", r"\cup", r"\cap", r"\setminus", r"\in", r"\mathbb{R}",
    r"\mathbb{", r"\text{", r"\mathrm{", r"\text{and}", " and ", " or ", r"\quad", r"\begin{pmatrix}",
    r"\end{pmatrix}", r"\begin{cases}", r"\\", "&", r"\overline{", r"^\circ", r"^{\circ}", r"\%", r"\$", "$$", r"\(",
    r"\)", r"\[", r"\]", r"\{", r"\}", "|", r"\le", r"\ne", "<=", "**", "^^", "^{^{", "!!", "--", "+-", "//", "####",
    "The answer is ", "answer: ", "Final answer: ", "</think>", "<|im_end|>", "(A)", "(B)", " cm", " dollars", "km/h",
    "sqrt(", "pi", "inf", "nan", "NaN", "-inf", "None", "null", "True", "\x00", "\ud800", "\udfff", "\u200b",
    "\u202e", "\ufeff", "²", "½", "٣", "五", "１", "√", "∞", "≤", "∪", "é", "🎲", "__import__('os')", "lambda:0",
    "9**9**9", "exec(", "eval(", "\\input{/etc/passwd}", r"\def\x{\x\x}", "%s%n", "{{7*7}}",
)  # fmt: skip

OPERATORS = ("^", "^{", "-", "/", "*", r"\cdot", r"\sqrt", r"\pi", "i", r"\,", "_", " ")

WRAPS = (
    ("(", ")"), ("[", "]"), ("{", "}"), (r"\{", r"\}"), ("|", "|"), (r"\frac{", "}{2}"), (r"\frac{1}{", "}"),
    ("-", ""), (r"\sqrt{", "}"), ("2^{", "}"), ("", "!"), ("x_{", "}"), (r"\boxed{", "}"), (r"\text{", "}"),
    ("$", "$"), ("", "^2"), (r"\left(", r"\right)"), (r"\sin(", ")"), (r"\log(", ")"), (r"\lfloor ", r" \rfloor"),
    (r"\begin{pmatrix}", r"\end{pmatrix}"), ("1+", ""), ("", ",1"), ("x=", ""), (r"\pm", ""), ("", "%"),
    (r"\overline{", "}"), ("**", "**"), (r"\sum_{k=1}^{9}", ""),
)  # fmt: skip


def hand_made() -> list[tuple[str, str]]:
    """(gold, answer) pairs, each with one thing that something has fallen for."""
    deep, long = 10**5, 10**5
    answers = [
        # values that nothing can hold
        "9^{9^{9^{9}}}", "9^9^9^9^9", "9**9**9**9", "2^{2^{2^{2^{2^{2}}}}}", "10^{-10^{10}}", "(10^{10})!",
        "1000000!", "((9!)!)!", "9!!!!!!!", r"\binom{10^9}{5 \cdot 10^8}", "0.5^{10^{12}}", "1e999999999",
        "1e-999999999", "(-1)^{0.5}", r"\sum_{k=1}^{10^{12}} \frac{1}{k}", r"\prod_{k=1}^{10^9} k",
        r"\sum_{k=1}^{9}" * 9 + "k", r"0.0.\overline{3}", "√{-10i{0}},", "x=x=x=x=x=x=x!!!!",
        r"1 \pm \sqrt{3}" + "!!1,000,000%" * 150, r"\sum_{a=1}^{999}\sum_{b=1}^{999}\sum_{c=1}^{999} abc",
        r"\sin(10^{10^{10}})", r"\tan(10^{50})", r"e^{e^{e^{e^{e}}}}", r"\sqrt[10^{9}]{2}", r"\sqrt[0]{2}",
        r"\log_1 2", r"\lfloor -1.5 \rfloor!!", r"\log 0", "0^0", "0^{-1}", "1/0", "0/0", r"\frac{0}{0}",
        r"\infty - \infty", r"\frac{\infty}{\infty}", "i^{i^{i}}", r"0.\overline{" + "3" * 5000 + "}",
        "1" + "0" * 1900, "1" * 1900 + "_2", "-" * 1999 + "1", "(1+x)^{100000}", "(x+1)" * 300, "1" + "+1" * 900,
        "x" * 1900, "2^" * 900 + "2", "1" + "!" * 1900, "9" + "%" * 1900, r"\pm" * 500 + "1", r"1 \pm " * 200 + "1",
        "(" + r"\pm 1," * 30 + "1)", r"\{" + ",".join(f"x_{{{i}}}" for i in range(250)) + r"\}",
        ",".join(map(str, range(500))), r"\cup".join(f"({i},{i + 1})" for i in range(150)),
        "=".join("abcdefgh" * 100), "x=" * 900 + "1", "1<" * 900 + "2",
        r"\begin{pmatrix}" + r"1&" * 400 + "1" + r"\\1" * 200 + r"\end{pmatrix}", "(x^2-1)/(x-1)" * 50,
        r"\sin" * 400 + "x", r"\sqrt" * 400 + "x", r"\frac" * 400 + "1", "|" * 1001 + "x" + "|" * 1001,
        # no numbers
        "NaN", "nan", "inf", "-inf", "Infinity", "null", "None", "True", "", " ", "\n", "\x00", "1\x00",
        "\x00" * 1000, ".", "\ud800", "1\ud8002", "\udfff\ud800", "\u202e21", "1\u200b2", "\ufeff12", "１２", "١٢",
        "十二", "½½½", "²²", "1²³", "Ⅻ", "🎲" * 500, "e\u0301" * 500, "\u0300" * 2000, "ﬁ" * 1000, "﷽" * 1000,
        "ß" * 1999, "İ" * 1999, "㎞", "①", "1⁄2", "−5", "𝟙𝟚",
        # code
        "__import__('os').system('true')", "().__class__.__bases__[0].__subclasses__()", "exec('while 1: pass')",
        "lambda: 0", "[0]*10**12", "'a'*10**12", "open('/dev/zero').read()", "${7*7}", "{{7*7}}", "%s%s%n",
        "$(sleep 9)", "`sleep 9`", r"\input{/etc/passwd}", r"\def\x{\x\x}\x", r"\newcommand{\a}{\a\a}\a",
        r"\loop\iftrue\repeat", r"\csname", r"\write18{ls}", "S.free_symbols", "Integral(x, x)",
        "factorint(2**1279-1)", "Symbol('x').__class__", "E**(pi*I)", "oo", "zoo",
        # LaTeX that does not end, or does not begin
        r"\frac{1}{", r"\frac", r"\sqrt[", r"\left(", r"\right)", "}{", "}" * 1000, "{" * 1000, r"\begin{pmatrix}",
        r"\end{matrix}", r"\begin{pmatrix}1&2\\3\end{bmatrix}", "^", "_", "^{}", "_{}", "x_", "1_", "1_{}",
        "1_{99999999999}", "5_0", "z_{36}", "\\", "\\" * 1999, "$", "$$", "$" * 1999, r"\text", r"\text{",
        r"\text{\text{" * 200, r"\mathbb{", r"\log_", r"\log_{}", r"\sum", r"\sum_{k}", r"\sum_{k=1}^{x} k", r"\int",
        r"\lim", r"\binom{1}", r"\overline", r"1\overline", "0.", "..", "1..2",
        # long
        *(unit * (long // len(unit)) for unit in (
            "1", "a", " ", "\n", "(", ")", "{", "}", "$", "\\", "1,", "1 ", "a ", "1/", "1.", "^", "-", "\\boxed{",
            "\\boxed{1}", "\\boxed{1},", "\\boxed ", "\\boxed 1 ", r"\boxed{1} and ", "\\text{", "answer is ",
            "answer ", "answer is **", "####", "$1$", r"\(", r"\[", "<|end", "<|im_start|>", "</think>", "\\fbox\n",
            "A:\n", "答案", "é", "🎲", "\ud800", "1e", "{}",
        )),
        "{" * deep + "1" + "}" * deep, r"\boxed{" * 10**4 + "1" + "}" * 10**4, "(" * deep + "1" + ")" * deep,
        r"\frac{" * 10**4 + "1" + "}{2}" * 10**4, r"\boxed{" + " " * long + "}", r"\boxed{" + "9" * long + "}",
        r"\boxed{1}" + " " * long + r"\boxed{2}", r"\boxed" + " " * long + "{1}", "answer" + " " * long + "is 1",
        *(text for operator in ("^", "^{", "-", "/", r"\cdot", r"\pi", "i") for text in (
            r"\boxed{1}" + operator + " " * long + "zz", operator + " " * long + r"\boxed{1}",
            r"\boxed{1}" + r"\," * (long // 2) + operator + "~" * long + "zz", "*" * long + r"\boxed{1}" + "*" * long,
        )),
    ]  # fmt: skip
    golds = ["12", r"\frac{x}{2}", "(1, 2)", r"\{1,2\}", "x > 3", "2^{100}"]
    pairs = [(golds[number % len(golds)], answer) for number, answer in enumerate(answers)]
    return pairs + [(answer, answer + " ") for answer in answers[:60]] + [(answer, "12") for answer in answers[:80]]


def by_chance(seed: int) -> tuple[str, str]:
    """A (gold, response) pair, the same for the same seed."""
    chance = random.Random(seed)
    gold = chance.choice(GOLDS)
    answer = chance.choice((_mutated, _joined, _wrapped, _repeated, _characters))(chance, gold)
    if chance.random() < 0.1:
        gold = _mutated(chance, gold)
    dressed = (answer, f"\\boxed{{{answer}}}", f"Thus the answer is {answer}.", f"#### {answer}", f"${answer}$")
    return gold, chance.choice(dressed)


def _mutated(chance: random.Random, gold: str) -> str:
    text = chance.choice((gold, chance.choice(GOLDS)))
    for _ in range(chance.randrange(1, 6)):
        start, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        match chance.randrange(4):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:end] + text[start:end] * chance.choice((1, 2, 9)) + text[end:]
            case 2:
                text = text[:start] + chance.choice(FRAGMENTS) + text[start:]
            case _:
                text = text[:start] + chance.choice(GOLDS) + text[end:]
    return text


def _joined(chance: random.Random, gold: str) -> str:
    pool = FRAGMENTS if chance.random() < 0.5 else chance.choices(FRAGMENTS, k=5)
    return "".join(chance.choices(pool, k=chance.choice((3, 8, 20, 60))))


def _wrapped(chance: random.Random, gold: str) -> str:
    text = gold
    wraps = chance.choices(WRAPS, k=chance.randrange(1, 4))
    for _ in range(chance.choice((1, 3, 9, 30, 100))):
        before, after = chance.choice(wraps)
        text = before + text + after
    return text


def _repeated(chance: random.Random, gold: str) -> str:
    """A piece again and again, behind the gold answer, behind its box, or before it."""
    unit = "".join(chance.choices(FRAGMENTS, k=chance.randrange(1, 5)))
    operator = chance.choice(("", "", *OPERATORS))
    size = chance.choice((100, 1000, 1900, 1900, 20_000, 100_000))
    row = unit * (size // len(unit))
    return chance.choice((f"{gold}{row}", f"\\boxed{{{gold}}}{operator}{row}z", f"{operator}{row}\\boxed{{{gold}}}"))


def _characters(chance: random.Random, gold: str) -> str:
    return "".join(chr(chance.randrange(chance.choice((128, 0x600, 0x10000, 0x110000)))) for _ in range(30))


# ---- judging them -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timed:
    """The math verifier, with `number|CPU seconds|` in front of its reasons; the number is the truth's."""

    def verify(self, truth: Mapping[str, Any], response: str) -> Outcome:
        started = time.process_time()
        outcome = Math().verify(truth, response)
        reason = f"{truth['number']}|{time.process_time() - started}|{outcome.reason}"
        return Outcome(outcome.verdict, outcome.extracted, reason)

    def equivalence(self, answer: str) -> str | None:
        return Math().equivalence(answer)


class Late(BaseException):
    """A judgement that computes for far too long."""


def faults(gold: str, text: str) -> Iterator[str]:
    """What goes wrong when a text is judged as an answer, as a response, in a box and behind a marker."""
    math, truth = Math(), {"answer": gold}
    dressed = {
        "verify": text,
        "verify in a box": f"so \\boxed{{{text}}}",
        "verify a sentence": f"The answer is ${text}$.",
    }
    ways = {name: lambda response=response: math.verify(truth, response) for name, response in dressed.items()}
    ways |= {"compare": lambda: math.compare(truth, text), "equivalence": lambda: math.equivalence(text)}
    for name, judge in ways.items():
        started = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, 10 * CPU_SECONDS)
        try:
            found = judge()
            wrong = "" if isinstance(found, str | None if name == "equivalence" else Outcome) else f"gave {found!r}"
        except (Exception, Late) as error:
            wrong = f"{type(error).__name__}: {str(error)[:100]}"
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        seconds = time.process_time() - started
        if wrong or seconds > CPU_SECONDS:
            sizes = f"{len(gold)} and {len(text)} characters"
            yield f"{name}: {wrong or 'late'} after {seconds:.1f} s: {gold[:60]!r}, {text[:60]!r} ({sizes})"


def main() -> None:
    def late(*_):
        raise Late

    signal.signal(signal.SIGVTALRM, late)
    for line in sys.stdin:
        for fault in faults(*json.loads(line)):
            print(fault.encode("unicode_escape").decode(), flush=True)


if __name__ == "__main__":
    main()
