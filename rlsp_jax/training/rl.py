"""The reinforcement-learning loop: prompts → rollout → verdicts → scores → experience → update."""

import functools
import math

import jax

from rlsp_jax.algorithms import ppo
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.records import Problem
from rlsp_jax.rewards import Stream, score
from rlsp_jax.training.metrics import make_measure_fn
from rlsp_jax.training.run import Run
from rlsp_jax.training.stage import StageRun
from rlsp_jax.types import Params


def train_rl(run: Run, index: int, config: ppo.Config, params: Params) -> Params:
    """Explore and get paid; return the parameters after the last step."""
    heads = tuple(run.experiment.model.value_heads.index(name) for name in config.value_heads)
    responder = run.responder(config.sampling, config.rows)
    pay = make_score_fn(config.streams)
    measure = make_measure_fn(config.streams)
    make_experience = ppo.make_experience_fn(run.model, config, heads)
    update = ppo.make_update_fn(run.model, config, heads)
    with run.spent.phase("setup"):
        state = run.place(ppo.init_state(config, params))
    every = run.experiment.checkpoint_every
    first = sum(earlier.num_steps * earlier.prompts_per_step for earlier in run.earlier_stages(index))
    with StageRun(run, index, config, state, log_every=1, save_every=every) as stage:
        for step in stage.steps():
            state = stage.state
            problems = training_problems(run, config, first, step)
            prompts = responder.prompts(problems, samples=config.samples_per_prompt)
            rollout = responder.generate(state.params["policy"], prompts, key_of(stage.key, "rollout", step))
            verdicts = responder.verify(rollout, [p for p in problems for _ in range(config.samples_per_prompt)])
            scores, memory = pay(rollout, verdicts, run.judge.token_bytes, state.memory)
            experience, health = make_experience(state, rollout, scores)
            check_gap(float(health["policy/logp_gap"]), config.max_logp_gap, step)
            stage.state, learned = update(state._replace(memory=memory), experience, key_of(stage.key, "update", step))
            metrics = measure(rollout, verdicts, scores, run.judge.token_bytes) | health | learned
            about = f"problems {problems[0].number} to {problems[-1].number} of the training split"
            stage.record(step, metrics, tokens="rollout/tokens", about=about)
    return stage.state.params


def training_problems(run: Run, config: ppo.Config, first: int, step: int) -> list[Problem]:
    """The problems of a step: the next ones of the unlimited training split, from `first` on."""
    return run.experiment.problems.problems("train", first + step * config.prompts_per_step, config.prompts_per_step)


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
