"""The words of a written search: one vocabulary for whoever writes it, scores it or counts it."""

import re

TRY = "try"
CHECK = "check"
YES = "yes"
NO = "no"
BACK = "back"
ANSWER = "answer:"
GIVE_UP = "none"


def any_of(phrases: tuple[str, ...]) -> str:
    """A pattern for whole words: "back" is not found in "backwards"."""
    whole = (rf"(?<!\w){re.escape(phrase)}" + (r"(?!\w)" if phrase[-1].isalnum() else "") for phrase in phrases)
    return "|".join(whole)
