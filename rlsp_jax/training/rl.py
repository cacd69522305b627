"""The reinforcement-learning loop: prompts → rollout → verdicts → scores → experience → update."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax

from rlsp_jax.algorithms import ppo, rloo
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.generation.trim import trim
from rlsp_jax.rewards import Stream, score
from rlsp_jax.training.columns import fill_columns
from rlsp_jax.training.groups import Drawer
from rlsp_jax.training.metrics import make_measure_fn
from rlsp_jax.training.problems import problems_before, training_problems
from rlsp_jax.training.run import Run
from rlsp_jax.training.stage import StageRun
from rlsp_jax.types import Params, TrainState


class Algorithm(NamedTuple):
    """What tells one algorithm's loop from another's."""

    init_state: Callable[[Params], TrainState]
    make_experience: Callable
    update: Callable


def train_rl(run: Run, index: int, config: ppo.Config | rloo.Config, algorithm: Algorithm, params: Params) -> Params:
    """Explore and get paid; return the parameters after the last step."""
    responder = run.responder(config.sampling, config.drawing.chunk_rows)
    pay = make_score_fn(config.streams)
    measure = make_measure_fn(config.streams)
    with run.spent.phase("setup"):
        state = run.place(algorithm.init_state(params))
    with StageRun(run, index, config, state, log_every=1, save_every=run.experiment.checkpoint_every) as stage:
        problems, chosen = training_problems(stage, config)
        draw = Drawer(run.mesh, responder, problems, config.drawing, problems_before(run.experiment, index))
        for step in stage.steps():
            state = stage.state
            drawn = draw(state.params["policy"], key_of(stage.key, "rollout", step), step)
            rollout = drawn.rollout
            verdicts = fill_columns(run, config, state.params, rollout, drawn.verdicts)
            scores, memory = pay(rollout, verdicts, run.judge.token_bytes, state.memory)
            experience, health = algorithm.make_experience(state, *trim(rollout, scores))
            check_gap(float(health["policy/logp_gap"]), config.max_logp_gap, step)
            key = key_of(stage.key, "update", step)
            stage.state, learned = algorithm.update(state._replace(memory=memory), experience, key)
            metrics = measure(rollout, verdicts, scores, run.judge.token_bytes) | drawn.metrics | health | learned
            metrics |= chosen if step == 0 else {}
            among = "of the training split" if config.select is None else "in the order of those kept"
            about = f"problems {drawn.problems[0]} to {drawn.problems[-1]} {among}"
            stage.record(step, metrics, tokens="rollout/tokens", about=about)
    return stage.state.params


def check_gap(gap: float, largest: float, step: int) -> None:
    """Sampler and learner score the same tokens: stop when they disagree."""
    if not math.isfinite(gap):
        raise UserError(
            f"The sampler's or the learner's log-probabilities are not finite at step {step}; lower the learning rate "
            "or use model.dtype=float32: either is another run, so give it another --workdir or add --overwrite."
        )
    if gap > largest:
        raise UserError(
            f"The sampler's and the learner's log-probabilities differ by {gap:.3g} nats a token at step {step}, more "
            f"than max_logp_gap = {largest:g}, so the update would be off-policy; raise max_logp_gap to go on "
            "from there, or start another run with model.dtype=float32, in which they agree."
        )


def make_score_fn(streams: tuple[Stream, ...]):
    """`score(rollout, verdicts, token_bytes, memory) -> (scores, memory)`, jitted."""
    return jax.jit(functools.partial(score, streams))
