"""Byte expansion, search and number reading against Python's own bytes."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.rewards.byte_text import (
    BYTES_PER_TOKEN,
    TOO_LARGE,
    expand,
    find,
    first_match,
    last_match,
    places,
    read_numbers,
    windows,
)
from tests.rewards.texts import Tokens

TOKENS = Tokens()
TIME, BYTES = 24, 96
EXPAND = jax.jit(functools.partial(expand, token_bytes=TOKENS.device, max_bytes=BYTES))
PATTERNS = (b"answer:", b"a", b"aa", b"er:")
SEARCH = jax.jit(lambda text: [(find(text, p), first_match(text, p), last_match(text, p)) for p in PATTERNS])

ids = st.lists(st.integers(0, len(TOKENS.pieces) - 1), max_size=TIME)


@given(st.lists(ids, min_size=4, max_size=4), st.integers(0, 2**32 - 1))
def test_expand_spells_the_masked_tokens_and_names_the_owner_of_every_byte(rows, seed):
    tokens, mask = TOKENS.rows(rows, TIME)
    mask = mask & (np.random.default_rng(seed).random(mask.shape) < 0.8)  # any mask, not only a prefix
    text = EXPAND(tokens, mask)
    for row in range(4):
        spelled = [(byte, t) for t in range(TIME) if mask[row, t] for byte in TOKENS.pieces[tokens[row, t]]]
        kept = spelled[:BYTES]
        n = len(kept)
        assert bool(text.overflow[row]) == (len(spelled) > BYTES)
        assert np.asarray(text.mask[row]).tolist() == [True] * n + [False] * (BYTES - n)
        assert bytes(np.asarray(text.bytes[row])) == bytes(byte for byte, _ in kept).ljust(BYTES, b"\0")
        assert np.asarray(text.owner[row])[:n].tolist() == [t for _, t in kept]


def test_room_is_the_longest_token_times_the_time_unless_that_is_more_than_texts_need():
    tokens, mask = TOKENS.rows([[ord("x")] * 5], 5)
    width = TOKENS.device.table.shape[1]
    assert expand(tokens, mask, TOKENS.device).bytes.shape == (1, 5 * min(width, BYTES_PER_TOKEN))
    narrow = TOKENS.device._replace(table=TOKENS.device.table[:, :2])
    assert expand(tokens, mask, narrow).bytes.shape == (1, 10)


fragments = st.lists(st.sampled_from([b"answer:", b"a", b"n", b"answer", b"er:", b"\0"]), max_size=12)


@given(st.lists(fragments, min_size=4, max_size=4))
def test_matches_are_those_of_a_search_in_bytes_including_overlapping_ones(rows):
    spelled = [b"".join(row) for row in rows]
    tokens, mask = TOKENS.rows([list(data)[:TIME] for data in spelled], TIME)
    spelled = [data[:TIME] for data in spelled]
    for pattern, (hits, first, last) in zip(PATTERNS, SEARCH(EXPAND(tokens, mask)), strict=True):
        for row, data in enumerate(spelled):
            starts = [m.start() for m in re.finditer(b"(?=%s)" % re.escape(pattern), data)]
            assert np.flatnonzero(np.asarray(hits[row])).tolist() == starts
            assert int(first[row]) == (starts[0] if starts else BYTES)
            assert int(last[row]) == (starts[-1] if starts else -1)


def test_a_match_may_end_with_the_last_byte_of_a_full_text_but_not_after_it():
    tokens, mask = TOKENS.rows([list(b"xanswer:xanswer:")], 16)
    text = expand(tokens, mask, TOKENS.device, max_bytes=16)
    assert int(last_match(text, b"answer:")[0]) == 9
    cut = expand(tokens, mask, TOKENS.device, max_bytes=15)
    assert (int(last_match(cut, b"answer:")[0]), bool(cut.overflow[0])) == (1, True)


def test_an_empty_pattern_is_refused():
    tokens, mask = TOKENS.rows([b"abc"], 5)
    with pytest.raises(ValueError, match="pattern is empty"):
        find(expand(tokens, mask, TOKENS.device), b"")


@given(st.lists(st.lists(st.booleans(), min_size=20, max_size=20), min_size=3, max_size=3))
def test_places_are_the_first_true_ones_in_order(flags):
    at, exists = places(jnp.asarray(flags), 8)
    for row in range(3):
        expected = [i for i, flag in enumerate(flags[row]) if flag][:8]
        assert np.asarray(exists[row]).sum() == len(expected)
        assert np.asarray(at[row]).tolist() == expected + [20] * (8 - len(expected))


def test_windows_are_zero_beyond_the_end():
    data = jnp.asarray([[1, 2, 3]], jnp.uint8)
    assert np.asarray(windows(data, jnp.asarray([[0, 2, 3, 9]]), 2)).tolist() == [[[1, 2], [3, 0], [0, 0], [0, 0]]]


@given(st.text("0123456789x", min_size=24, max_size=24))
def test_numbers_are_read_from_every_place_to_the_end_of_their_digits(text):
    value, length = read_numbers(jnp.asarray([list(text.encode())], jnp.uint8))
    for i in range(24):
        digits = re.match("[0-9]*", text[i:]).group()
        assert int(length[0, i]) == min(len(digits), 10)
        assert int(value[0, i]) == (TOO_LARGE if len(digits) > 9 else int(digits or 0))
