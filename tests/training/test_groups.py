"""What a step learns from, when the responses are scripted: chunks, groups that teach, and what is wasted on others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.algorithms.drawing import Drawing, DynamicSampling
from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.data import Countdown
from rlsp_jax.evaluation import Responder
from rlsp_jax.sharding import MeshConfig, make_mesh, place_rows
from rlsp_jax.training import groups
from rlsp_jax.training.groups import EMPTY, INFORMATIVE, UNINFORMATIVE, Drawer, assign, is_informative
from rlsp_jax.types import PromptBatch, Rollout, Verdicts

RIGHT, WRONG, UNKNOWN = Verdict.CORRECT, Verdict.WRONG, Verdict.UNKNOWN
SAMPLES, PROMPTS, TIME = 4, 8, 5
FIRST = 100  # the stage's first training problem


class Scripted(Responder):
    """Says of problem n's samples what `script(n)` lists; the tokens of a response spell its problem and sample."""

    def __init__(self, mesh, script):
        self._mesh, self._script, self.asked = mesh, script, []

    def prompts(self, problems, *, samples=1, first=0):
        number = np.repeat([problem.number for problem in problems], samples).astype(np.int32)
        sample = np.tile(np.arange(samples, dtype=np.int32), len(problems))
        shown = np.ones((len(number), 1), np.int32)
        return PromptBatch(*place_rows(self._mesh, (shown, shown > 0, number, sample, {"twice": 2 * number})))

    def generate(self, policy, prompts, key, *, greedy=False):
        self.asked.append(sorted(set(np.asarray(prompts.problem).tolist())))
        tokens = jnp.stack([prompts.problem, prompts.sample, *[prompts.sample] * (TIME - 2)], axis=1)
        mask = jnp.arange(TIME) < lengths(prompts.problem)[:, None]
        zeros = jnp.zeros(mask.shape)
        return Rollout(prompts, tokens, mask, zeros, zeros, jnp.full(len(mask), StopReason.EOS, jnp.int8))

    def verify(self, rollout, problems):
        said = [self._script(number) for number in np.asarray(rollout.prompts.problem)[::SAMPLES].tolist()]
        outcome = np.asarray(said, np.int8).reshape(-1)
        assert [problem.number for problem in problems] == np.asarray(rollout.prompts.problem).tolist()
        return Verdicts(jnp.asarray(outcome), jnp.zeros(len(outcome), jnp.int32), jnp.ones(len(outcome), bool))


def lengths(problem):
    return 1 + problem % TIME


def draw(script, *, chunk=None, max_draws=None, step=0):
    """One step's batch and the problems asked for, chunk by chunk."""
    mesh = make_mesh(MeshConfig())
    with jax.set_mesh(mesh):
        responder = Scripted(mesh, script)
        dynamic = None if max_draws is None else DynamicSampling(max_draws)
        drawing = Drawing(PROMPTS, SAMPLES, chunk, dynamic)
        drawer = Drawer(mesh, responder, Countdown(numbers=3), drawing, FIRST)
        return drawer({}, jax.random.key(0), step), responder.asked


def problems_of(drawn):
    """The problem of each group of a batch, after a look at whether its rows belong together."""
    number = np.asarray(drawn.rollout.prompts.problem).reshape(-1, SAMPLES)
    sample = np.asarray(drawn.rollout.prompts.sample).reshape(-1, SAMPLES)
    assert (number == number[:, :1]).all() and (sample == np.arange(SAMPLES)).all()
    np.testing.assert_array_equal(drawn.rollout.tokens[:, 0], number.reshape(-1))
    np.testing.assert_array_equal(drawn.rollout.prompts.truth["twice"], 2 * number.reshape(-1))
    assert len(number) == PROMPTS
    return number[:, 0].tolist()


def tokens_of(numbers) -> int:
    return SAMPLES * sum(int(lengths(number)) for number in numbers)


def mixed(number):
    return [RIGHT, WRONG, WRONG, RIGHT]


def all_right(number):
    return [RIGHT] * SAMPLES


# ---- chunks ----


@pytest.mark.parametrize("chunk", [8, 4, 2])
def test_chunks_make_the_batch_that_is_drawn_at_once(chunk):
    whole, _ = draw(mixed, step=3)
    drawn, asked = draw(mixed, chunk=chunk, step=3)
    jax.tree.map(np.testing.assert_array_equal, drawn[:2], whole[:2])
    first = FIRST + 3 * PROMPTS
    assert asked == [list(range(n, n + chunk)) for n in range(first, first + PROMPTS, chunk)]
    assert drawn.metrics == whole.metrics == {} and drawn.problems == whole.problems == range(first, first + PROMPTS)


def test_without_dynamic_sampling_no_chunk_is_waited_for(monkeypatch):
    def wait(*chunk):
        raise AssertionError("the chunk was looked at")

    monkeypatch.setattr(groups, "make_look_fn", lambda mesh, samples: wait)
    draw(mixed, chunk=2)
    with pytest.raises(AssertionError, match="looked at"):
        draw(mixed, chunk=2, max_draws=2)


