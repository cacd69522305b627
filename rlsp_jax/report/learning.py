"""What training itself measured, as means over seeds: the entropy of what is drawn, and what a nat of KL has earned."""

from collections.abc import Sequence

import numpy as np

from rlsp_jax.report.figures import Figure, figure
from rlsp_jax.report.load import Stage
from rlsp_jax.report.plots import Line, line_chart
from rlsp_jax.report.seeds import Experiment, banded_line, mean_and_error
from rlsp_jax.report.story import learning_stages

_BLOCKS = 12  # points of a curve, each the mean of neighbouring steps: one batch alone says little


def learning_figure(experiments: Sequence[Experiment]) -> Figure | None:
    """Entropy over steps, and accuracy over the distance to the reference; None when no run measured either."""
    entropy = [measured_line(e, "step", "rollout/entropy") for e in experiments]
    earned = [measured_line(e, "policy/kl_reference", "rollout/accuracy") for e in experiments]
    kl = "KL to the reference (nats per token)"
    return figure(
        [
            line_chart("learning-entropy", "Entropy per drawn token (nats)", "step", entropy),
            line_chart("learning-kl", "Accuracy of drawn responses", kl, earned, percent=True),
        ],
        "Left, of the distribution that tokens are drawn from, at the temperature of the drawing: where it falls to "
        "nothing, nothing more is found. Right, what going away from the reference has earned: of two curves at one "
        "distance the higher went the better way, where the reference stays where it was.",
    )


def measured_line(experiment: Experiment, x: str, y: str) -> Line:
    """One metric against another: means over the seeds with a band of ± one standard error, as far as all have got."""
    ways = [_way(learning_stages(seed.run)[-1], x, y) for seed in experiment.watched]
    steps = min((way.shape[1] for way in ways), default=0)
    if not steps:
        return banded_line(experiment, [], [])
    whole = np.array([way[:, :steps] for way in ways])
    blocks = [part.mean(axis=2) for part in np.array_split(whole, min(steps, _BLOCKS), axis=2)]  # [seeds, 2] each
    return banded_line(experiment, [b[:, 0].mean().item() for b in blocks], [mean_and_error(b[:, 1]) for b in blocks])


def _way(stage: Stage, x: str, y: str) -> np.ndarray:
    """`[2, steps]`: both metrics at every step; no step where a stage does not measure one of them."""
    columns = {"step": [float(step) for step in stage.steps], **stage.columns}
    return np.array([columns[x], columns[y]]) if x in columns and y in columns else np.empty((2, 0))
