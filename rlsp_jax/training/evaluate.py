"""`rlsp evaluate` and `rlsp sample`: a finished or unfinished run's newest policy, asked again."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import parse_question
from rlsp_jax.evaluation import Eval
from rlsp_jax.generation import SamplingConfig, make_stream_fns
from rlsp_jax.records import Summary, to_row
from rlsp_jax.training.run import Run
from rlsp_jax.training.summary import make_summary
from rlsp_jax.training.train import has_checkpoint
from rlsp_jax.types import Params
from rlsp_jax.verifiers import Outcome

STREAM_TOKENS = 8  # tokens between two looks at a response that is being written


def load_policy(run: Run) -> tuple[int, int, Params]:
    """The newest checkpoint: its stage's index, its step and its policy parameters."""
    begun = [index for index in range(len(run.experiment.stages)) if has_checkpoint(run, index)]
    if not begun:
        raise UserError(f"{run.workdir} has no checkpoint yet; run rlsp train for a while first.")
    index = begun[-1]
    config = run.experiment.stages[index]
    init = sft.init_state if isinstance(config, sft.Config) else ppo.init_state
    saver = Saver(run.stage_folder(index))
    step = saver.latest_step()
    assert step is not None
    state, progress = saver.restore(step, run.place(init(config, run.init_params())))
    saver.close()
    run.progress.load(progress)
    return index, step, state.params["policy"]


def evaluate_run(run: Run, config: Eval) -> Summary:
    """The run's summary with its newest policy evaluated anew in place of its last results."""
    index, step, policy = load_policy(run)
    name = run.experiment.stage_names[index]
    results, _ = run.evaluator(config)(policy, key_of(run.key, config.name, 0), stage=name, step=step)
    evals = {result.level: to_row(result) for result in results}
    summary = make_summary(run)
    stages = [
        dataclasses.replace(stage, evals=evals) if stage.stage == name else stage for stage in summary.stages[: index + 1]
    ]
    return dataclasses.replace(summary, stages=tuple(stages), final=evals["all"])


def stream_response(
    run: Run, policy: Params, question: str, sampling: SamplingConfig, *, sample: int
) -> Iterator[tuple[str, Outcome | None]]:
    """The response to a typed problem as far as it is written, again and again; the last time with its outcome."""
    problem = parse_question(question)
    begin, go_on = make_stream_fns(run.model, sampling, eos_id=run.tokenizer.eos_id, pad_id=run.tokenizer.pad_id)
    prompts = run.responder(sampling, 1).prompts([problem], first=sample)
    state = begin(policy, prompts, key_of(run.key, "sample", 0))
    for until in range(STREAM_TOKENS, sampling.max_response + STREAM_TOKENS, STREAM_TOKENS):
        state = go_on(policy, prompts, state, jnp.float32(sampling.temperature), jnp.int32(min(until, sampling.max_response)))
        tokens, mask, reason = jax.device_get((state.tokens[0], state.mask[0], state.stop_reason[0]))
        text = run.tokenizer.decode(tokens[mask].tolist())
        if reason >= 0:
            break
        yield text, None
    yield text, run.experiment.verifier.verify(problem.truth, text)
