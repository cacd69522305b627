"""Questions and conversations in the turns of a checkpoint's own chat template."""

import dataclasses
import datetime
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.chat_template import END, START, has_generation, render
from rlsp_jax.data.lessons import ASSISTANT, Lesson, Message, Piece, to_lesson
from rlsp_jax.data.markup import encode_hidden, encode_on, hide, split_at
from rlsp_jax.data.published import CONFIG, DEFAULT, TEMPLATE
from rlsp_jax.data.tokenizer import Tokenizer

PROBE = "xyzzy"  # said by an assistant, to see what a template writes behind it


@dataclasses.dataclass(frozen=True)
class Chat:
    """The question as a user's turn, and the response as the assistant's, by the template that the checkpoint brings.

    What messages say is text: a control token that is spelt out there stays a spelling. In `transformers`, unless asked
    otherwise, a question can end its own turn that way. (Added tokens that are no control tokens, such as Qwen3's
    `<think>`, are tokens wherever they stand.) The template itself writes bos, if it wants it.

    A worked response is written behind the prompt as a rollout is, so that no template can take its thinking away, as
    Qwen3's does with that of past turns; it ends in the token by which the template ends a turn.
    """

    system: str | None = None  # a first message to the model; None is what the template does without one
    template: str | None = None  # in Jinja, or the name of one of the checkpoint's; None is its default one
    before: str = ""  # stands before the question in the user's turn, such as "Problem: "
    after: str = ""  # stands after the question in the user's turn
    today: str = "2024-07-26"  # the date for templates that ask for it: a run is shown the same prompts tomorrow
    variables: tuple[tuple[str, bool | int | str], ...] = ()
    """More that the template reads, such as ("enable_thinking", False)."""

    def __post_init__(self):
        try:
            datetime.date.fromisoformat(self.today)
        except ValueError:
            raise UserError(f"today is {self.today!r}; it must be a date such as 2024-07-26.") from None

    def prompt(self, tokenizer: Tokenizer, question: str) -> list[int]:
        asked = {"role": "user", "content": f"{self.before}{question}{self.after}"}
        messages, hidden = _hide(tokenizer, self._with_system([asked]))
        return encode_hidden(tokenizer, self._text(tokenizer, messages, prompt=True), hidden)

    def response(self, tokenizer: Tokenizer, text: str) -> list[int]:
        turn = _turn(self, tokenizer)
        (text,), hidden = hide([text], tokenizer.conventions.controls)
        return [*encode_on(tokenizer, turn.opening + text, hidden), turn.end]

    def conversation(self, tokenizer: Tokenizer, messages: Sequence[Message]) -> Lesson:
        messages, hidden = _hide(tokenizer, self._with_system(messages))
        if has_generation(self._template(tokenizer)):
            pieces = self._pieces(tokenizer, messages, prompt=False)
        else:
            pieces = list(self._pieces_by_prefix(tokenizer, messages))
        ends = {tokenizer.eos_id, *self.stop_ids(tokenizer)}
        return to_lesson(tokenizer, pieces, hidden, ends, _turn(self, tokenizer).end)

    def stop_ids(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        ends = (*tokenizer.conventions.stop_ids, _turn(self, tokenizer).end)
        return tuple(token for token in dict.fromkeys(ends) if token != tokenizer.eos_id)

    def _with_system(self, messages: Sequence[Message]) -> list[Message]:
        if self.system is None or (messages and messages[0]["role"] == "system"):
            return list(messages)
        return [{"role": "system", "content": self.system}, *messages]

    def _text(self, tokenizer: Tokenizer, messages: Sequence[Message], *, prompt: bool) -> str:
        return "".join(piece.text for piece in self._pieces(tokenizer, messages, prompt=prompt))

    def _pieces(self, tokenizer: Tokenizer, messages: Sequence[Message], *, prompt: bool) -> list[Piece]:
        """The text of messages in the parts that the template marks."""
        return render(
            self._template(tokenizer),
            messages,
            {**tokenizer.conventions.special_tokens, **dict(self.variables)},
            prompt=prompt,
            today=datetime.date.fromisoformat(self.today),
            source=tokenizer.conventions.source if self.template is None else "the experiment's prompts",
        )

    def _pieces_by_prefix(self, tokenizer: Tokenizer, messages: Sequence[Message]) -> Iterator[Piece]:
        """A conversation's text in parts: an assistant chose what its turn adds to the prompt for it."""
        whole, done = self._text(tokenizer, messages, prompt=False), 0
        for n, message in enumerate(messages):
            if message["role"] == ASSISTANT:
                asked = self._text(tokenizer, messages[:n], prompt=True)
                said = self._text(tokenizer, messages[: n + 1], prompt=False)
                if not (whole.startswith(said) and said.startswith(asked) and done <= len(asked)):
                    raise UserError(
                        f"The chat template writes message {n + 1} of a conversation in another way than a prompt has "
                        "it, or when more messages follow, so that what an assistant chose cannot be told from the "
                        "rest: make a demonstration of each turn, or give data.Chat(template=…) one with "
                        "{% generation %}."
                    )
                yield Piece(whole[done : len(asked)], learned=False)
                yield Piece(whole[len(asked) : len(said)], learned=True)
                done = len(said)
        yield Piece(whole[done:], learned=False)

    def _template(self, tokenizer: Tokenizer) -> str:
        """The template in Jinja. Raises `UserError` where there is none."""
        source, templates = tokenizer.conventions.source, tokenizer.conventions.templates
        if self.template is not None and "{" in self.template:
            return self.template
        name = DEFAULT if self.template is None else self.template
        if name in templates:
            return templates[name]
        if not templates:
            raise UserError(
                f"There is no chat template in {source} (chat_template in its {CONFIG}, or a {TEMPLATE}); use "
                "prompts=data.Plain(), or write one: data.Chat(template=…)."
            )
        raise UserError(
            f"There is no chat template {name!r} in {source}, which has {', '.join(templates)}; name one of these with "
            "data.Chat(template=…)."
        )


def _hide(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[list[Message], dict[str, str]]:
    """The messages with stand-ins for what is spelt like control tokens, or like marks, in what they say."""
    places = [(i, name) for i, message in enumerate(messages) for name in message if name != "role"]
    texts, hidden = hide([messages[i][name] for i, name in places], (*tokenizer.conventions.controls, START, END))
    changed = [dict(message) for message in messages]
    for (i, name), text in zip(places, texts, strict=True):
        changed[i][name] = text
    return list(changed), hidden


class Turn(NamedTuple):
    """What a template writes around the words of an assistant."""

    opening: str  # blanks between the prompt and the first word, which the assistant itself has to write
    end: int  # the first control token behind the last word; eos where there is none


@functools.lru_cache(maxsize=16)  # asked for with every response, and found by writing a conversation
def _turn(chat: Chat, tokenizer: Tokenizer) -> Turn:
    said = chat._with_system([{"role": role, "content": PROBE} for role in ("user", ASSISTANT, "user")])
    asked = chat._text(tokenizer, said[:-2], prompt=True)
    whole = chat._text(tokenizer, said, prompt=False)
    opening = whole.removeprefix(asked).partition(PROBE)[0] if whole.startswith(asked) else ""
    parts, controls = whole.split(PROBE), tokenizer.conventions.controls
    behind = split_at(parts[2] if len(parts) == 4 else "", controls)
    end = next((controls[part] for part in behind if part in controls), tokenizer.eos_id)
    return Turn(opening if opening.isspace() else "", end)
