r"""Boxes that are a part of an expression: `-\boxed{5}`, `2\boxed{5}`, `\boxed{5}^2`, `\ln\boxed{5}`.

Digits and signs that touch a box make it one, whatever layout stands between them, and so do the signs and commands
of a formula; not the dash of a sentence, the bullet of a list, or the marks of emphasis around a box.
"""

import re

MAX_BESIDE = 40  # characters before a box

_FUNCTION = "(?:arc)?(?:sin|cos|tan|cot|sec|csc)|sinh|cosh|tanh|ln|log|exp"
_VALUE = rf"\\(?:sqrt|[dtc]?frac|pi|boxed|fbox|{_FUNCTION})(?![A-Za-z])"
_WITHIN = (  # layout that no sentence has
    r"[{(~]|\\[,;:!\ ]|\\left(?![a-z])|\\[bB]igg?l?(?![a-z])|\\displaystyle(?![a-z])"
    r"|\\(?:math|text|boldsymbol|bm|pmb|underline)[a-z]*(?=[ \t]*\{)"
)
_LAYOUT = rf"(?:(?:{_WITHIN}|\$|\\\()[ \t]*)*"  # and the beginning of a formula
_BEFORE = re.compile(
    rf"""(?: [0-9]\{{*
      | (?: [-−+±^_/] | [0-9}}=$({{][ \t]*[-−+*·×÷/] | \\\([ \t]*[-−+] ) {_LAYOUT}
      | (?: [0-9}}=$({{][ \t]*[-−+*·×÷/] | \\\([ \t]*[-−+] ) [ \t]+ (?:(?:{_WITHIN})[ \t]*)*
      | (?: \}}[ \t]*\{{ | \\(?:[dtc]?frac|sqrt|cdot|times|div|pm|mp|{_FUNCTION}) ) [ \t]*{_LAYOUT} )\Z""",
    re.VERBOSE,
)
_BULLET = re.compile(r":[ \t]*\n\s*[-−]\Z")
_GAP = r"(?:[ \t~]|\\[,;:!\ ])*+"
_BEHIND = re.compile(
    rf"""(?: (?<=\}})\.?[0-9] | (?:~|\\[,;:!\ ])*+[eiknxyz](?![A-Za-z])
      | {_GAP}\^[\s{{]*+-?(?:[0-9]|[a-z](?![a-z])) | {_GAP}(?!\\f?box){_VALUE}
      | (?![ \t]++[-/][ \t]++[0-9]++[ \t]++[A-Za-z]{{2}})  # `- 10 minutes`, of a sentence
        {_GAP}(?:[-−+*·×÷/]|\\(?:cdot|times|div)(?![A-Za-z])){_GAP}(?:[0-9]|{_VALUE}) )""",
    re.VERBOSE,
)


def is_operand(text: str, start: int, end: int) -> bool:
    """Whether the box whose contents are `text[start:end]` is a part of an expression. Linear in the text."""
    first = text.rfind("\\", 0, start)  # of its command
    if text[first - 1 : first] == "\\":
        first -= 1
    behind = end + (text[end : end + 1] == "}")
    plain = behind
    while first > 0 and text[first - 1] in "*_" and text[first - 1] == text[behind : behind + 1]:
        first, behind = first - 1, behind + 1
    before = text[max(0, first - MAX_BESIDE) : first]
    if _BEFORE.search(before):
        return not _BULLET.search(before)
    return behind == plain and _BEHIND.match(text, behind) is not None
