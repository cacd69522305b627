"""A run: the workdir, the things that last from stage to stage, and the stages in order."""

import contextlib
import functools
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from rlsp_jax.behaviors.analytics import mean_behaviors
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import SentencePieceTokenizer
from rlsp_jax.evaluation import Eval, Evaluator, Judge, Responder
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import AXES, ActorCritic
from rlsp_jax.records import append_rows, read_rows, to_row
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.metrics import Log
from rlsp_jax.training.progress import Display
from rlsp_jax.types import Params, PyTree


class Progress:
    """What a run has spent so far, over all its sessions; saved with every checkpoint."""

    def __init__(self):
        self.tokens_generated = 0
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the wall time of the block towards a phase."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    def dump(self) -> dict[str, Any]:
        return {"tokens_generated": self.tokens_generated, "seconds": dict(self.seconds)}

    def load(self, saved: Mapping[str, Any]) -> None:
        self.tokens_generated, self.seconds = saved["tokens_generated"], dict(saved["seconds"])


class Run:
    """What every stage shares: mesh, model, tokenizer, judge, records, key."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        *,
        mesh: Mesh,
        tokenizer: SentencePieceTokenizer,
        judge: Judge,
        display: Display,
        log: Log,
        interrupted: Callable[[], bool] = lambda: False,
    ):
        self.experiment, self.workdir, self.mesh = experiment, workdir, mesh
        self.tokenizer, self.judge, self.display = tokenizer, judge, display
        self.interrupted = interrupted
        self.progress = Progress()
        self.key = jax.random.key(experiment.seed)
        self.model = ActorCritic(experiment.model, experiment.model.vocab_size or tokenizer.vocab_size)
        self._log = log
        self._responders: dict[tuple[SamplingConfig, int], Responder] = {}

    # ---- parameters ----

    def init_params(self) -> Params:
        """Fresh parameters, made where they will lie."""
        key = key_of(self.key, "init", 0)
        shapes = jax.eval_shape(self.model.init, key)
        return jax.jit(self.model.init, out_shardings=tree_shardings(self.mesh, shapes, AXES))(key)

    def place(self, state: PyTree) -> PyTree:
        """A train state on the mesh: optimizer moments and references lie as their parameters do."""
        return jax.device_put(state, tree_shardings(self.mesh, state, AXES))

    def stage_folder(self, index: int) -> Path:
        return self.workdir / "checkpoints" / f"{index}_{self.experiment.stage_names[index]}"

    # ---- responses ----

    def responder(self, sampling: SamplingConfig, rows: int) -> Responder:
        """The one responder of these shapes: what is compiled for training serves evaluation."""
        key = (sampling, rows)
        if key not in self._responders:
            arguments = (self.mesh, self.model, self.judge, sampling, rows, self.experiment.max_prompt)
            self._responders[key] = Responder(*arguments)
        return self._responders[key]

    @functools.cache  # noqa: B019  a run lives as long as its process
    def evaluator(self, config: Eval) -> Evaluator:
        problems = self.experiment.problems.heldout(config.problems)
        responder = self.responder(config.sampling, config.batch_size)
        return Evaluator(config, problems, responder, self.experiment.verifier, mean_behaviors)

    # ---- records ----

    def write_metrics(self, stage: str, index: int, step: int, values: Mapping[str, float]) -> None:
        spent = {"seconds": round(self.progress.total_seconds, 3), "tokens_generated": self.progress.tokens_generated}
        self._log.write({"stage": stage, "stage_index": index, "step": step, **spent, **values})

    def evaluate_due(self, index: int, step: int, total: int, policy: Params) -> None:
        """Run the evals that this step calls for, unless their results are already recorded."""
        draws_samples = self.experiment.stages[index].kind != "sft"
        for config in self.experiment.evals:
            due = step == total if config.every is None else draws_samples and (step % config.every == 0 or step == total)
            if due and not self._recorded(config.name, index, step):
                self.evaluate(config, index, step, policy)

    def evaluate(self, config: Eval, index: int, step: int, policy: Params) -> None:
        name = self.experiment.stage_names[index]
        with self.progress.phase("evaluate"):
            results, samples = self.evaluator(config)(policy, key_of(self.key, config.name, 0), stage=name, step=step)
        append_rows(self.workdir / "samples" / f"{config.name}.jsonl", [to_row(sample) for sample in samples])
        rows = [to_row(result) | {"training_tokens": self.progress.tokens_generated} for result in results]
        append_rows(self.workdir / "evals" / f"{config.name}.jsonl", rows)
        best = results[0]
        drawn = f", pass@1 {best.pass_at['1']:.3f}" if best.pass_at else ""
        self.display.say(
            f"{name} step {step}: eval {config.name} on {best.problems} problems: greedy {best.greedy:.3f}{drawn}, "
            f"backtracks {best.greedy_behaviors.backtracks:.2f}, length {best.greedy_length:.1f}"
        )

    def _recorded(self, name: str, index: int, step: int) -> bool:
        stage = self.experiment.stage_names[index]
        rows = read_rows(self.workdir / "evals" / f"{name}.jsonl")
        return any(row["stage"] == stage and row["step"] == step for row in rows)


@contextlib.contextmanager
def catch_interrupt(display: Display) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or SIGTERM) into a flag, so that a step can finish and be saved; a second one raises."""
    caught = []

    def handler(number, frame):
        if caught:
            raise KeyboardInterrupt
        caught.append(number)
        display.say("Finishing this step and saving. Press Ctrl-C again to stop at once.")

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handler) for number in signals]
    try:
        yield lambda: bool(caught)
    finally:
        for number, old in zip(signals, before, strict=True):
            signal.signal(number, old)
