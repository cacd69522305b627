"""Judged responses of a policy to training problems, drawn a portion at a time and kept in the workdir.

    draws/<stage>/<name>.jsonl      Draw rows, a portion in one write

What a resumed run finds there it does not draw again. A response depends on the policy, the key, its problem and its
sample number alone, so that portions drawn before and after an interruption are those of one that never was.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.evaluation import Responder
from rlsp_jax.evaluation.benchmarks import GREEDY
from rlsp_jax.records import Draw, Problem, append_rows, read_rows, to_row
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.promise import Oracle
from rlsp_jax.training.run import Run
from rlsp_jax.types import Params, PRNGKeyArray, Rollout, Verdicts

DRAWS = "draws"  # a folder of a workdir


class Portion(NamedTuple):
    """Samples `first` … `first + count - 1` of some problems: one batch."""

    problems: Sequence[Problem]
    first: int
    count: int

    @property
    def places(self) -> list[tuple[int, int]]:
        """The problem's number and the sample's, by row."""
        return [(p.number, self.first + k) for p in self.problems for k in range(self.count)]


def draw_responses(
    run: Run,
    responder: Responder,
    policy: Params | None,
    problems: Sequence[Problem],
    key: PRNGKeyArray,
    file: Path,
    *,
    samples: int = 1,
    greedy: bool = False,
    oracle: Oracle | None = None,
    abortable: bool = True,
) -> list[Draw]:
    """`samples` responses to each problem, or the greedy one, problem by problem; an oracle adds what it promises.

    Without a policy they must all lie in the file: `UserError` if they do not. Ctrl-C breaks drawing off if that is
    allowed; where the stage's state has moved on already it must not be.
    """
    samples = 1 if greedy else samples
    first = GREEDY if greedy else 0
    found = {(draw.problem, draw.sample): draw for draw in read_draws(file)}
    wanted = [(problem.number, first + k) for problem in problems for k in range(samples)]
    if policy is None and not all(place in found for place in wanted):
        raise UserError(f"{file} has lost responses that this run has learned from; start anew with --overwrite.")
    with run.interrupts.abortable() if abortable else contextlib.nullcontext():
        for portion in portions(problems, samples, first, responder.rows):
            if policy is not None and not all(place in found for place in portion.places):
                run.display.note(f"drawing: {sum(place in found for place in wanted):,} of {len(wanted):,} responses")
                drawn = _draw(responder, policy, portion, key, greedy, oracle)
                append_rows(file, [to_row(draw) for draw in drawn])
                found |= {(draw.problem, draw.sample): draw for draw in drawn}
    return [found[place] for place in wanted]


def draws_folder(workdir: Path, experiment: Experiment, index: int) -> Path:
    """Where the draws of a stage lie."""
    return workdir / DRAWS / experiment.stage_names[index]


def read_draws(file: Path) -> Iterator[Draw]:
    """The draws of a file; a row that was cut off is skipped."""
    for row in read_rows(file):
        promise = row["promise"]
        tokens = tuple(row["tokens"])
        yield Draw(**{**row, "tokens": tokens, "promise": None if promise is None else tuple(promise)})


def portions(problems: Sequence[Problem], samples: int, first: int, rows: int) -> Iterator[Portion]:
    """Batches of at most `rows` rows that together hold every sample of every problem once."""
    count = math.gcd(samples, rows)
    for start in range(0, len(problems), rows // count):
        for sample in range(first, first + samples, count):
            yield Portion(problems[start : start + rows // count], sample, count)


def _draw(
    responder: Responder, policy: Params, portion: Portion, key: PRNGKeyArray, greedy: bool, oracle: Oracle | None
) -> list[Draw]:
    """The responses of a portion, which is filled up to the one shape."""
    missing = responder.rows // portion.count - len(portion.problems)
    asked = [*portion.problems, *[portion.problems[-1]] * missing]
    prompts = responder.prompts(asked, samples=portion.count, first=max(portion.first, 0))
    rollout = responder.generate(policy, prompts, key, greedy=greedy)
    rows = [problem for problem in asked for _ in range(portion.count)]
    verdicts = responder.verify(rollout, rows)
    if oracle is not None:
        verdicts = verdicts._replace(promise=oracle.promise(rollout))
    return _records(responder, rollout, verdicts, rows, portion)


def _records(
    responder: Responder, rollout: Rollout, verdicts: Verdicts, rows: Sequence[Problem], portion: Portion
) -> list[Draw]:
    """The rows of a portion as they are written down."""
    texts = responder.texts(rollout)
    fetched = (rollout.tokens, rollout.mask, rollout.stop_reason, verdicts.outcome, verdicts.promise)
    tokens, mask, reasons, outcome, promise = jax.device_get(fetched)
    return [
        Draw(
            problem=number,
            sample=sample,
            question=rows[i].question,
            tokens=tuple(tokens[i][mask[i]].tolist()),
            response=texts[i],
            num_tokens=int(mask[i].sum()),
            stop_reason=StopReason(reasons[i]).name.lower(),
            verdict=Verdict(outcome[i]).name.lower(),
            promise=None if promise is None else tuple(np.round(promise[i][mask[i]].astype(float), 6).tolist()),
        )
        for i, (number, sample) in enumerate(portion.places)
    ]
