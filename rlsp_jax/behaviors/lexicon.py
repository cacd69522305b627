"""The words by which a written search shows what it is doing. Another language is another value."""

import dataclasses

from rlsp_jax.common import words


@dataclasses.dataclass(frozen=True)
class Lexicon:
    """Words and phrases for each move, matched whole and without regard to case. The default reads Countdown traces.

    `passed` and `failed` are looked for inside a verification, where they tell how it came out.
    """

    attempt: tuple[str, ...] = (words.TRY,)
    verify: tuple[str, ...] = (words.CHECK,)
    passed: tuple[str, ...] = (words.YES,)
    failed: tuple[str, ...] = (words.NO,)
    backtrack: tuple[str, ...] = (words.BACK,)
    answer: tuple[str, ...] = (words.ANSWER,)

    def __post_init__(self):
        for name, phrases in dataclasses.asdict(self).items():
            if isinstance(phrases, str) or not phrases or not all(phrases):
                raise ValueError(f"{name} is {phrases!r}; it must be a tuple of one or more non-empty words.")


COUNTDOWN = Lexicon()
