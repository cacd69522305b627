"""The responses a page carries: a choice of samples cut into moves, and one problem told before and after."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rlsp_jax.behaviors.detectors import Segment, detect, segments
from rlsp_jax.records import Sample

MAX_PROBLEMS = 100
MAX_SAMPLES = 5  # of each problem and stage, the greedy one included

_CORRECT = "correct"
_GREEDY = -1


@dataclasses.dataclass(frozen=True)
class Told:
    """One response of the pair that opens the page."""

    stage: str
    sample: Sample
    moves: tuple[Segment, ...]


@dataclasses.dataclass(frozen=True)
class Pair:
    """The same problem answered at the start and at the end."""

    question: str
    told: tuple[Told, ...]


def browser_data(by_stage: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    """What the sample browser reads, as JSON values: stages, each with responses in the order of their problems."""
    chosen = _choose_problems([sample for samples in by_stage.values() for sample in samples])
    return {
        "stages": [
            {"label": label, "responses": [_response(s) for s in _kept(samples, chosen)]}
            for label, samples in by_stage.items()
        ]
    }


def opening_pair(by_stage: Mapping[str, Sequence[Sample]]) -> Pair | None:
    """A problem that the last stage answers right with most search, and that the one before got wrong if there is one.

    None when the stages share no greedy response.
    """
    if len(by_stage) < 2:
        return None
    *_, (first, before), (last, after) = (
        (label, {s.problem: s for s in samples if s.sample == _GREEDY}) for label, samples in by_stage.items()
    )
    shared = [problem for problem in after if problem in before]
    if not shared:
        return None

    def interest(problem: int) -> tuple[bool, bool, int, int]:
        right = after[problem].verdict == _CORRECT
        turns = detect(after[problem].response, right).backtracks
        # Four turns show a search; beyond that, a shorter one is easier to read.
        return right, before[problem].verdict != _CORRECT, min(turns, 4), -after[problem].num_tokens

    problem = max(shared, key=interest)
    told = ((first, before[problem]), (last, after[problem]))
    return Pair(after[problem].question.strip(), tuple(Told(label, s, segments(s.response)) for label, s in told))


def _choose_problems(samples: Sequence[Sample]) -> set[int]:
    """At most `MAX_PROBLEMS`, as evenly from the levels as they go."""
    by_level: dict[str, list[int]] = {}
    for problem, level in sorted({(s.problem, s.level) for s in samples}):
        by_level.setdefault(level, []).append(problem)
    rounds = max((len(problems) for problems in by_level.values()), default=0)
    turns = [problems[i] for i in range(rounds) for problems in by_level.values() if i < len(problems)]
    return set(turns[:MAX_PROBLEMS])


def _kept(samples: Sequence[Sample], chosen: set[int]) -> list[Sample]:
    kept: list[Sample] = []
    counts: dict[int, int] = {}
    for sample in sorted(samples, key=lambda s: (s.problem, s.sample)):
        counts[sample.problem] = counts.get(sample.problem, 0) + 1
        if sample.problem in chosen and counts[sample.problem] <= MAX_SAMPLES:
            kept.append(sample)
    return kept


def _response(sample: Sample) -> dict[str, Any]:
    return {
        "problem": sample.problem,
        "level": sample.level,
        "question": sample.question.strip(),
        "sample": sample_name(sample),
        "verdict": sample.verdict,
        "tokens": sample.num_tokens,
        "stop": sample.stop_reason,
        "moves": [list(move) for move in segments(sample.response)],
    }


def sample_name(sample: Sample) -> str:
    return "greedy" if sample.sample == _GREEDY else f"sample {sample.sample + 1}"
