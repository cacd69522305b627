"""One stage of a run while it runs: restored, counted, watched, saved. The loops say only what they do."""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType

import jax
import numpy as np

from rlsp_jax.checkpoints import Saver
from rlsp_jax.common.errors import Interrupted, UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.common.trees import all_finite
from rlsp_jax.training.config import Stage
from rlsp_jax.training.run import Run
from rlsp_jax.training.scaling import scale_due
from rlsp_jax.training.spent import GENERATED
from rlsp_jax.training.workdir import STOPPED
from rlsp_jax.types import TrainState


class StageRun:
    """Counts a stage's steps from where its newest checkpoint left off.

    Inside a `with` block, loop over `steps()`; there, replace `state` and `record` what the step made. Between two
    steps it evaluates and saves on schedule; on Ctrl-C the block saves and ends with `Interrupted`. A `UserError`
    that stops the stage finds it saved too, unless the parameters are no longer finite.
    """

    def __init__(
        self,
        run: Run,
        index: int,
        config: Stage,
        state: TrainState,
        *,
        log_every: int,
        save_every: int,
    ):
        self.run, self.config, self.name, self.index = run, config, run.experiment.stage_names[index], index
        self.state, self.done, self.end = state, 0, run.stage_end(index)
        self._log_every, self._save_every = log_every, save_every
        self.key = key_of(run.key, "stage", index)
        self._saver = Saver(run.stage_folder(index))
        step = self._saver.latest_step()
        if step is not None:
            self.state, spent = self._saver.restore(step, state)
            run.spent.add(spent)
            self.done = step
        self._recorded, self._recorded_at = self.done, time.monotonic()

    def __enter__(self) -> "StageRun":
        self.run.display.begin(self.name, self.done, self.end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is KeyboardInterrupt and not self.run.interrupts.impatient:
                self._save()
                where = f"after step {self.done} of {self.end} of stage {self.name!r}"
                raise Interrupted(f"Stopped {where}; everything is saved.") from None
            if isinstance(error, UserError) and all_finite(self.state.params):
                self.done = int(self.state.step)  # one more, if the step that is complained of was taken
                self._save()
        finally:
            self.run.display.end()
            self._saver.close()

    def steps(self) -> Iterator[int]:
        """The numbers of the steps still to take."""
        self._check_finite(self.done - 1, int(self.state.bad_steps), "before this start")
        while self.done < self.end:
            self._watch()
            with self.run.spent.phase(self.name):
                yield self.done
                self.done += 1
                if self.done % self._save_every == 0 or self.done == self.end:
                    self._save()
            self.run.interrupts.check()
        self._watch()

    def due(self, step: int) -> bool:
        """Whether this step's metrics are to be fetched from the device and recorded."""
        return step % self._log_every == 0 or step + 1 == self.end

    def stop_after(self, step: int) -> None:
        """Make this step the stage's last one; its record, which must follow, says so to whoever comes later."""
        self.end = step + 1
        self.run.end_stage(self.index, self.end)

    def record(
        self, step: int, metrics: Mapping[str, jax.Array | np.ndarray], *, tokens: str, about: str
    ) -> dict[str, float]:
        """Fetch, write, show and return a step's metrics.

        `metrics[tokens]` is how many tokens the step generated or read. `about` names what it learned from, for the
        message of the `UserError` that ends a stage whose updates are not finite.
        """
        fetched, bad_steps = jax.device_get(({**metrics, "update/skipped": self.state.skipped}, self.state.bad_steps))
        values = {name: float(value) for name, value in fetched.items()}
        values["speed/tokens"] = values[tokens] * self._steps_per_second(step + 1)
        if self.end == step + 1 < self.config.num_steps:
            values[STOPPED] = 1.0
        self.run.spent.tokens_generated += int(sum(values.get(name, 0) for name in GENERATED))
        self.run.write_metrics(self.index, step, values)
        self.run.display.update(step + 1, values)
        self._check_finite(step, int(bad_steps), about)
        return values

    def _steps_per_second(self, done: int) -> float:
        """Over the steps since the last record, evaluations left out."""
        steps, seconds = done - self._recorded, time.monotonic() - self._recorded_at
        self._recorded, self._recorded_at = done, time.monotonic()
        return steps / max(seconds, 1e-9)

    def _check_finite(self, step: int, count: int, about: str) -> None:
        if count >= self.config.max_bad_steps:
            raise UserError(
                f"Stage {self.name!r} stopped at step {step} ({about}): the loss or its gradients were not finite in "
                f"{count} updates in a row, which were skipped; lower the learning rate: that is another run, so give "
                "it another --workdir or add --overwrite."
            )

    def _watch(self) -> None:
        start = time.monotonic()
        self.run.evaluate_due(self.index, self.done, self.state.params["policy"])
        scale_due(self.run, self.index, self.done, self.state.params["policy"])
        self._recorded_at += time.monotonic() - start

    def _save(self) -> None:
        self._saver.save(self.done, self.state, self.run.spent.dump())
