"""`rlsp train`: open the workdir, run the stages in order, write the summary."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jax.sharding import Mesh

from rlsp_jax.algorithms import sft
from rlsp_jax.data import (
    ArrangementTraces,
    Conversations,
    Countdown,
    Permutations,
    PretrainedTokenizer,
    SearchTraces,
    Tokenizer,
    load_pretrained,
    load_sentencepiece,
)
from rlsp_jax.evaluation import make_judge
from rlsp_jax.sharding import make_mesh
from rlsp_jax.training.checks import (
    check_effort_judge,
    check_labels,
    check_markers,
    check_prompts,
    check_sizes,
    check_vocab,
    check_weights,
)
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.experiment_file import Loaded
from rlsp_jax.training.fit import check_memory
from rlsp_jax.training.interrupts import Interrupts
from rlsp_jax.training.metrics import Log, check_tensorboard
from rlsp_jax.training.progress import Display
from rlsp_jax.training.reuse import adopt
from rlsp_jax.training.run import Run
from rlsp_jax.training.spent import Spent
from rlsp_jax.training.stages import train_stage
from rlsp_jax.training.summary import write_summary
from rlsp_jax.training.supervised import demonstration_texts
from rlsp_jax.training.workdir import PRETRAINED_TOKENIZER, TOKENIZER, locked, newest_stage, open_workdir
from rlsp_jax.types import Params
from rlsp_jax.verifiers import VerifierPool

TOKENIZER_TEXTS = 5000
VERIFY_SECONDS = 10.0  # an item's deadline: so long that a busy machine changes no verdict
VERIFY_MEGABYTES = 2048 if sys.platform.startswith("linux") else None  # far more than a judge needs


def train(
    loaded: Loaded,
    workdir: Path,
    display: Display,
    *,
    overwrite: bool = False,
    reuse: Path | None = None,
    tensorboard: bool = False,
    report: Callable[[Path], object] | None = None,
) -> None:
    """Run an experiment in a workdir, or go on with it, and write its summary and its report.

    `reuse` names another run, whose first stages are taken over as far as they are the same.
    Raises `Interrupted` after a Ctrl-C with everything saved, KeyboardInterrupt when there is nothing to save yet.
    """
    experiment, mesh = loaded.experiment, make_mesh(loaded.experiment.mesh)
    check_sizes(experiment, mesh)
    check_memory(experiment)
    check_effort_judge(experiment)
    if overwrite or newest_stage(workdir, experiment) is None:
        check_weights(experiment)
    if tensorboard:
        check_tensorboard()
    with locked(workdir):
        if open_workdir(loaded, workdir, overwrite=overwrite, reuse=reuse):
            display.say(f"Going on with the run in {workdir}.")
        interrupts = Interrupts(display.say)
        opened = open_run(experiment, workdir, mesh, display, interrupts=interrupts, tensorboard=tensorboard)
        with interrupts.caught(), jax.set_mesh(mesh), opened as run:
            with run.spent.phase("setup"), interrupts.abortable():
                check_prompts(experiment, run.tokenizer)
                check_labels(experiment, run.tokenizer)
                check_markers(experiment, run.tokenizer)
                if reuse is not None and newest_stage(workdir, experiment) is None:
                    adopt(run, reuse)
            run_stages(run)
            write_summary(run)  # a run that has one is finished, and its report says so
            with run.spent.phase("report"):
                if report is not None:
                    report(workdir)
            write_summary(run)


@contextlib.contextmanager
def open_run(
    experiment: Experiment,
    workdir: Path,
    mesh: Mesh,
    display: Display,
    *,
    interrupts: Interrupts | None = None,
    tensorboard: bool = False,
) -> Iterator[Run]:
    """A run with its tokenizer trained or loaded and its verifier pool; pool and log close with the block."""
    interrupts, spent = interrupts or Interrupts(display.say), Spent()
    with spent.phase("setup"), interrupts.abortable():
        tokenizer = load_tokenizer(experiment, workdir)
        check_vocab(experiment, tokenizer)
    with (
        VerifierPool(
            experiment.verifier,
            num_workers=experiment.verifier_workers,
            deadline=VERIFY_SECONDS,
            memory_limit_mb=VERIFY_MEGABYTES,
        ) as pool,
        contextlib.closing(Log(workdir, tensorboard=tensorboard)) as log,
    ):
        judge = make_judge(mesh, experiment.checker, pool, tokenizer, experiment.model.vocab_size)
        yield Run(
            experiment,
            workdir,
            mesh=mesh,
            tokenizer=tokenizer,
            judge=judge,
            display=display,
            interrupts=interrupts,
            log=log,
            spent=spent,
        )


def load_tokenizer(experiment: Experiment, workdir: Path) -> Tokenizer:
    """The workdir's tokenizer. At first start a published one is copied there, and one of the run's own is trained."""
    if isinstance(experiment.tokenizer, PretrainedTokenizer):
        return _copied_tokenizer(experiment.tokenizer, workdir / PRETRAINED_TOKENIZER)
    path = workdir / TOKENIZER
    if path.is_file():
        return load_sentencepiece(path)
    return experiment.tokenizer.train(_tokenizer_texts(experiment), path)


def _copied_tokenizer(config: PretrainedTokenizer, folder: Path) -> Tokenizer:
    """The tokenizer of a folder in the workdir, so that the run no longer needs the place that it came from."""
    if not folder.is_dir():
        config.load().save(folder)
    return load_pretrained(folder)


def _tokenizer_texts(experiment: Experiment) -> list[str]:
    """What a tokenizer learns from: the first stage's demonstrations, else questions."""
    problems = experiment.problems
    default = {Countdown: SearchTraces(), Permutations: ArrangementTraces()}.get(type(problems))
    demonstrations = next((s.demonstrations for s in experiment.stages if isinstance(s, sft.Config)), default)
    if demonstrations is None:
        return [problem.question for problem in problems.problems("train", 0, TOKENIZER_TEXTS)]
    if isinstance(demonstrations, Conversations):
        conversations = demonstrations.conversations(0, TOKENIZER_TEXTS)
        return [message["content"] for messages in conversations for message in messages]
    pairs = zip(*demonstration_texts(problems, demonstrations, range(TOKENIZER_TEXTS)), strict=True)
    return [question + response for question, response in pairs]


def run_stages(run: Run) -> None:
    """Each stage takes parameters and returns parameters; stages whose successor has begun are skipped."""
    with run.spent.phase("setup"):
        params: Params = run.init_params()
    for index in range(newest_stage(run.workdir, run.experiment) or 0, len(run.experiment.stages)):
        params = train_stage(run, index, params)
