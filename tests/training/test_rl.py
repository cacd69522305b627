"""The loop stops when sampler and learner disagree, and goes on where it was broken off."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from rich.console import Console

from rlsp_jax import rewards
from rlsp_jax.algorithms import ppo, rloo
from rlsp_jax.algorithms.entropy import EntropyTarget
from rlsp_jax.algorithms.references import MovingAverage
from rlsp_jax.common.errors import UserError
from rlsp_jax.optim import AdamW
from rlsp_jax.records import read_rows
from rlsp_jax.schedules import Constant
from rlsp_jax.training.experiment_file import Loaded, load_experiment
from rlsp_jax.training.progress import Display
from rlsp_jax.training.rl import check_gap
from rlsp_jax.training.train import train
from tests.training.conftest import DEBUG


@pytest.mark.parametrize(
    ("gap", "message"),
    [
        (0.06, "differ by 0.06 nats a token at step 3, more than max_logp_gap = 0.05"),
        (math.nan, "log-probabilities are not finite at step 3; lower the learning rate or use model.dtype=float32"),
        (math.inf, "log-probabilities are not finite at step 3; lower the learning rate or use model.dtype=float32"),
    ],
)
def test_a_gap_between_sampler_and_learner_is_one_sentence(gap, message):
    check_gap(0.05, 0.05, 3)
    with pytest.raises(UserError, match=message):
        check_gap(gap, 0.05, 3)


# ---- a stage with dynamic sampling, broken off ----


class Crash(Exception):
    """Stands for a power cut."""


class Fragile(Display):
    """Breaks the run off when a stage has done so many steps."""

    def __init__(self, at: tuple[str, int] | None = None):
        super().__init__(Console(), enabled=False)
        self._at = at

    def update(self, done: int, metrics) -> None:
        if (self._stage, done) == self._at:
            raise Crash


def dynamic_run() -> Loaded:
    """The debug experiment, ended by T1 with everything that it has, and with verdicts that differ."""
    loaded = load_experiment(DEBUG, ("stages.0.num_steps=40",))
    imitate, explore = loaded.experiment.stages
    assert isinstance(explore, ppo.Config)
    last = rloo.Config(
        num_steps=4,
        prompts_per_step=8,
        samples_per_prompt=4,
        sampling=explore.sampling,
        chunk_prompts=4,
        dynamic=rloo.DynamicSampling(max_draws=3),
        streams=(rewards.Stream("correctness", rewards.Penalized(rewards.Correctness(), (rewards.Truncation(),))),),
        reference=MovingAverage(0.9),
        entropy_coef=EntropyTarget(2.0, 0.01),
        optimizer=AdamW(Constant(1e-3)),
    )
    return loaded._replace(
        experiment=dataclasses.replace(loaded.experiment, stages=(imitate, last), evals=(), checker=Coin())
    )


@dataclasses.dataclass(frozen=True)
class Coin(rewards.CountdownChecker):
    """Calls a response right when its first token is odd and its problem's number is no multiple of 3."""

    def __call__(self, rollout, token_bytes):
        odd = (rollout.tokens[:, 0] % 2 == 1) & (rollout.prompts.problem % 3 != 0)
        return super().__call__(rollout, token_bytes)._replace(outcome=odd.astype(jnp.int8))


def kept(workdir: Path) -> tuple[dict, list[dict]]:
    """The last checkpoint, by path, and what was recorded, times left out."""
    state = ocp.StandardCheckpointer().restore(workdir / "checkpoints" / "1_rloo" / "4" / "state")
    leaves = jax.tree_util.tree_leaves_with_path(state)
    rows = {(row["stage"], row["step"]): row for row in read_rows(workdir / "metrics.jsonl")}
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "speed/tokens")} for row in rows.values()]
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}, rows


@pytest.mark.slow
def test_a_stage_with_dynamic_sampling_that_died_resumes_to_the_same_end(tmp_path):
    loaded = dynamic_run()
    train(loaded, tmp_path / "whole", Fragile())
    for at in (("rloo", 1), ("rloo", 3)):  # before the first checkpoint, and behind that of step 2
        with pytest.raises(Crash):
            train(loaded, tmp_path / "broken", Fragile(at))
    train(loaded, tmp_path / "broken", Fragile())
    (state, rows), (whole, whole_rows) = kept(tmp_path / "broken"), kept(tmp_path / "whole")
    assert state == whole and rows == whole_rows
    steps = [row for row in rows if row["stage"] == "rloo"]
    assert len(steps) == 4 and any(row["rollout/draws"] > 1 for row in steps)
    assert any(0 < row["rollout/acceptance"] < 1 and row["rollout/wasted_tokens"] > 0 for row in steps)
    assert rows[-1]["tokens_generated"] == sum(row["rollout/tokens"] for row in steps)
