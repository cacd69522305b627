"""Novelty kernels against exact sets and counters of n-grams."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.rewards import GroupNovelty, TokenEntropy, TrainingNovelty
from tests.rewards.texts import Tokens, verdicts

TOKENS = Tokens()
BATCH, TIME = 6, 12
GROUP = GroupNovelty(n=2, buckets=2**16)
TRAINING = TrainingNovelty(buckets=2**16, n=2)
RUN_GROUP = jax.jit(lambda rollout: GROUP(rollout, verdicts(rollout), TOKENS.device, ())[0])
RUN_TRAINING = jax.jit(lambda rollout, memory: TRAINING(rollout, verdicts(rollout), TOKENS.device, memory))

rows = st.lists(st.lists(st.integers(0, 4), max_size=TIME), min_size=BATCH, max_size=BATCH)


def ngrams(ids: list[int], n: int = 2) -> list[tuple[int, ...]]:
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


@given(rows, st.lists(st.integers(0, 2), min_size=BATCH, max_size=BATCH))
def test_group_novelty_is_one_less_the_largest_share_that_a_sibling_has_too(ids, problem):
    reward, valid = RUN_GROUP(TOKENS.rollout(ids, TIME, problem=problem))
    for row in range(BATCH):
        mine = set(ngrams(ids[row]))
        siblings = [set(ngrams(ids[j])) for j in range(BATCH) if j != row and problem[j] == problem[row]]
        overlap = max((len(mine & other) / len(mine) for other in siblings), default=0.0) if mine else 1.0
        assert float(reward[row].sum()) == pytest.approx(1.0 - overlap, abs=1e-6)
    assert np.asarray(valid).all()


def test_a_copy_of_a_sibling_is_not_novel_however_often_it_says_the_same():
    ids = [[1, 2, 3], [1, 2, 3] * 3, [5, 6, 7], [1], [], [1, 2, 3]]
    reward, _ = RUN_GROUP(TOKENS.rollout(ids, TIME, problem=[0] * 5 + [1]))
    shares = np.asarray(reward).sum(axis=1)
    # The repeater's pairs are 12, 23 and 31, of which the first has two; the last row has no sibling.
    np.testing.assert_allclose(shares, [0.0, 1 / 3, 1.0, 0.0, 0.0, 1.0], atol=1e-6)


@given(rows, rows)
def test_training_novelty_is_the_mean_rarity_among_all_ngrams_so_far(first, second):
    memory, counts = TRAINING.init(), Counter()
    for ids in (first, second):
        (reward, valid), memory = RUN_TRAINING(TOKENS.rollout(ids, TIME), memory)
        counts.update(pair for row in ids for pair in ngrams(row))
        for row in range(BATCH):
            rarities = [counts[pair] ** -0.5 for pair in ngrams(ids[row])]
            assert float(reward[row].sum()) == pytest.approx(np.mean(rarities) if rarities else 0.0, abs=1e-5)
        assert np.asarray(valid).all() and int(memory.sum()) == counts.total()


def test_repetition_and_repeated_training_make_a_response_less_novel():
    rollout = TOKENS.rollout([[1, 2, 3, 4, 5, 6], [7, 8] * 6, [], [], [], []], TIME)
    (first, _), memory = RUN_TRAINING(rollout, TRAINING.init())
    (again, _), _ = RUN_TRAINING(rollout, memory)
    fresh, repeated = np.asarray(first).sum(axis=1)[:2]
    assert fresh == 1.0 and repeated < 0.5
    assert np.asarray(again).sum(axis=1)[0] == pytest.approx(2**-0.5)


def test_token_entropy_is_paid_where_it_arises_and_sums_to_its_capped_mean():
    entropies = np.asarray([[0.5, 2.0, 1.0, 9.0], [0.0, 0.3, 9.0, 9.0], [9.0] * 4])
    rollout = TOKENS.rollout([[1, 1, 1], [1, 1], []], 4, entropies=entropies)
    (reward, valid), _ = TokenEntropy(cap=1.5)(rollout, verdicts(rollout), TOKENS.device, ())
    np.testing.assert_allclose(reward, [[0.5 / 3, 0.5, 1 / 3, 0], [0, 0.15, 0, 0], [0] * 4], rtol=1e-6)
    assert np.asarray(valid).all()


def test_ngrams_longer_than_any_response_earn_nothing():
    rollout = TOKENS.rollout([[1, 2]], 3)
    for kernel in (GroupNovelty(n=5), TrainingNovelty(n=5)):
        (reward, _), _ = kernel(rollout, verdicts(rollout), TOKENS.device, kernel.init())
        assert not np.any(jnp.asarray(reward))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GroupNovelty(n=0), "n is 0"),
        (lambda: GroupNovelty(buckets=0), "buckets is 0"),
        (lambda: TrainingNovelty(n=0), "n is 0"),
        (lambda: TokenEntropy(cap=0.0), "cap is 0.0"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
