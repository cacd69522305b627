"""Draws lie in the workdir as they come: what is there is not drawn again, and nothing else is taken for it."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.evaluation import Responder
from rlsp_jax.records import Problem
from rlsp_jax.training.draws import draw_responses, portions, read_draws
from rlsp_jax.training.promise import Oracle
from rlsp_jax.types import PromptBatch, Rollout, Verdicts

PROBLEMS = [Problem(number, "easy", f"question {number}\n", {}) for number in (7, 8, 9, 10, 11)]
POLICY, KEY, TIME = {"weight": 0}, jax.random.key(0), 6
VERDICTS = [Verdict.CORRECT, Verdict.WRONG, Verdict.UNKNOWN]


class Parrot(Responder):
    """Answers with numbers that tell problem and sample, and stops, or is interrupted, after some batches."""

    def __init__(self, rows: int, batches: int = 1000):
        self.rows, self.left, self.made = rows, batches, 0

    def prompts(self, problems, *, samples=1, first=0):
        number = np.repeat(np.asarray([problem.number for problem in problems], np.int32), samples)
        sample = np.tile(np.arange(first, first + samples, dtype=np.int32), len(problems))
        assert len(number) == self.rows
        shown = np.zeros((self.rows, 1), np.int32)
        return PromptBatch(*map(jnp.asarray, (shown, shown == 0, number, sample)), ())

    def generate(self, policy, prompts, key, *, greedy=False):
        if not self.left:
            raise KeyboardInterrupt
        self.left, self.made = self.left - 1, self.made + 1
        number, sample = np.asarray(prompts.problem), np.asarray(prompts.sample)
        length = 1 + (number + sample) % TIME
        mask = np.arange(TIME) < length[:, None]
        tokens = np.where(mask, (100 * number + sample + 1000 * greedy)[:, None], -1).astype(np.int32)
        reason = np.where(length == TIME, StopReason.LENGTH, StopReason.EOS).astype(np.int8)
        zeros = np.zeros(mask.shape, np.float32)
        return Rollout(prompts, *map(jnp.asarray, (tokens, mask, zeros, zeros, reason)))

    def verify(self, rollout, problems):
        number, sample = np.asarray(rollout.prompts.problem), np.asarray(rollout.prompts.sample)
        assert [problem.number for problem in problems] == number.tolist()
        codes = np.asarray(VERDICTS, np.int8)[(number + 2 * sample) % 3]
        nothing = np.zeros(self.rows, np.int32)
        return Verdicts(*map(jnp.asarray, (codes, nothing, nothing > 0)))

    def texts(self, rollout, indices=None):
        rows = zip(np.asarray(rollout.tokens), np.asarray(rollout.mask), strict=True)
        return [" ".join(map(str, row[mask])) for row, mask in rows]


@pytest.mark.parametrize("seed", range(30))
def test_portions_hold_every_sample_of_every_problem_once_and_fit_the_batch(seed):
    rng = random.Random(seed)
    problems = [Problem(n, "", "", {}) for n in range(rng.randint(1, 9))]
    samples, first, rows = rng.randint(1, 9), rng.choice([-1, 0]), rng.choice([1, 4, 6, 16])
    cut = list(portions(problems, samples, first, rows))
    places = [place for portion in cut for place in portion.places]
    assert sorted(places) == [(problem.number, first + k) for problem in problems for k in range(samples)]
    assert all(len(portion.places) <= rows and rows % portion.count == 0 for portion in cut)


def draw(run, responder, file, **options):
    return draw_responses(run, responder, POLICY, PROBLEMS, KEY, file, **{"samples": 4, **options})


def test_a_draw_is_what_was_generated_and_judged(run, tmp_path):
    draws = draw(run, Parrot(8), tmp_path / "0.jsonl")
    assert [(d.problem, d.sample) for d in draws] == [(p.number, k) for p in PROBLEMS for k in range(4)]
    for d in draws:
        length = 1 + (d.problem + d.sample) % TIME
        assert d.tokens == (100 * d.problem + d.sample,) * length and d.num_tokens == length  # no padding
        assert d.question == f"question {d.problem}\n" and d.promise is None
        assert d.verdict == VERDICTS[(d.problem + 2 * d.sample) % 3].name.lower()
        assert d.stop_reason == ("length" if length == TIME else "eos")
    assert {d.verdict for d in draws} == {"correct", "wrong", "unknown"}
    assert list(read_draws(tmp_path / "0.jsonl")) == draws


def test_draws_do_not_depend_on_how_many_are_drawn_at_a_time(run, tmp_path):
    draws = [draw(run, Parrot(rows), tmp_path / f"{rows}.jsonl") for rows in (2, 4, 6, 8, 64)]
    assert all(some == draws[0] for some in draws)


def test_what_was_drawn_before_an_interruption_is_not_drawn_again(run, tmp_path):
    whole = draw(run, Parrot(8), tmp_path / "whole.jsonl")
    for batches in (0, 1, 2):
        file, rest = tmp_path / f"{batches}.jsonl", Parrot(8)
        with pytest.raises(KeyboardInterrupt):
            draw(run, Parrot(8, batches), file)
        assert draw(run, rest, file) == whole and rest.made == 3 - batches
        assert draw(run, Parrot(8, 0), file) == whole
        assert file.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_portion_whose_writing_was_cut_off_is_drawn_again(run, tmp_path):
    file = tmp_path / "0.jsonl"
    whole = draw(run, Parrot(8), file)
    file.write_bytes(file.read_bytes()[:-500])
    again = Parrot(8)
    assert draw(run, again, file) == whole and 0 < again.made < 3


def test_draws_that_were_learned_from_and_are_gone_are_one_clear_sentence(run, tmp_path):
    file = tmp_path / "0.jsonl"
    draw(run, Parrot(8), file)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(UserError, match="0.jsonl has lost responses that this run has learned from"):
        draw_responses(run, Parrot(8), None, PROBLEMS, KEY, file, samples=4)


def test_the_greedy_response_is_one_and_has_no_number(run, tmp_path):
    draws = draw(run, Parrot(8), tmp_path / "0.jsonl", greedy=True)
    assert [(d.problem, d.sample) for d in draws] == [(p.number, -1) for p in PROBLEMS]
    assert all(token >= 1000 for d in draws for token in d.tokens)


def test_an_oracle_adds_what_it_promises_of_each_token(run, tmp_path):
    promise = lambda _, rollout: jnp.where(rollout.mask, 1 / (2.0 + jnp.arange(TIME)), 0.0)  # noqa: E731
    draws = draw(run, Parrot(8), tmp_path / "0.jsonl", oracle=Oracle({}, promise, promise))
    for d in draws:
        assert d.promise == pytest.approx([1 / (2 + t) for t in range(d.num_tokens)], abs=1e-6)
    assert list(read_draws(tmp_path / "0.jsonl")) == draws
