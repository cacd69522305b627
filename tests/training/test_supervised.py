"""What supervised learning reads at a step depends on the step alone."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from rlsp_jax.data import SearchTraces, SentencePiece, pack
from rlsp_jax.training import load_experiment
from rlsp_jax.training.run import Run
from rlsp_jax.training.supervised import batch_rows, demonstration_texts, name_batch, take_rows

DEBUG = load_experiment(Path(__file__).parent.parent.parent / "experiments" / "debug.py").experiment


def test_every_epoch_reads_every_row_once_in_an_order_of_its_own():
    total, batch_size = 10, 4
    read = np.concatenate([batch_rows(total, batch_size, step, (7, 0)) for step in range(15)])  # six epochs
    epochs = read.reshape(6, total)
    assert all(sorted(epoch) == list(range(total)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 6
    other = np.concatenate([batch_rows(total, batch_size, step, (7, 1)) for step in range(15)])
    assert (read != other).any()


def test_a_batch_may_be_larger_than_all_there_is():
    assert sorted(batch_rows(3, 7, 0, (0,)).tolist()) == sorted([0, 1, 2, 0, 1, 2] + batch_rows(3, 1, 6, (0,)).tolist())


def test_demonstrations_are_a_prefix_of_more_demonstrations():
    few = demonstration_texts(DEBUG.problems, SearchTraces(), range(3))
    more = demonstration_texts(DEBUG.problems, SearchTraces(), range(6))
    assert few == (more[0][:3], more[1][:3]) and len(set(more[0])) > 1


def test_a_later_stage_of_a_kind_begins_where_the_earlier_ones_ended():
    first, second = DEBUG.stages
    experiment = SimpleNamespace(stages=(first, second, first, second))
    assert Run.earlier_stages(SimpleNamespace(experiment=experiment), 0) == []
    assert Run.earlier_stages(SimpleNamespace(experiment=experiment), 2) == [first]
    assert Run.earlier_stages(SimpleNamespace(experiment=experiment), 3) == [second]
    count = first.num_demonstrations
    together = demonstration_texts(DEBUG.problems, SearchTraces(), range(count + 2))
    assert demonstration_texts(DEBUG.problems, SearchTraces(), range(count, count + 2))[1] == together[1][-2:]


def test_a_batch_is_named_by_the_problems_its_rows_begin_with(tmp_path):
    questions, responses = demonstration_texts(DEBUG.problems, SearchTraces(), range(40))
    tokenizer = SentencePiece(vocab_size=320).train(
        [q + r for q, r in zip(questions, responses, strict=True)], tmp_path / "t"
    )
    pool = pack(tokenizer, questions, responses, length=160)
    said = name_batch(tokenizer, take_rows(pool, np.asarray([0])))
    assert said == f"problems {questions[0].strip()!r}"
    assert name_batch(tokenizer, take_rows(pool, np.zeros(6, int))).endswith(", …")
