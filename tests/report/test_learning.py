"""Means over seeds of what training measured."""

import math

import numpy as np
import pytest
from scipy import stats

from rlsp_jax.report.learning import learning_figure, measured_line
from rlsp_jax.report.load import load_run
from rlsp_jax.report.seeds import group_by_config


@pytest.fixture(scope="module")
def runs(tmp_path_factory, fake_run):
    folder = tmp_path_factory.mktemp("runs")
    return [load_run(fake_run(folder / str(seed), seed=seed)) for seed in range(3)]


def column(run, name):
    return np.array(run.stages[-1].columns[name])


def test_a_point_is_the_mean_of_neighbouring_steps_over_seeds_with_its_standard_error(runs):
    (experiment,) = group_by_config(runs)
    line = measured_line(experiment, "policy/kl_reference", "rollout/accuracy")
    first = slice(0, 4)  # 40 steps in 12 blocks: the first four have four steps each
    kl = np.mean([column(run, "policy/kl_reference")[first] for run in runs])
    accuracy = [column(run, "rollout/accuracy")[first].mean() for run in runs]
    assert len(line.x) == 12
    np.testing.assert_allclose([line.x[0], line.y[0]], [kl, np.mean(accuracy)])
    np.testing.assert_allclose(line.high[0] - line.y[0], stats.sem(accuracy))


def test_a_mean_goes_as_far_as_every_seed_has_got(runs, tmp_path, fake_run):
    half = load_run(fake_run(tmp_path / "half", seed=7, finished=False))
    (experiment,) = group_by_config([*runs, half])
    line = measured_line(experiment, "step", "rollout/entropy")
    assert line.x[-1] < 20 <= measured_line(group_by_config(runs)[0], "step", "rollout/entropy").x[-1]


def test_one_seed_has_no_band_and_what_was_not_measured_no_line(runs):
    (experiment,) = group_by_config(runs[:1])
    assert measured_line(experiment, "step", "rollout/entropy").low is None
    assert measured_line(experiment, "step", "rollout/nothing").x == []
    assert all(math.isfinite(y) for y in measured_line(experiment, "step", "policy/entropy").y)


def test_both_panels_are_in_one_figure(runs):
    found = learning_figure(group_by_config(runs))
    assert found is not None
    assert [title in "".join(found.panels) for title in ("Entropy per drawn token", "Accuracy of drawn")] == [True] * 2
