"""Inference scaling in a run: when it is measured, with which summary model, and where it is written down."""

import contextlib
from collections.abc import Sequence

from rlsp_jax.checkpoints import Saver, has_checkpoint
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import with_suffix
from rlsp_jax.evaluation import Scaling, Summarizer, make_scaler, vote_grid
from rlsp_jax.records import GridResult, Sample, ScalingResult, append_rows, read_records, read_rows, to_row
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.run import Run
from rlsp_jax.training.workdir import locked, newest_stage
from rlsp_jax.types import Params

SCALING, GRIDS = "scaling", "grids"  # folders of a workdir
UNREWARDED = ("sft", "outcome_model")  # kinds of stage whose policy learns from no response of its own


def scale_due(run: Run, index: int, step: int, policy: Params) -> None:
    """Run the scalings that this step calls for, unless their results are already recorded."""
    if step == run.stage_end(index) and is_watched(run.experiment, index):
        for config in run.experiment.scalings:
            scale(run, config, index, step, policy)
        if run.experiment.scalings:
            write_grids(run, index, step)


def is_watched(experiment: Experiment, index: int) -> bool:
    """Whether scaling is measured at a stage's end: where one that learns from rewards begins or ends, and last."""
    rewarded = [stage.kind not in UNREWARDED for stage in experiment.stages]
    return rewarded[index] or index + 1 == len(rewarded) or rewarded[index + 1]


def scale(run: Run, config: Scaling, index: int, step: int, policy: Params) -> None:
    """Measure and record; Ctrl-C may break it off, and nothing is recorded then."""
    name, path = run.experiment.stage_names[index], run.workdir / SCALING / f"{config.name}.jsonl"
    if any((r["stage"], r["step"], r["fraction"], r["budget"]) == (name, step, None, None) for r in read_rows(path)):
        return  # the row of whole responses is the last to be written
    run.display.note(f"scaling: {config.name}, {config.problems} problems")
    with run.spent.phase("evaluate"), run.interrupts.abortable():
        problems = with_suffix(run.experiment.problems.heldout(config.problems), run.prompt_suffix(index))
        responder = run.responder(run.sampling(index, config.sampling), config.batch_size)
        scaler = make_scaler(config, problems, responder, run.model, run.tokenizer, run.experiment.checker)
        summarizer = summary_model(run, index, policy)
        results = scaler(policy, summarizer, key_of(run.key, config.name, 0), stage=name, step=step)
    append_rows(path, [to_row(result) for result in results])
    run.display.say(f"{name} {step}  {config.name}: {in_words(results)}")


def summary_model(run: Run, index: int, policy: Params) -> Summarizer | None:
    """The policy that a stage which learns from rewards began with: what the stage before it left.

    A policy that has learned from demonstrations only is its own summary model, and so is one that began at random.
    `policy` says how the parameters lie.
    """
    rewarded = run.experiment.stages[index].kind not in UNREWARDED
    if index == 0 or not rewarded or not has_checkpoint(run.stage_folder(index - 1)):
        return None
    step, before = load_policy(run, index - 1, policy)
    return Summarizer(f"{run.experiment.stage_names[index - 1]} {step}", before)


def load_policy(run: Run, index: int, like: Params) -> tuple[int, Params]:
    """The step and the policy of a stage's newest checkpoint; nothing else of it is read."""
    with contextlib.closing(Saver(run.stage_folder(index))) as saver:
        step = saver.latest_step()
        assert step is not None  # or it would not have been asked for
        part, _ = saver.restore_part(step, {"params": {"policy": like}})
    return step, part["params"]["policy"]


def write_grids(run: Run, index: int, step: int) -> None:
    """Put the samples drawn at this step in a grid of votes and budgets, one for each eval at the end of stages."""
    name = run.experiment.stage_names[index]
    for config in run.experiment.evals:
        path = run.workdir / GRIDS / f"{config.name}.jsonl"
        known = any((row["stage"], row["step"]) == (name, step) for row in read_rows(path))
        if config.every is None and config.samples > 1 and not known:
            samples = recorded_samples(run, config.name, name, step)
            budgets = (*config.budgets, config.sampling.max_response)
            append_rows(path, [to_row(row) for row in vote_grid(samples, run.experiment.verifier, budgets)])


def recorded_samples(run: Run, name: str, stage: str, step: int) -> list[Sample]:
    """What an eval has written down at a step; of a sample written twice, before and after a crash, the last."""
    rows = read_rows(run.workdir / "samples" / f"{name}.jsonl")
    found = [Sample(**row) for row in rows if (row["stage"], row["step"]) == (stage, step)]
    return list({(sample.problem, sample.sample): sample for sample in found}.values())


def scale_run(run: Run) -> tuple[list[ScalingResult], list[GridResult]]:
    """All that is recorded, after measuring what is not yet: the ends of stages, and the newest policy.

    An experiment without scalings is given one that asks what its eval at the end of stages asks.
    """
    newest, like = newest_stage(run.workdir, run.experiment), run.init_params()["policy"]
    assert newest is not None  # or the run would not have been opened
    scalings = run.experiment.scalings or default_scalings(run.experiment)
    with locked(run.workdir):
        for index in range(newest + 1):
            if has_checkpoint(run.stage_folder(index)) and (index == newest or is_watched(run.experiment, index)):
                step, policy = load_policy(run, index, like)
                for config in scalings:
                    scale(run, config, index, step, policy)
                write_grids(run, index, step)
    results = [r for s in scalings for r in read_records(run.workdir / SCALING / f"{s.name}.jsonl", ScalingResult)]
    evals = run.experiment.evals
    return results, [r for e in evals for r in read_records(run.workdir / GRIDS / f"{e.name}.jsonl", GridResult)]


def default_scalings(experiment: Experiment) -> tuple[Scaling, ...]:
    """One for each eval at the end of stages: the same problems, responses of the same length, the same budgets."""
    return tuple(
        Scaling(e.name, e.problems, budgets=e.budgets, sampling=e.sampling, batch_size=e.batch_size)
        for e in experiment.evals
        if e.every is None
    )


def in_words(results: Sequence[ScalingResult]) -> str:
    """The first and the last fraction, in a line."""
    ends = [result for result in results if result.fraction is not None]
    told = [f"{r.fraction:.0%} of thinking {r.own:.3f}" for r in dict.fromkeys(ends[:1] + ends[-1:])]
    return ", ".join([*told, f"whole responses {results[-1].own:.3f}"])
