"""The responses that a step learns from: drawn in chunks that fit memory, and again where groups teach nothing.

A group, the samples of one problem, teaches when its known verdicts hold both correct and wrong: where all responses
have the same outcome, comparing them says nothing. The batch has a place for every group and a fixed shape; chunks are
written into it on the device, as they come.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int

from rlsp_jax.algorithms.drawing import Drawing
from rlsp_jax.common.codes import Verdict
from rlsp_jax.data import ProblemSource
from rlsp_jax.evaluation import Responder
from rlsp_jax.sharding import constrain_rows, replicated
from rlsp_jax.types import Params, PRNGKeyArray, PyTree, Rollout, Verdicts

EMPTY, UNINFORMATIVE, INFORMATIVE = range(3)  # what stands at a group's place in the batch


class Drawn(NamedTuple):
    """A step's batch, what it cost, and which training problems were shown for it."""

    rollout: Rollout
    verdicts: Verdicts
    metrics: dict[str, np.ndarray]
    problems: range


class Drawer:
    """Draws the batches of a stage whose first training problem is number `first`."""

    def __init__(self, mesh: Mesh, responder: Responder, source: ProblemSource, drawing: Drawing, first: int):
        self._responder, self._source, self._drawing, self._first = responder, source, drawing, first
        self._put = make_put_fn(drawing.prompts, drawing.samples)
        self._look = make_look_fn(mesh, drawing.samples)

    def __call__(self, policy: Params, key: PRNGKeyArray, step: int) -> Drawn:
        """The batch of a step: a function of the policy, the key and the step."""
        drawing = self._drawing
        if drawing.dynamic is None and drawing.chunk_rows == drawing.prompts * drawing.samples:
            numbers = next(self._chunks(step))
            rollout, verdicts = self._respond(policy, key, numbers)
            return Drawn(rollout, verdicts, {}, numbers)
        batch, slots, tally = None, np.full(drawing.prompts, EMPTY), Tally(drawing.prompts)
        for numbers in self._chunks(step):
            chunk = self._respond(policy, key, numbers)
            informative, tokens = self._weigh(chunk, len(numbers))
            slots, places = assign(slots, informative)
            batch = self._put(empty_batch(chunk, drawing) if batch is None else batch, chunk, places)
            tally.add(informative, tokens, places)
            if (slots == INFORMATIVE).all():
                break
        assert batch is not None
        rollout, verdicts = batch
        shown = range(self._numbers(step).start, numbers.stop)
        return Drawn(rollout, verdicts, {} if drawing.dynamic is None else tally.metrics(), shown)

    def _weigh(self, chunk: tuple[Rollout, Verdicts], groups: int) -> tuple[np.ndarray, np.ndarray]:
        """Whether each group of a chunk teaches, and its tokens. Without dynamic sampling nobody waits to know."""
        if self._drawing.dynamic is None:
            return np.ones(groups, bool), np.zeros(groups)  # none is ever replaced, and nothing is tallied
        informative, tokens = self._look(*chunk)
        return np.asarray(informative), np.asarray(tokens)

    def _numbers(self, step: int) -> range:
        """The training problems that belong to a step, whether they are drawn or not."""
        start = self._first + step * self._drawing.num_problems
        return range(start, start + self._drawing.num_problems)

    def _chunks(self, step: int) -> Iterator[range]:
        numbers, size = self._numbers(step), self._drawing.chunk or self._drawing.prompts
        return (numbers[at : at + size] for at in range(0, len(numbers), size))

    def _respond(self, policy: Params, key: PRNGKeyArray, numbers: range) -> tuple[Rollout, Verdicts]:
        problems = self._source.problems("train", numbers.start, len(numbers))
        prompts = self._responder.prompts(problems, samples=self._drawing.samples)
        rollout = self._responder.generate(policy, prompts, key)
        rows = [problem for problem in problems for _ in range(self._drawing.samples)]
        return rollout, self._responder.verify(rollout, rows)


def assign(
    slots: Int[np.ndarray, " slots"], informative: Bool[np.ndarray, " groups"]
) -> tuple[Int[np.ndarray, " slots"], Int[np.ndarray, " groups"]]:
    """Where each group of a chunk goes in the batch, and what stands there then.

    Groups fill empty places in order. When none is left, an informative group takes the first uninformative one's
    place. A group's place is the number of slots where it goes nowhere, or is itself replaced by one that follows.
    """
    slots, places = slots.copy(), np.full(len(informative), len(slots))
    for group, teaches in enumerate(informative):
        free = np.flatnonzero(slots == EMPTY)
        if not free.size and teaches:
            free = np.flatnonzero(slots == UNINFORMATIVE)
        if free.size:
            places[places == free[0]] = len(slots)
            places[group] = free[0]
            slots[free[0]] = INFORMATIVE if teaches else UNINFORMATIVE
    return slots, places


class Tally:
    """What a step's draws cost, and what of it was kept."""

    def __init__(self, slots: int):
        self._kept, self._tokens, self._groups, self._informative = np.zeros(slots + 1), 0.0, 0, 0

    def add(self, informative: np.ndarray, tokens: np.ndarray, places: np.ndarray) -> None:
        self._kept[places] = tokens
        self._tokens += float(tokens.sum())
        self._groups += len(informative)
        self._informative += int(informative.sum())

    def metrics(self) -> dict[str, np.ndarray]:
        """Draws are in units of the batch; `rollout/tokens` are all that were generated, those of no use included."""
        slots = len(self._kept) - 1
        values = {
            "rollout/tokens": self._tokens,
            "rollout/wasted_tokens": self._tokens - self._kept[:-1].sum(),
            "rollout/acceptance": self._informative / self._groups,
            "rollout/draws": self._groups / slots,
        }
        return {name: np.asarray(value) for name, value in values.items()}


def empty_batch(chunk: PyTree, drawing: Drawing) -> PyTree:
    """A batch of the chunk's types with nothing in it yet."""
    rows = drawing.prompts * drawing.samples
    return jax.tree.map(lambda x: jnp.zeros((rows, *x.shape[1:]), x.dtype), chunk)


def make_put_fn(slots: int, samples: int):
    """`put(batch, chunk, places) -> batch`, jitted: the chunk's groups at their places; the given batch is donated."""

    @functools.partial(jax.jit, donate_argnums=0)
    def put(batch: PyTree, chunk: PyTree, places: Int[Array, " groups"] | np.ndarray):
        rows = (places[:, None] * samples + jnp.arange(samples)).reshape(-1)  # those of no place lie outside
        return jax.tree.map(lambda old, new: constrain_rows(old.at[rows].set(new, mode="drop")), batch, chunk)

    return put


def make_look_fn(mesh: Mesh, samples: int):
    """`look(rollout, verdicts) -> (whether each group is informative, its tokens)`, on every process; jitted."""

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def look(rollout: Rollout, verdicts: Verdicts):
        return is_informative(verdicts, samples), rollout.mask.sum(axis=1).reshape(-1, samples).sum(axis=1)

    return look


def is_informative(verdicts: Verdicts, samples: int) -> Bool[Array, " groups"]:
    """Whether the known verdicts of each group hold both correct and wrong."""
    outcome = verdicts.outcome.reshape(-1, samples)
    return jnp.any(outcome == Verdict.CORRECT, axis=1) & jnp.any(outcome == Verdict.WRONG, axis=1)
