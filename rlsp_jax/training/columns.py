"""The columns of `Verdicts` that no checker fills: made for the stages whose streams need them, and for no others."""

from typing import Protocol, runtime_checkable

from rlsp_jax.rewards import Stream, needed_columns
from rlsp_jax.training.run import Run
from rlsp_jax.types import Params, Rollout, Verdicts


@runtime_checkable
class PaidStage(Protocol):
    """A stage's config, of whatever algorithm."""

    @property
    def streams(self) -> tuple[Stream, ...]: ...


def fill_columns(run: Run, config: PaidStage, params: Params, rollout: Rollout, verdicts: Verdicts) -> Verdicts:
    """The verdicts with every column that the stage's streams need. `params` are those that the rollout came from."""
    needed = needed_columns(config.streams)
    if "effort" in needed:
        verdicts = verdicts._replace(effort=run.effort_grader.grade(rollout))
    if "promise" in needed:
        assert run.outcome_model is not None  # a stage has trained it, or the experiment would have been refused
        verdicts = verdicts._replace(promise=run.outcome_model.promise(rollout))
    return verdicts
