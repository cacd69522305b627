"""Labels before the steps of a response, against a slow reading of its text; and who sees through them."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.algorithms.return_conditioned import StepPromises
from rlsp_jax.algorithms.step_labels import rises, step_starts, with_labels
from rlsp_jax.behaviors.detectors import detect
from rlsp_jax.common.codes import Verdict
from rlsp_jax.data import Countdown as Problems
from rlsp_jax.data import SearchTraces
from rlsp_jax.rewards import CountdownChecker, PromiseSteps
from rlsp_jax.rewards.countdown import encode_truth
from rlsp_jax.types import PromptBatch, Rollout, TokenBytes, Verdicts
from rlsp_jax.verifiers import Countdown
from tests.algorithms.draws import EOS, Bytes, make_draw

WIDTH = 320  # of every rollout here, so that each function is compiled once


def as_rollout(responses, truth=None) -> Rollout:
    """Responses of bytes, with eos."""
    rows = [[*response.encode(), EOS] for response in responses]
    mask = np.arange(WIDTH) < np.asarray([len(row) for row in rows])[:, None]
    tokens = np.full(mask.shape, EOS, np.int32)
    tokens[mask] = np.concatenate(rows)
    number, shown = jnp.arange(len(rows), dtype=jnp.int32), jnp.ones((len(rows), 1), jnp.int32)
    prompts = PromptBatch(shown, shown > 0, number, number, truth)
    zeros = jnp.zeros(mask.shape)
    return Rollout(prompts, jnp.asarray(tokens), jnp.asarray(mask), zeros, zeros, jnp.zeros(len(rows), jnp.int8))


TABLE = TokenBytes(
    jnp.asarray([[byte] for byte in [*range(256), 0]], jnp.uint8), jnp.asarray([1] * 256 + [0], jnp.int32)
)

PAY = jax.jit(lambda rollout, verdicts: PromiseSteps()(rollout, verdicts, TABLE, ())[0].reward)
CHECK = jax.jit(lambda rollout: CountdownChecker(max_numbers=3)(rollout, TABLE))
PIECES = st.lists(st.sampled_from([b"a", b"\n", b"b\n", b"\n\nc", b"", b"--", b"-", b"\n-"]), max_size=12)


@settings(max_examples=200)
@given(PIECES, st.sampled_from(["\n", "--", "\n-"]))
def test_a_step_begins_behind_every_token_that_completes_the_marker_if_text_follows(pieces, marker):
    text, read, expected = b"".join(pieces), 0, [0] if pieces else []
    for place, piece in enumerate(pieces, start=1):
        completed = [end for end in range(read + 1, read + len(piece) + 1) if text[:end].endswith(marker.encode())]
        read += len(piece)
        if completed and read < len(text):
            expected.append(place)
    assert step_starts(pieces, marker) == expected


def test_eos_behind_the_last_line_is_no_step_of_its_own():
    assert step_starts([b"a", b"\n", b"b", b"\n", b""], "\n") == [0, 2]
    assert step_starts([b""], "\n") == [0] and step_starts([], "\n") == []


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["try 1+2=3\n", "back\n", "\n", "answer: 1"]), min_size=1, max_size=6), st.data())
def test_rises_are_what_dense_rewards_pay_for_at_the_ends_of_the_same_steps(lines, data):
    rollout = as_rollout(["".join(lines)])
    size = int(rollout.mask.sum())
    promise = [number / 64 for number in data.draw(st.lists(st.integers(0, 64), min_size=size, max_size=size))]
    column = jnp.zeros((1, WIDTH)).at[0, :size].set(jnp.asarray(promise))
    unjudged = Verdicts(jnp.zeros(1, jnp.int8), jnp.zeros(1, jnp.int32), jnp.zeros(1, bool), None, column)
    paid = np.asarray(PAY(rollout, unjudged))[0]
    starts = step_starts(pieces_of(np.asarray(rollout.tokens[0, :size]).tolist()), "\n")
    expected = paid[[*(start - 1 for start in starts[1:]), size - 1]]
    if lines[-1].endswith("\n"):  # there eos is paid apart, and here it belongs to the last step
        expected[-1] += paid[size - 2]
    np.testing.assert_array_equal(rises(promise, starts), expected)


def pieces_of(tokens):
    return [Bytes.id_to_bytes[token] for token in tokens]


def test_a_label_stands_before_every_step_and_nothing_else_is_changed():
    text = "try 3*12=36\nback\nanswer: 3*12"
    tokens, promise = (*text.encode(), EOS), [0.5] * 11 + [0.4] * 18 + [0.9]  # it falls at the end of the first line
    draw = dataclasses.replace(make_draw(response=text, promise=tuple(promise)), tokens=tokens)
    labels = StepPromises()
    assert len(promise) == len(tokens) and labels.judge(draw, Bytes()) == [False, True, True]
    written = labels.write(tokens, labels.judge(draw, Bytes()), Bytes())
    assert Bytes().decode(written) == "?try 3*12=36\n!back\n!answer: 3*12" and written[-1] == EOS
    assert written == with_labels(tokens, step_starts(pieces_of(tokens), "\n"), [b"?", b"!", b"!"])
    assert Bytes().decode(labels.write(tokens, None, Bytes())) == "!" + text.replace("\n", "\n!")
    assert labels.judge(dataclasses.replace(draw, promise=None), Bytes()) == []


SOURCE = Problems(numbers=3, max_number=12)


@settings(max_examples=60)
@given(st.integers(0, 500), st.integers(0, 9), st.booleans())
def test_verifier_checker_and_behaviour_counters_read_over_labels(number, cut, wrong):
    """Whether the response is right, wrong or cut off; the labels are good ones, as a policy that is asked writes."""
    (problem,) = SOURCE.problems("train", number, 1)
    text = SearchTraces(keep=0.6, give_up=wrong).trace(problem, number)
    text = text[: len(text) - cut]
    labelled = Bytes().decode(StepPromises().write(text.encode(), None, Bytes()))
    assert labelled.count("!") == len(re.findall("[^\n]+", text)) and labelled.replace("!", "") == text
    outcomes = [Countdown().verify(problem.truth, each) for each in (text, labelled)]
    assert outcomes[0] == outcomes[1]
    right = outcomes[0].verdict == Verdict.CORRECT
    assert detect(text, right) == detect(labelled, right)
    verdicts = CHECK(as_rollout([text, labelled], encode_truth([problem, problem], 3)))
    assert verdicts.outcome.tolist() == [outcomes[0].verdict] * 2
    assert verdicts.answered[0] == verdicts.answered[1]
