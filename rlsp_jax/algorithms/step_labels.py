"""Steps of a response, each with a label before it: pure functions of token ids."""

import itertools
import re
from collections.abc import Sequence


def step_starts(pieces: Sequence[bytes], marker: str) -> list[int]:
    """Where the steps of a response begin, of which `pieces` are the bytes of each token.

    A step ends with the token that completes `marker`, as those that `rewards.PromiseSteps` pays for do. What follows
    without any text, such as eos, belongs to the last step; so there is one wherever there is a token.
    """
    text = b"".join(pieces)
    owners = [i for i, piece in enumerate(pieces) for _ in piece]
    ends = {owners[match.end(1) - 1] for match in re.finditer(b"(?=(%s))" % re.escape(marker.encode()), text)}
    last = owners[-1] if owners else 0  # the last token that has any text
    return [0, *sorted(end + 1 for end in ends if end < last)] if pieces else []


def rises(promise: Sequence[float], starts: Sequence[int]) -> list[float]:
    """How far the promise rises in each step: its value after the step's last token less that before the step.

    Before the first step it is the one after the response's first token: an outcome model judges no empty response.
    """
    ends = [*(start - 1 for start in starts[1:]), len(promise) - 1]
    return [promise[end] - promise[before] for before, end in itertools.pairwise([0, *ends])]


def with_labels(tokens: Sequence[int], starts: Sequence[int], labels: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The tokens with those of a label before each step."""
    ends = [*starts[1:], len(tokens)]
    steps = zip(labels, starts, ends, strict=True)
    return tuple(itertools.chain(*((*label, *tokens[start:end]) for label, start, end in steps)))
