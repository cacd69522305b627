"""The supervised loop: batch → update."""

import jax
import numpy as np

from rlsp_jax.algorithms import sft
from rlsp_jax.data import SearchTraces
from rlsp_jax.data.packing import pack
from rlsp_jax.sharding import check_rows, place_rows
from rlsp_jax.training.run import Run
from rlsp_jax.training.stage import StageRun
from rlsp_jax.types import Demonstrations, Params

LOG_EVERY = 20
SAVE_EVERY = 500


def train_supervised(run: Run, index: int, config: sft.Config, params: Params) -> Params:
    """Imitate; return the parameters after the last step."""
    check_rows(run.mesh, batch_size=config.batch_size // config.micro_batches)
    pool = write_demonstrations(run, config)
    update = sft.make_update_fn(run.model, config)
    stage = StageRun(run, index, config, run.place(sft.init_state(config, params)), log_every=LOG_EVERY, save_every=SAVE_EVERY)
    for step in stage.steps():
        rows = batch_rows(len(pool.tokens), config.batch_size, step, run.experiment.seed)
        batch = place_rows(run.mesh, jax.tree.map(lambda x: x[rows], pool))  # noqa: B023
        stage.state, metrics = update(stage.state, batch)
        if stage.due(step):
            stage.record(step, metrics | {"sft/tokens": np.float32(pool.mask[rows].sum() * LOG_EVERY)}, tokens="sft/tokens")
    return stage.state.params


def write_demonstrations(run: Run, config: sft.Config) -> Demonstrations:
    """All demonstrations of the stage, packed; the same ones every time."""
    questions, responses = demonstration_texts(run.experiment.problems, config.demonstrations, config.num_demonstrations)
    return pack(run.tokenizer, questions, responses, length=config.row_length)


def demonstration_texts(source, demonstrations: SearchTraces, count: int) -> tuple[list[str], list[str]]:
    """Questions of the first `count` training problems and a worked response to each."""
    problems = source.problems("train", 0, count)
    return [p.question for p in problems], [demonstrations.trace(p, i) for i, p in enumerate(problems)]


def batch_rows(total: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """The rows of a step's batch: a new order of all rows each epoch, a function of the step alone."""
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = np.unique(places // total)
    orders = {epoch: np.random.default_rng((seed, int(epoch))).permutation(total) for epoch in epochs}
    return np.asarray([orders[place // total][place % total] for place in places])
