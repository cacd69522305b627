"""The supervised loop: batch → update."""

import jax
import numpy as np

from rlsp_jax.algorithms import sft
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import (
    Conversations,
    DemonstrationSource,
    OwnProblems,
    ProblemSource,
    Tokenizer,
    pack,
    pack_conversations,
    shuffled_rows,
)
from rlsp_jax.sharding import place_rows
from rlsp_jax.training.run import Run
from rlsp_jax.training.stage import StageRun
from rlsp_jax.types import Demonstrations, Params

LOG_EVERY = 20
SAVE_EVERY = 500


def train_supervised(run: Run, index: int, config: sft.Config, params: Params) -> Params:
    """Imitate; return the parameters after the last step."""
    with run.spent.phase("setup"), run.interrupts.abortable():
        run.display.say(f"Writing {config.num_demonstrations:,} demonstrations.")
        first = sum(earlier.num_demonstrations for earlier in run.earlier_stages(index))
        pool = write_demonstrations(run, config, first)
        update = sft.make_update_fn(run.model, config)
        state = run.place(sft.init_state(config, params))
    with StageRun(run, index, config, state, log_every=LOG_EVERY, save_every=SAVE_EVERY) as stage:
        for step in stage.steps():
            rows = take_rows(pool, batch_rows(len(pool.tokens), config.batch_size, step, (run.experiment.seed, index)))
            stage.state, metrics = update(stage.state, place_rows(run.mesh, rows))
            if stage.due(step):
                tokens = np.asarray(rows.mask.sum())
                stage.record(
                    step, {**metrics, "sft/tokens": tokens}, tokens="sft/tokens", about=name_batch(run.tokenizer, rows)
                )
    return stage.state.params


def write_demonstrations(run: Run, config: sft.Config, first: int) -> Demonstrations:
    """All demonstrations of the stage, packed; the same ones every time, and others than those of earlier stages."""
    prompts, length = run.experiment.prompts, config.row_length
    if isinstance(config.demonstrations, Conversations):
        conversations = config.demonstrations.conversations(first, config.num_demonstrations)
        return pack_conversations(run.tokenizer, conversations, length=length, prompts=prompts)
    numbers = range(first, first + config.num_demonstrations)
    questions, responses = demonstration_texts(run.experiment.problems, config.demonstrations, numbers)
    return pack(run.tokenizer, questions, responses, length=length, prompts=prompts)


def demonstration_texts(
    source: ProblemSource, demonstrations: DemonstrationSource | Conversations, numbers: range
) -> tuple[list[str], list[str]]:
    """Questions of these demonstration problems and a worked response to each."""
    if isinstance(demonstrations, Conversations):
        raise UserError("Conversations are no responses to problems, which are needed here; only SFT imitates them.")
    if isinstance(demonstrations, OwnProblems):
        problems = demonstrations.problems(numbers.start, len(numbers))
    else:
        problems = source.problems("demonstrations", numbers.start, len(numbers))
    return [p.question for p in problems], [demonstrations.trace(p, p.number) for p in problems]


def batch_rows(total: int, batch_size: int, step: int, seed: tuple[int, ...]) -> np.ndarray:
    """The rows of a step's batch: a new order of all rows each epoch, a function of the step alone."""
    return shuffled_rows(total, step * batch_size, batch_size, seed)


def take_rows(pool: Demonstrations, rows: np.ndarray) -> Demonstrations:
    return jax.tree.map(lambda x: x[rows], pool)


def name_batch(tokenizer: Tokenizer, batch: Demonstrations) -> str:
    """A batch, by the problem that each of its rows begins with."""
    first = (batch.segments == 1) & ~batch.mask
    texts = [tokenizer.decode(row[asked].tolist()).strip() for row, asked in zip(batch.tokens, first, strict=True)]
    return "problems " + ", ".join(map(repr, texts[:4])) + (", …" if len(texts) > 4 else "")
