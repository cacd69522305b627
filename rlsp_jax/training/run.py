"""What all stages of a run share: mesh, model, tokenizer, judge, records, key, and what was spent."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from rlsp_jax.algorithms.return_conditioned import Conditioned
from rlsp_jax.behaviors.analytics import mean_behaviors
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import Tokenizer, with_suffix
from rlsp_jax.evaluation import Eval, Evaluator, Judge, Responder
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import AXES, ActorCritic, OutcomeModel
from rlsp_jax.records import EvalResult, append_rows, read_rows, to_row
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.training.beginning import init_params
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.effort import EffortGrader
from rlsp_jax.training.interrupts import Interrupts
from rlsp_jax.training.metrics import Log
from rlsp_jax.training.progress import Display
from rlsp_jax.training.promise import Oracle, load_oracle, make_oracle
from rlsp_jax.training.spent import Spent
from rlsp_jax.training.workdir import stage_end, stage_folder
from rlsp_jax.types import Params, PyTree


class Run:
    """An experiment in a workdir, while a process works on it."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        *,
        mesh: Mesh,
        tokenizer: Tokenizer,
        judge: Judge,
        display: Display,
        interrupts: Interrupts,
        log: Log,
        spent: Spent,
    ):
        self.experiment, self.workdir, self.mesh = experiment, workdir, mesh
        self.tokenizer, self.judge, self.spent = tokenizer, judge, spent
        self.display, self.interrupts, self._log = display, interrupts, log
        self.key = jax.random.key(experiment.seed)
        self.model = ActorCritic(experiment.model, experiment.model.vocab_size or tokenizer.vocab_size)
        self._responders: dict[tuple[SamplingConfig, int], Responder] = {}
        self._evaluators: dict[tuple[Eval, str], Evaluator] = {}
        self._ends: dict[int, int] = {}
        self._oracle: Oracle | None = None

    # ---- parameters ----

    def init_params(self) -> Params:
        """The parameters that the run begins with (`beginning.init_params`)."""
        return init_params(self.experiment, self.workdir, self.model, self.mesh)

    def place(self, state: PyTree) -> PyTree:
        """A train state on the mesh: optimizer moments and references lie as their parameters do."""
        return jax.device_put(state, tree_shardings(self.mesh, state, AXES))

    def earlier_stages(self, index: int) -> list[Any]:
        """The configs of the same kind that come before a stage: what they have drawn is not drawn again."""
        stages = self.experiment.stages
        return [stage for stage in stages[:index] if stage.kind == stages[index].kind]

    def stage_folder(self, index: int) -> Path:
        return stage_folder(self.workdir, self.experiment, index)

    def stage_end(self, index: int) -> int:
        """A stage's last step, as far as is known: a stage may find that it has learned enough."""
        if index not in self._ends:
            self._ends[index] = stage_end(self.workdir, self.experiment, index)
        return self._ends[index]

    def end_stage(self, index: int, step: int) -> None:
        """Let this be a stage's last step from now on."""
        self._ends[index] = step

    def prompt_suffix(self, index: int) -> str:
        """What a stage's policy is shown after every question."""
        stage = self.experiment.stages[index]
        return stage.prompt_suffix if isinstance(stage, Conditioned) else ""

    def marks(self, index: int) -> tuple[int, ...]:
        """The labels that a stage's policy writes into its responses, as tokens, the one that is wanted last."""
        stage = self.experiment.stages[index]
        return tuple(self.tokenizer.encode(text)[0] for text in stage.marks) if isinstance(stage, Conditioned) else ()

    def sampling(self, index: int, sampling: SamplingConfig) -> SamplingConfig:
        """How a stage's policy is sampled from: as it says here, and never a label that is not wanted."""
        return dataclasses.replace(sampling, suppress=(*sampling.suppress, *self.marks(index)[:-1]))

    # ---- responses ----

    def responder(self, sampling: SamplingConfig, rows: int) -> Responder:
        """The one responder of these shapes: what is compiled for training serves evaluation."""
        key = (sampling, rows)
        if key not in self._responders:
            arguments = (self.mesh, self.model, self.judge, sampling, rows, self.experiment.max_prompt)
            self._responders[key] = Responder(*arguments, self.experiment.prompts)
        return self._responders[key]

    @functools.cached_property
    def effort_grader(self) -> EffortGrader:
        """The one grader of the run, whose budget is the judge's. `UserError` without the judge's key."""
        assert self.experiment.effort_judge is not None  # or the experiment would have been refused
        return EffortGrader(self.experiment.effort_judge, self.tokenizer, self.mesh, self.display.say, self.spent)

    @property
    def outcome_model(self) -> Oracle | None:
        """The newest outcome model that a stage has trained to its end; None before there is one."""
        if self._oracle is None:
            self._oracle = load_oracle(self.experiment, self.workdir, self.mesh, self.model)
        return self._oracle

    def keep_outcome_model(self, params: Params) -> None:
        """Let these be the parameters of the outcome model from now on."""
        model = OutcomeModel(self.model.config, self.model.vocab_size)
        self._oracle = make_oracle(self.mesh, model, params)

    def asked(self, config: Eval, index: int) -> Evaluator:
        """The evaluator of an eval as a stage's policy is to be asked."""
        config = dataclasses.replace(config, sampling=self.sampling(index, config.sampling))
        return self.evaluator(config, self.prompt_suffix(index), self.marks(index))

    def evaluator(self, config: Eval, suffix: str = "", marks: tuple[int, ...] = ()) -> Evaluator:
        """The one evaluator of an eval whose questions end in `suffix`; it reranks once there is an outcome model.

        An outcome model knows no marks: it reads responses without them.
        """
        key = (config, suffix)
        if key not in self._evaluators:
            problems = with_suffix(self.experiment.problems.heldout(config.problems), suffix)
            responder = self.responder(config.sampling, config.batch_size)
            self._evaluators[key] = Evaluator(config, problems, responder, self.experiment.verifier, mean_behaviors)
        rank = None if self.outcome_model is None else functools.partial(self.outcome_model.rank, unread=marks)
        return dataclasses.replace(self._evaluators[key], rank=rank)

    # ---- records ----

    def write_metrics(self, index: int, step: int, values: Mapping[str, float]) -> None:
        self._log.write(self.experiment.stage_names[index], index, step, self.spent, values)

    def evaluate_due(self, index: int, step: int, policy: Params) -> None:
        """Run the evals that this step calls for, unless their results are already recorded."""
        stage = self.experiment.stages[index]
        last = step == self.stage_end(index)
        for config in self.experiment.evals:
            due = last if config.every is None else stage.watched(step, config.every)
            if due and not self._recorded(config.name, index, step):
                self.evaluate(config, index, step, policy)

    def evaluate(self, config: Eval, index: int, step: int, policy: Params) -> None:
        """Run an eval and record it; Ctrl-C may break it off, and nothing is recorded then."""
        name = self.experiment.stage_names[index]
        self.display.note(f"evaluating: {config.name}, {config.problems} problems")
        with self.spent.phase("evaluate"), self.interrupts.abortable():
            evaluator = self.asked(config, index)
            results, samples = evaluator(policy, key_of(self.key, config.name, 0), stage=name, step=step)
        append_rows(self.workdir / "samples" / f"{config.name}.jsonl", [to_row(sample) for sample in samples])
        overall, *by_level = self.result_rows(results)
        append_rows(self.workdir / "evals" / f"{config.name}.jsonl", [*by_level, overall])  # the last row seals it
        self._log.write_eval(results[0])
        best = results[0]
        drawn = f", pass@1 {best.pass_at['1']:.3f}" if best.pass_at else ""
        self.display.say(
            f"{name} {step}  {config.name}: greedy {best.greedy:.3f}{drawn}, "
            f"backtracks {best.greedy_behaviors.backtracks:.2f}, length {best.greedy_length:.1f}"
        )

    def result_rows(self, results: Sequence[EvalResult]) -> list[dict[str, Any]]:
        """Results as they are written down: each with the tokens that training had generated by then."""
        return [to_row(result) | {"training_tokens": self.spent.tokens_generated} for result in results]

    def _recorded(self, name: str, index: int, step: int) -> bool:
        """Whether an evaluation is written down as a whole: its row over all levels is the last to be written."""
        sought = (self.experiment.stage_names[index], step, "all")
        rows = read_rows(self.workdir / "evals" / f"{name}.jsonl")
        return any((row["stage"], row["step"], row["level"]) == sought for row in rows)
