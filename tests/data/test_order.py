import numpy as np

from rlsp_jax.data import shuffled_rows


def test_every_epoch_visits_each_row_once_in_an_order_of_its_own():
    epochs = shuffled_rows(10, 0, 50, (3,)).reshape(5, 10)
    assert (np.sort(epochs) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 5


def test_a_place_does_not_depend_on_how_the_walk_is_cut():
    whole = shuffled_rows(7, 0, 40, (1, 2))
    parts = [shuffled_rows(7, start, 4, (1, 2)) for start in range(0, 40, 4)]
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert shuffled_rows(7, 33, 1, (1, 2)).tolist() == whole[33:34].tolist()


def test_another_seed_is_another_order():
    assert shuffled_rows(50, 0, 50, (0,)).tolist() != shuffled_rows(50, 0, 50, (1,)).tolist()


def test_no_rows_asked_for_are_no_rows():
    assert shuffled_rows(5, 3, 0, (0,)).tolist() == []
