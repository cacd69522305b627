"""The arithmetic that a response writes down: by it two solutions of a problem are told apart or taken for one."""

import re

_NUMBER = r"-?\d++(?:,\d{3})*+(?:\.\d++)?+"
# Chains of terms, consumed whole whether or not a result follows, so that a long text is read once; a result may be the
# first term of the next chain, as in 2+3=5*4=20.
_CHAIN = re.compile(
    rf"((?:(?<!\()\(++|(?<![\d.,(])){_NUMBER}[) ]*+((?:[-+*/][( ]*+{_NUMBER}[) ]*+)*+))(?:=(?= *({_NUMBER})))?"
)
_SPELLINGS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "$": "", "\t": " "})


def operations(text: str) -> tuple[str, ...]:
    """The operations `a op b = c` of a response in the order written, blanks, currency and thousands' commas left out.

    Two solutions are the same where these are (Havrilla et al. 2024, 2403.04642). A response without any is told apart
    by its whole text. The order of operands counts: 3*4 is not 4*3.
    """
    chains = _CHAIN.finditer(text.translate(_SPELLINGS))
    found = [f"{match[1]}={match[3]}" for match in chains if match[2] and match[3]]
    return tuple(re.sub(r"[ ,]", "", operation) for operation in found) or (text.strip(),)
