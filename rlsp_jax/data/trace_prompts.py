"""What the authors of trial-and-error traces are told. T1 (arXiv:2501.11651) prints no prompts: these are ours."""

import dataclasses
from string import Template

from rlsp_jax.common.errors import UserError

ATTEMPT = """\
$question

Think step by step. $final"""

CRITICIZE = """\
Here is a question, and an attempt at it whose final answer is wrong.

Question:
$question

Attempt:
$attempt

Find the first step that is wrong. Quote it, say what is wrong with it, and say what led the author there: a rule \
misremembered, a case overlooked, a condition misread, a slip in calculation. If the whole approach cannot work, say \
why. Do not solve the question."""

VERIFY = """\
Here is a question, and an attempt at it whose final answer is right.

Question:
$question

Attempt:
$attempt

Verify the conclusion as a careful author would, without repeating the attempt: hold the answer against every \
condition of the question, or work it out a second way. Write down what is checked and what comes out."""

MERGE = """\
Here is a question, with attempts at it and what a critic says of each.

Question:
$question

$attempts

Write one train of thought, in the first person and from beginning to end, as of somebody who has none of these \
attempts in front of them. It goes through the wrong attempts in the order given, far enough for each error to be \
made; it notices the error, for the reason that the critic gives; it reflects on what led there and turns to something \
else; and it ends in the right solution and its verification. Where no attempt is wrong, it solves the question and \
verifies the result. Say nothing of attempts, critics, or this request. $final"""

REWRITE = """\
Here is a question, and a draft of somebody thinking about it.

Question:
$question

Draft:
$trace

The draft may read as a list of approaches laid side by side. First see its pattern for yourself: what is tried, what \
goes wrong, how that is noticed, what is learned, what is tried next, how the result is checked. Then write the \
thinking anew along that pattern, as one line of thought in which each step comes out of the one before: doubts arise \
where there is a reason for them, errors are found by checking, and what is given up is not taken up again. Keep every \
calculation that leads to the answer, and do not change the answer. Write the thinking alone. $final"""

BOXED = r"Put the final answer in \boxed{} at the end."


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Templates in which $question, $attempt, $attempts, $trace and $final stand for texts; $$ is a dollar sign.

    attempt: asks for a solution ($question).
    criticize: asks for the error of a wrong attempt and its cause ($question, $attempt).
    verify: asks for a verification of a right attempt ($question, $attempt).
    merge: asks for one trace through the attempts to the solution ($question, $attempts).
    rewrite: asks for that trace written anew ($question, $trace).
    final: how the final answer is to be written, so that the verifier finds it; stands where $final does.
    """

    attempt: str = ATTEMPT
    criticize: str = CRITICIZE
    verify: str = VERIFY
    merge: str = MERGE
    rewrite: str = REWRITE
    final: str = BOXED

    def __post_init__(self):
        needed = {
            "attempt": {"question"},
            "criticize": {"question", "attempt"},
            "verify": {"question", "attempt"},
            "merge": {"question", "attempts"},
            "rewrite": {"question", "trace"},
        }
        for name, words in needed.items():
            check_template(f"The prompt {name!r}", vars(self)[name], words)

    def fill(self, template: str, **texts: str) -> str:
        """A template with its texts in place; what looks like a placeholder in a text is left as it is."""
        return Template(template).substitute(texts, final=self.final)


def check_template(what: str, text: str, needed: set[str]) -> None:
    """Raise `UserError` unless the template holds these placeholders, `$final` perhaps, and no others."""
    template = Template(text)
    if not template.is_valid():
        raise UserError(f"{what} has a $ that begins no placeholder; write $$ for a dollar sign.")
    found = set(template.get_identifiers())
    if missing := sorted(needed - found):
        raise UserError(f"{what} does not mention ${missing[0]}.")
    if strange := sorted(found - needed - {"final"}):
        raise UserError(f"{what} mentions ${strange[0]}, which stands for nothing; write $$ for a dollar sign.")
