"""The heuristic dense reward against a regular expression, sets and fractions."""

import re
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Countdown, SearchTraces, identity
from rlsp_jax.records import Problem
from rlsp_jax.rewards import ReferenceSteps
from rlsp_jax.rewards.byte_text import expand
from rlsp_jax.rewards.hashing import hash_items
from rlsp_jax.rewards.reference_steps import MAX_STEPS, _hash, encode_steps, key_of, read_values
from tests.rewards.texts import Tokens, verdicts

TOKENS = Tokens(pieces=["12", "=1", "= $", "1,0", "answer:", "00", "5.", "=-"])
BATCH, TIME = 6, 64
KERNEL = ReferenceSteps(max_values=8)
RUN = jax.jit(lambda rollout, starts: KERNEL(rollout, verdicts(rollout, answer_start=starts), TOKENS.device, ())[0])


def problems(references):
    return [Problem(i, "", "", {}, tuple(steps)) for i, steps in enumerate(references)]


def rollout_of(texts, references, time=TIME):
    rollout = TOKENS.rollout(texts, time)
    return rollout._replace(prompts=rollout.prompts._replace(steps=jnp.asarray(encode_steps(problems(references)))))


# ---- slow ----

VALUE = re.compile(r"=[ $]{0,3}(-?)(?:(\d{1,3}(?!\d)(?:,\d{3}(?!\d)){0,2})|(\d+))?(?:\.(\d+))?")


def slow_values(text: str):
    """(value or None where it is too long to be read, place of its last character) right of each = in order."""
    for found in list(re.finditer("=", text))[: KERNEL.max_values]:
        value = VALUE.match(text, found.start())
        assert value is not None
        whole, fraction = (value[2] or value[3] or "").replace(",", ""), value[4] or ""
        if whole or fraction:
            number = Fraction(f"{value[1]}{whole or 0}.{fraction or 0}")
            yield (number if max(len(whole), len(fraction)) <= 9 else None), value.end() - 1


def slow_parts(text: str, reference):
    """(place, payment) of each value that is paid for."""
    given = {Fraction(step.replace(",", "")) for step in reference}
    seen, strayed = set(), False
    for value, place in slow_values(text):
        if value in given and value not in seen:
            seen.add(value)
            yield place, Fraction(1, len(given) + 1)
        elif value not in given and not strayed:
            strayed = True
            yield place, Fraction(-1, len(given) + 1)


def slow_score(text: str, reference) -> Fraction:
    given, made = {Fraction(step.replace(",", "")) for step in reference}, {value for value, _ in slow_values(text)}
    return Fraction(len(given & made) - min(1, len(made - given)), len(given) + 1)


# ---- the kernel ----

numbers = st.one_of(
    st.integers(0, 30).map(str),
    st.sampled_from(["1,000", "1000", "-3", "0.5", ".50", "12", "1,00", "-0", "007", "1234567890", "0.3333333333"]),
)
pieces = st.one_of(
    st.tuples(st.sampled_from(["=", "= ", "= $", "=  $", "12=", "a="]), numbers).map("".join), st.just("b, ")
)
texts = st.lists(st.lists(pieces, max_size=5).map(" ".join), min_size=BATCH, max_size=BATCH)
references = st.lists(
    st.lists(st.one_of(st.integers(0, 30).map(str), st.sampled_from(["1,000", "-3", "0.50"])), min_size=1, max_size=4),
    min_size=BATCH, max_size=BATCH,
)  # fmt: skip


@given(texts, references)
def test_rewards_sum_to_the_score_and_stand_where_values_end(texts, references):
    rollout = rollout_of(texts, references, time=160)
    reward, valid = RUN(rollout, rollout.mask.sum(axis=1))
    assert np.asarray(valid).all()
    for i, (text, reference) in enumerate(zip(texts, references, strict=True)):
        ids = np.asarray(rollout.tokens)[i][np.asarray(rollout.mask)[i]]
        owner = [t for t, token in enumerate(ids) for _ in TOKENS.pieces[token]]
        expected = np.zeros(reward.shape[1])
        for place, paid in slow_parts(text, reference):
            expected[owner[place]] += float(paid)
        long = any(value is None for value, _ in slow_values(text))  # such a number is not read to its end
        if not long:
            np.testing.assert_allclose(reward[i], expected, atol=1e-6, err_msg=repr((text, reference)))
        assert float(reward[i].sum()) == pytest.approx(float(slow_score(text, reference)), abs=1e-6), (text, reference)


def test_only_what_stands_before_the_first_final_answer_counts():
    texts, references = ["a=5 answer: =7", "=7 answer: 5"], [["5", "7"], ["5", "7"]]
    rollout = rollout_of([list(text.encode()) for text in texts], references)  # a token a byte
    starts = [text.index("answer") for text in texts]
    reward, _ = KERNEL(rollout, verdicts(rollout, answer_start=starts), TOKENS.device, ())[0]
    np.testing.assert_allclose(np.asarray(reward).sum(axis=1), [1 / 3, 1 / 3], rtol=1e-6)