def test_a_batch_keeps_its_rows_spread_over_the_mesh():
    mesh = make_mesh(MeshConfig())
    drawn, _ = draw(mixed, chunk=2)
    assert len(drawn.rollout.tokens.sharding.device_set) == mesh.size == 8
    assert drawn.rollout.tokens.addressable_shards[0].data.shape == (PROMPTS * SAMPLES // 8, TIME)


# ---- dynamic sampling ----


def test_groups_that_all_teach_are_drawn_once():
    drawn, asked = draw(mixed, max_draws=3)
    assert problems_of(drawn) == asked[0] == list(range(FIRST, FIRST + PROMPTS)) and len(asked) == 1
    told = {name: float(value) for name, value in drawn.metrics.items()}
    tokens = tokens_of(asked[0])
    assert told == {
        "rollout/tokens": tokens, "rollout/wasted_tokens": 0, "rollout/acceptance": 1, "rollout/draws": 1,
    }  # fmt: skip


@pytest.mark.parametrize("verdict", [RIGHT, WRONG, UNKNOWN])
def test_where_no_group_teaches_the_step_draws_all_it_may_and_learns_from_the_first_ones(verdict):
    drawn, asked = draw(lambda number: [verdict] * SAMPLES, max_draws=3)
    assert problems_of(drawn) == list(range(FIRST, FIRST + PROMPTS))
    assert sum(asked, []) == list(range(FIRST, FIRST + 3 * PROMPTS)) == list(drawn.problems)
    told = {name: float(value) for name, value in drawn.metrics.items()}
    assert told["rollout/acceptance"] == 0 and told["rollout/draws"] == 3
    assert told["rollout/tokens"] == tokens_of(range(FIRST, FIRST + 3 * PROMPTS))
    assert told["rollout/wasted_tokens"] == tokens_of(range(FIRST + PROMPTS, FIRST + 3 * PROMPTS))


def test_scarce_groups_that_teach_replace_others_and_the_batch_keeps_its_shape():
    """Every fifth problem teaches: 5 of 24, so that 3 places keep what was drawn first."""
    script = lambda number: mixed(number) if number % 5 == 0 else all_right(number)  # noqa: E731
    drawn, _ = draw(script, max_draws=3)
    teaching = [n for n in range(FIRST, FIRST + 24) if n % 5 == 0]
    assert problems_of(drawn) == [100, 110, 115, 120, 104, 105, 106, 107]
    assert set(teaching) <= set(problems_of(drawn))
    told = {name: float(value) for name, value in drawn.metrics.items()}
    assert told["rollout/acceptance"] == len(teaching) / 24
    assert told["rollout/wasted_tokens"] == tokens_of(set(range(FIRST, FIRST + 24)) - set(problems_of(drawn)))


def test_a_step_stops_drawing_at_the_chunk_that_completes_it():
    """The second half of the problems teaches; of further draws, the third chunk of two completes the batch."""
    script = lambda number: mixed(number) if number >= FIRST + 3 else all_right(number)  # noqa: E731
    drawn, asked = draw(script, chunk=2, max_draws=4)
    assert [numbers[0] for numbers in asked] == list(range(FIRST, FIRST + 12, 2))
    assert problems_of(drawn) == [108, 109, 110, *range(FIRST + 3, FIRST + 8)]
    assert float(drawn.metrics["rollout/draws"]) == 12 / PROMPTS and list(drawn.problems) == list(range(100, 112))
    assert float(drawn.metrics["rollout/wasted_tokens"]) == tokens_of([100, 101, 102, 111])


def test_every_step_owns_its_problems_whether_or_not_it_drew_them():
    shown = [draw(mixed, max_draws=3, step=step)[0].problems for step in range(3)]
    assert shown == [range(start, start + PROMPTS) for start in (FIRST, FIRST + 24, FIRST + 48)]


def test_unknown_verdicts_are_no_sign_of_either_kind():
    outcome = [[RIGHT, UNKNOWN, UNKNOWN], [WRONG, UNKNOWN, WRONG], [UNKNOWN] * 3, [RIGHT, UNKNOWN, WRONG], [RIGHT] * 3]
    verdicts = Verdicts(jnp.asarray(outcome, jnp.int8).reshape(-1), jnp.zeros(15, jnp.int32), jnp.ones(15, bool))
    assert is_informative(verdicts, 3).tolist() == [False, False, False, True, False]


# ---- places ----


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=6), st.integers(1, 8))
def test_places_are_those_of_a_slow_bookkeeping(chunks, size):
    """A list of groups, in which a new one takes the first empty place, else that of the first one that is no use."""
    batch: list[tuple[int, bool] | None] = [None] * size
    slots, written, name = np.full(size, EMPTY), [None] * size, 0
    for chunk in chunks:
        names = list(range(name, name + len(chunk)))
        name += len(chunk)
        for group, teaches in zip(names, chunk, strict=True):
            useless = next((i for i, held in enumerate(batch) if held is not None and not held[1]), None)
            place = batch.index(None) if None in batch else useless if teaches else None
            if place is not None:
                batch[place] = (group, teaches)
        slots, places = assign(slots, np.asarray(chunk))
        kept = places[places < size]
        assert len(set(kept.tolist())) == len(kept), "two groups of a chunk would be written to one place"
        for group, place in zip(names, places.tolist(), strict=True):
            if place < size:
                written[place] = group
    assert written == [held and held[0] for held in batch]
    kinds = [EMPTY if held is None else INFORMATIVE if held[1] else UNINFORMATIVE for held in batch]
    assert slots.tolist() == kinds
