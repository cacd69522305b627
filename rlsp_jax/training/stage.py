"""One stage of a run while it runs: restored, counted, watched, saved. The loops say only what they do."""

import time
from collections.abc import Iterator, Mapping

import jax

from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.errors import Interrupted, UserError
from rlsp_jax.common.trees import copy
from rlsp_jax.training.run import Run
from rlsp_jax.types import TrainState


class StageRun:
    """Counts a stage's steps from where its newest checkpoint left off.

    Loop over `steps()`; inside, replace `state` and `record` what the step made. Between two steps it evaluates, saves on
    schedule, and on Ctrl-C saves and raises `Interrupted`.
    """

    def __init__(self, run: Run, index: int, config: sft.Config | ppo.Config, state: TrainState, *, log_every: int, save_every: int):
        self.run, self.config, self.name, self.index = run, config, run.experiment.stage_names[index], index
        self.state = state
        self._log_every, self._save_every = log_every, save_every
        self._saver = Saver(run.stage_folder(index))
        self._recorded = time.monotonic()
        self._tokens = 0
        step = self._saver.latest_step()
        if step is not None:
            self.state, progress = self._saver.restore(step, state)
            run.progress.load(progress)
        self._done = step or 0

    def steps(self) -> Iterator[int]:
        """The numbers of the steps still to take."""
        run, total = self.run, self.config.num_steps
        run.display.begin(self.name, self._done, total)
        try:
            for step in range(self._done, total):
                self._watch(step)
                with run.progress.phase(self.name):
                    yield step
                self._done = step + 1
                if run.interrupted():
                    self._save()
                    raise Interrupted(f"Stopped after step {self._done} of {total} of stage {self.name!r}.")
                if self._done % self._save_every == 0 or self._done == total:
                    self._save()
        finally:
            run.display.end()
            self._saver.close()
        self._watch(total)

    def due(self, step: int) -> bool:
        """Whether this step's metrics are to be fetched from the device and recorded."""
        return (step + 1) % self._log_every == 0 or step + 1 == self.config.num_steps

    def record(self, step: int, metrics: Mapping[str, jax.Array], *, tokens: str, about: str = "") -> dict[str, float]:
        """Fetch, write and return a step's metrics. `metrics[tokens]` counts what was generated or read since the last record."""
        values = {name: float(value) for name, value in jax.device_get(dict(metrics)).items()}
        now = time.monotonic()
        values["speed/tokens"] = values[tokens] / max(now - self._recorded, 1e-9)
        self._recorded = now
        if tokens.startswith("rollout/"):
            self.run.progress.tokens_generated += int(values[tokens])
        self.run.write_metrics(self.name, self.index, step, values)
        self.run.display.update(step + 1, values)
        self._check_finite(step, about)
        return values

    def _check_finite(self, step: int, about: str) -> None:
        bad_steps = int(self.state.bad_steps)
        if bad_steps >= self.config.max_bad_steps:
            raise UserError(
                f"Stage {self.name!r} stopped at step {step}: the gradients were not finite in {bad_steps} updates in a row"
                f"{about}. They were skipped, and the last checkpoint is sound; lower the learning rate, then resume."
            )

    def _watch(self, step: int) -> None:
        self.run.evaluate_due(self.index, step, self.config.num_steps, self.state.params["policy"])

    def _save(self) -> None:
        self._saver.save(self._done, copy(self.state), self.run.progress.dump())
