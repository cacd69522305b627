"""Chat templates, the Jinja texts that checkpoints bring along: messages in, the text that the model is shown out."""

import datetime
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.lessons import Message, Piece

# What an assistant chose stands between these two, where a template says so: characters of no text.
START, END = "\U0010fffe", "\U0010ffff"
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


def has_generation(template: str) -> bool:
    """Whether a template says itself which of its text an assistant chose: `{% generation %}`."""
    return _GENERATION.search(template) is not None


def render(
    template: str,
    messages: Sequence[Message],
    variables: Mapping[str, Any],
    *,
    prompt: bool,
    today: datetime.date,
    source: str,
) -> list[Piece]:
    """The text of messages, in parts; with `prompt`, it ends where an assistant begins to speak.

    `source` says whose template it is, for messages. Raises `UserError` where the template fails or refuses.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise UserError("Chat templates are written in Jinja; install it: pip install 'rlsp_jax[hf]'.")
    from rlsp_jax.data.chat_environment import FAULTS, compile_template

    context: dict[str, Any] = {"tools": None, "documents": None, **variables}
    context |= {"messages": list(messages), "add_generation_prompt": prompt, "strftime_now": today.strftime}
    try:
        text = compile_template(template).render(context)
    except FAULTS as error:
        raise UserError(f"The chat template of {source} does not take these messages: {error}") from None
    return list(_split(text))


def _split(text: str) -> Iterator[Piece]:
    """A text at its marks."""
    outside, *rest = text.split(START)
    yield Piece(outside, learned=False)
    for part in rest:
        inside, _, outside = part.partition(END)
        yield Piece(inside, learned=True)
        yield Piece(outside, learned=False)
