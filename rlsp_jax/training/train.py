"""`rlsp train`: open the workdir, run the stages in order, write the summary."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax

from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.data import SearchTraces, SentencePieceTokenizer, load_sentencepiece
from rlsp_jax.evaluation import make_judge
from rlsp_jax.sharding import make_mesh
from rlsp_jax.training.config import Experiment, Loaded
from rlsp_jax.training.metrics import Log
from rlsp_jax.training.progress import Display
from rlsp_jax.training.rl import train_rl
from rlsp_jax.training.run import Run, catch_interrupt
from rlsp_jax.training.summary import write_summary
from rlsp_jax.training.supervised import demonstration_texts, train_supervised
from rlsp_jax.training.workdir import open_workdir
from rlsp_jax.types import Params
from rlsp_jax.verifiers import VerifierPool

TOKENIZER_FILE = "tokenizer.model"
TOKENIZER_TEXTS = 5000


def train(loaded: Loaded, workdir: Path, display: Display, *, overwrite: bool = False, tensorboard: bool = False) -> None:
    """Run an experiment in a workdir, or go on with it; raises `Interrupted` after a Ctrl-C, with everything saved."""
    experiment = loaded.experiment
    mesh = make_mesh(experiment.mesh)
    if open_workdir(loaded, workdir, overwrite=overwrite):
        display.say(f"Going on with the run in {workdir}.")
    with catch_interrupt(display) as interrupted, open_run(experiment, workdir, mesh, display, tensorboard=tensorboard) as run:
        run.interrupted = interrupted
        with jax.set_mesh(mesh):
            run_stages(run)
        write_summary(run)


@contextlib.contextmanager
def open_run(experiment: Experiment, workdir: Path, mesh, display: Display, *, tensorboard: bool = False) -> Iterator[Run]:
    """A run with its tokenizer trained or loaded and its verifier pool; the pool closes with the block."""
    tokenizer = load_tokenizer(experiment, workdir)
    with VerifierPool(experiment.verifier, num_workers=experiment.verifier_workers) as pool:
        judge = make_judge(mesh, experiment.checker, pool, tokenizer)
        log = Log(workdir, tensorboard=tensorboard)
        yield Run(experiment, workdir, mesh=mesh, tokenizer=tokenizer, judge=judge, display=display, log=log)


def load_tokenizer(experiment: Experiment, workdir: Path) -> SentencePieceTokenizer:
    """The workdir's tokenizer; at first start it is trained on the first stage's demonstrations."""
    path = workdir / "checkpoints" / TOKENIZER_FILE
    if path.is_file():
        return load_sentencepiece(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    demonstrations = next((s.demonstrations for s in experiment.stages if isinstance(s, sft.Config)), SearchTraces())
    questions, responses = demonstration_texts(experiment.problems, demonstrations, TOKENIZER_TEXTS)
    texts = (question + response for question, response in zip(questions, responses, strict=True))
    return experiment.tokenizer.train(texts, path)


def run_stages(run: Run) -> None:
    """Each stage takes parameters and returns parameters; stages whose successor has begun are skipped."""
    stages = run.experiment.stages
    begun = [index for index in range(len(stages)) if has_checkpoint(run, index)]
    params: Params = run.init_params()
    for index in range(max(begun, default=0), len(stages)):
        match stages[index]:
            case sft.Config() as config:
                params = train_supervised(run, index, config, params)
            case ppo.Config() as config:
                params = train_rl(run, index, config, params)


def has_checkpoint(run: Run, index: int) -> bool:
    """Whether a stage has a finished checkpoint."""
    folder = run.stage_folder(index)
    return folder.is_dir() and any(path.name.isdigit() for path in folder.iterdir())
