"""Control tokens in texts: those that a format writes are tokens, those that a user types are text."""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from rlsp_jax.data.tokenizer import NOTHING, Tokenizer

_FREE = range(0x100000, 0x10FFFE)  # characters that Unicode leaves to private use


def split_at(text: str, spelt: Iterable[str]) -> list[str]:
    """A text in parts: each spelling that occurs, the longest one where several begin, and what stands between them."""
    return [part for part in _pattern(tuple(spelt)).split(text) if part]


def hide(texts: Sequence[str], spelt: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """The texts with a character in place of each such spelling, and what these characters stand for.

    They are characters that occur in none of the texts, so that a template can go on with them as with any text.
    """
    pattern = _pattern(tuple(spelt))
    found = sorted({match for text in texts for match in pattern.findall(text)})
    if not found:
        return list(texts), {}
    used = set().union(*texts)
    free = (chr(code) for code in _FREE if chr(code) not in used)
    stands = dict(zip(found, free, strict=False))
    return [pattern.sub(lambda match: stands[match[0]], text) for text in texts], {c: s for s, c in stands.items()}


def encode_hidden(tokenizer: Tokenizer, text: str, hidden: Mapping[str, str]) -> list[int]:
    """The ids of what a format has written around texts of `hide`: only the format's own control tokens are tokens.

    Without anything hidden these are the ids of `encode_marked`.
    """
    if not hidden:
        return tokenizer.encode_marked(text)
    controls, ids = tokenizer.conventions.controls, []
    for part in split_at(text, controls):
        ids += [controls[part]] if part in controls else tokenizer.encode(show(part, hidden))
    return ids


def encode_on(tokenizer: Tokenizer, text: str, hidden: Mapping[str, str] = NOTHING) -> list[int]:
    """As `encode_hidden`, of a text that goes on where another one ended.

    Tokenizers that put a blank before every text must not do so here: it is encoded behind a line break, and what that
    adds is taken away again.
    """
    if not text or tokenizer.decode(tokenizer.encode("a")) == "a":
        return encode_hidden(tokenizer, text, hidden)
    before, ids = (encode_hidden(tokenizer, f"\n{part}", hidden) for part in ("", text))
    return ids[len(before) :] if ids[: len(before)] == before else encode_hidden(tokenizer, text, hidden)


def show(text: str, hidden: Mapping[str, str]) -> str:
    """A text with its spellings back in place."""
    return text.translate({ord(character): spelling for character, spelling in hidden.items()})


@functools.lru_cache(maxsize=16)
def _pattern(spelt: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, spelt), key=len, reverse=True)
    return re.compile("(" + ("|".join(map(re.escape, longest_first)) or "(?!)") + ")")  # (?!) is found nowhere
