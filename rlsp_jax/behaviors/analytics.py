"""Behaviours over many responses."""

from collections.abc import Sequence

from rlsp_jax.behaviors.detectors import detect
from rlsp_jax.behaviors.lexicon import COUNTDOWN, Lexicon
from rlsp_jax.records import Behaviors


def mean_behaviors(responses: Sequence[str], correct: Sequence[bool], lexicon: Lexicon = COUNTDOWN) -> Behaviors:
    """Mean counts per response. Raises ValueError when there is no response, or not one verdict for each."""
    if not responses or len(responses) != len(correct):
        raise ValueError(
            f"{len(responses)} responses came with {len(correct)} verdicts; means need one or more, one each."
        )
    counts = [detect(text, bool(right), lexicon) for text, right in zip(responses, correct, strict=True)]

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    return Behaviors(
        backtracks=mean([count.backtracks for count in counts]),
        verifications=mean([count.verifications for count in counts]),
        attempts=mean([count.attempts for count in counts]),
        wrong_to_right=mean([count.wrong_to_right for count in counts]),
        repetition=mean([count.repetition for count in counts]),
    )