def test_problems_without_a_reference_and_texts_that_are_cut_are_not_valid():
    rollout = rollout_of(["=5", "=5"], [[], ["5"]])
    _, valid = RUN(rollout, rollout.mask.sum(axis=1))
    assert valid.tolist() == [False, True]
    long = Tokens(pieces=["=5" * 20])
    rollout = long.rollout([[len(long.pieces) - 1] * TIME], TIME)
    rollout = rollout._replace(prompts=rollout.prompts._replace(steps=jnp.asarray(encode_steps(problems([["5"]])))))
    _, valid = KERNEL(rollout, verdicts(rollout), long.device, ())[0]
    assert valid.tolist() == [False]


def test_prompts_that_carry_no_reference_are_one_clear_sentence():
    rollout = TOKENS.rollout(["=5"], TIME)
    with pytest.raises(UserError, match="compares with reference solutions, but the prompts carry none"):
        KERNEL(rollout, verdicts(rollout), TOKENS.device, ())
    with pytest.raises(UserError, match="max_values is 0"):
        ReferenceSteps(max_values=0)


def test_no_more_values_are_read_than_are_asked_for():
    text = " ".join(["=1"] * KERNEL.max_values + ["=2"])
    rollout = rollout_of([text], [["1", "2"]])
    reward, _ = KERNEL(rollout, verdicts(rollout), TOKENS.device, ())[0]
    assert float(reward.sum()) == pytest.approx(1 / 3)
    more = ReferenceSteps(max_values=KERNEL.max_values + 1)
    assert float(more(rollout, verdicts(rollout), TOKENS.device, ())[0].reward.sum()) == pytest.approx(2 / 3)


# ---- the host's side ----


@given(st.lists(st.tuples(*[st.integers(0, 2**31 - 1)] * 4), min_size=1, max_size=5))
def test_the_hosts_hash_is_the_devices(rows):
    expected = np.asarray(hash_items(jnp.asarray(rows, jnp.int32)))
    assert [_hash(row) for row in rows] == expected.tolist()


def test_one_number_has_one_key_however_it_is_written():
    for same in (["1000", "1,000", "$1,000", " 1000.0", "01000"], ["0.5", ".5", "0.50"], ["0", "-0", "0.00"]):
        assert len({key_of(text) for text in same}) == 1
    different = ["0", "1", "10", "0.1", "0.01", "-1", "1.1", "11"]
    assert len({key_of(text) for text in different}) == len(different)
    assert all(key_of(text) for text in different)
    assert {key_of(text) for text in ("", "x", "1/2", "1234567890", "5 apples")} == {0}


def test_a_reference_keeps_no_value_that_the_device_cannot_read():
    texts = ["0.3333333333", "33.33333333333", "0.50000000000", "1234567890", "000000000012", "0.333333333", "12.5"]
    wide = Tokens(pieces=["="])
    rollout = wide.rollout([f"={text} " for text in texts], 32)
    text = expand(rollout.tokens, rollout.mask, wide.device)
    read = np.asarray(read_values(text, 1).key)[:, 0]
    assert read.tolist() == [key_of(text) for text in texts]
    assert (read > 0).tolist() == [False] * 5 + [True] * 2


def test_a_reference_is_its_distinct_readable_values_in_order():
    keys = encode_steps(problems([["5", "7", "5.0", "x"], [], list(map(str, range(50)))]))
    assert keys.dtype == np.uint32 and keys.shape == (3, MAX_STEPS)
    assert keys[0].tolist() == [key_of("5"), key_of("7"), *[0] * (MAX_STEPS - 2)]
    assert not keys[1].any() and keys[2].all()


def test_countdowns_own_demonstrations_earn_the_whole_reference_where_they_take_its_way():
    source = Countdown(max_target=99)
    found = source.problems("train", 0, 40)
    traces = [SearchTraces(keep=0.0, give_up=False).trace(problem, 0) for problem in found]
    rollout = rollout_of(traces, [problem.steps for problem in found], time=200)
    starts = rollout.mask.sum(axis=1)
    reward, _ = RUN(rollout, starts)
    for row, trace, problem in zip(np.asarray(reward), traces, found, strict=True):
        assert problem.steps[-1] == str(identity(problem)[1])
        assert row.sum() == pytest.approx(float(slow_score(trace, problem.steps)), abs=1e-6)
    best = max(row.sum() for row in np.asarray(reward))
    assert best == pytest.approx(2 / 3)  # two steps, nothing beside them: 2 / (2 + 1)
