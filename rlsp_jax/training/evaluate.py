"""`rlsp evaluate` and `rlsp sample`: a finished or unfinished run's newest policy, asked again."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rlsp_jax.algorithms import sft
from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import with_suffix
from rlsp_jax.evaluation import Eval
from rlsp_jax.generation import SamplingConfig, make_stream_fns
from rlsp_jax.records import SUMMARY_FILE, read_json, to_row
from rlsp_jax.sharding import make_mesh, row_shards
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.progress import Display
from rlsp_jax.training.run import Run
from rlsp_jax.training.stages import init_state
from rlsp_jax.training.summary import make_summary
from rlsp_jax.training.train import open_run
from rlsp_jax.training.workdir import is_finished, load_from_workdir, newest_stage
from rlsp_jax.types import Params
from rlsp_jax.verifiers import Outcome

STREAM_TOKENS = 8  # tokens between two looks at a response that is being written


@contextlib.contextmanager
def open_trained(workdir: Path, display: Display) -> Iterator[Run]:
    """The run of a workdir, to look at; `UserError` before its first checkpoint."""
    experiment = load_from_workdir(workdir).experiment
    if newest_stage(workdir, experiment) is None:
        raise UserError(f"The run in {workdir} has no checkpoint yet; let rlsp train work on it for a while first.")
    mesh = make_mesh(experiment.mesh)
    with jax.set_mesh(mesh), open_run(experiment, workdir, mesh, display) as run:
        yield run


def load_policy(run: Run) -> tuple[int, int, Params]:
    """The newest checkpoint: its stage's index, its step and its policy parameters."""
    index = newest_stage(run.workdir, run.experiment)
    assert index is not None  # or the run would not have been opened
    config = run.experiment.stages[index]
    params = run.init_params()
    state = init_state(config, params)
    with contextlib.closing(Saver(run.stage_folder(index))) as saver:
        step = saver.latest_step()
        assert step is not None
        state, spent = saver.restore(step, run.place(state))
    run.spent.add(spent)
    return index, step, state.params["policy"]


def closing_eval(experiment: Experiment) -> Eval:
    """The eval at the end of stages, the one that a summary tells of."""
    for config in experiment.evals:
        if config.every is None:
            return config
    raise UserError("The experiment has no eval at the end of its stages (an Eval with every=None).")


def evaluate_run(run: Run, config: Eval) -> dict[str, Any]:
    """The run's summary as a JSON object, with its newest policy evaluated anew in place of its last results."""
    index, step, policy = load_policy(run)
    name = run.experiment.stage_names[index]
    results, _ = run.asked(config, index)(policy, key_of(run.key, config.name, 0), stage=name, step=step)
    evals = {row["level"]: row for row in run.result_rows(results)}
    summary = read_json(run.workdir / SUMMARY_FILE) if is_finished(run.workdir) else to_row(make_summary(run))
    *earlier, newest = summary["stages"][: index + 1]
    return summary | {"stages": [*earlier, newest | {"steps": step, "evals": evals}], "final": evals["all"]}


def own_sampling(experiment: Experiment) -> SamplingConfig:
    """How the run itself draws responses: as its last stage that does, else as its evals, else as by default."""
    drawing = [stage.sampling for stage in experiment.stages if not isinstance(stage, sft.Config)]
    watching = [config.sampling for config in experiment.evals]
    return [SamplingConfig(max_response=experiment.model.max_length - experiment.max_prompt), *watching[:1], *drawing][
        -1
    ]


ThinkFn = Callable[..., Iterator[tuple[str, Outcome | None]]]


def make_think_fn(run: Run, policy: Params, sampling: SamplingConfig, *, suffix: str = "", seed: int = 0) -> ThinkFn:
    """`think(question, sample=0)`: the response to a typed problem as it grows, at last with its outcome.

    `suffix` is what the policy is shown after a question.
    """
    temperature = jnp.float32(sampling.temperature)
    rows = row_shards(run.mesh)  # the same prompt in each; one is shown
    responder, ids = run.responder(sampling, rows), run.tokenizer
    begin, go_on = make_stream_fns(run.model, responder.sampling, eos_id=ids.eos_id, pad_id=ids.pad_id)

    def think(question: str, *, sample: int = 0) -> Iterator[tuple[str, Outcome | None]]:
        problem = run.experiment.problems.parse(question)
        prompts = responder.prompts(with_suffix([problem], suffix), samples=rows, first=sample * rows)
        state = begin(policy, prompts, key_of(run.key, "sample", seed))
        for until in range(STREAM_TOKENS, sampling.max_response + STREAM_TOKENS, STREAM_TOKENS):
            state = go_on(policy, prompts, state, temperature, jnp.int32(min(until, sampling.max_response)))
            tokens, mask, reason = jax.device_get((state.tokens[0], state.mask[0], state.stop_reason[0]))
            text = run.tokenizer.decode(tokens[mask].tolist())
            if reason >= 0 or until >= sampling.max_response:
                yield text, responder.outcomes([problem], [text])[0]
                return
            yield text, None

    return think
