"""The loop of a stage that trains an outcome model: the policy's responses → batch → update. The policy stays."""

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from rlsp_jax.algorithms import outcome_model
from rlsp_jax.algorithms.self_imitation import measure
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import pack_ids
from rlsp_jax.evaluation import estimators
from rlsp_jax.models import OutcomeModel
from rlsp_jax.records import Calibration, Draw, append_rows, to_row
from rlsp_jax.sharding import place_rows, replicated
from rlsp_jax.training.draws import draw_responses, draws_folder
from rlsp_jax.training.problems import problems_before
from rlsp_jax.training.run import Run
from rlsp_jax.training.stage import StageRun
from rlsp_jax.training.supervised import LOG_EVERY, SAVE_EVERY, batch_rows
from rlsp_jax.types import JudgedBatch, Params

PredictFn = Callable[[Params, JudgedBatch], Float[Array, "batch total"]]


class Lessons(NamedTuple):
    """The responses that the model learns from, those that it is judged by, packed each, and figures of all."""

    learned: JudgedBatch
    heldout: JudgedBatch
    metrics: dict[str, np.ndarray]


def train_outcome_model(run: Run, index: int, config: outcome_model.Config, params: Params) -> Params:
    """Draw, learn to tell right from wrong, and keep the outcome model; return the parameters as they came."""
    model = OutcomeModel(run.model.config, run.model.vocab_size)
    update, predict = outcome_model.make_update_fn(model, config), make_predict_fn(run.mesh, model)
    with run.spent.phase("setup"):
        state = run.place(outcome_model.init_state(config, params))
    with StageRun(run, index, config, state, log_every=LOG_EVERY, save_every=SAVE_EVERY) as stage:
        lessons = write_lessons(stage, config) if stage.done < config.num_steps else None
        for step in stage.steps():
            assert lessons is not None  # there was a step to take
            rows = batch_rows(len(lessons.learned.tokens), config.batch_size, step, (run.experiment.seed, index))
            stage.state, metrics = update(stage.state, place_rows(run.mesh, take_rows(lessons.learned, rows)))
            if stage.due(step):
                metrics |= {"outcome_model/tokens": np.asarray(lessons.learned.mask[rows].sum())}
                metrics |= lessons.metrics if step == 0 else {}
                stage.record(step, metrics, tokens="outcome_model/tokens", about="the policy's own responses")
            if (step + 1) % config.validate_every == 0 or step + 1 == config.num_steps:
                examine(stage, config, predict, lessons.heldout)
            if step + 1 == config.num_steps:
                run.keep_outcome_model(stage.state.params[outcome_model.NAME])
    return {name: tree for name, tree in stage.state.params.items() if name != outcome_model.NAME}


# ---- what is learned from ------------------------------------------------------------------------


def write_lessons(stage: StageRun, config: outcome_model.Config) -> Lessons:
    """The policy's responses to the stage's problems, judged; the same ones every time."""
    run = stage.run
    with run.spent.phase(stage.name):
        first = problems_before(run.experiment, stage.index)
        draws = draw_responses(
            run,
            run.responder(config.sampling, config.draw_size),
            stage.state.params["policy"],
            run.experiment.problems.problems("train", first, config.num_problems),
            key_of(stage.key, "draws", 0),
            draws_folder(run.workdir, run.experiment, stage.index) / "responses.jsonl",
            samples=config.samples_per_prompt,
        )
        learned, heldout = split(draws, config.heldout_share)
        metrics = measure(draws) | {"rollout/tokens": float(sum(draw.num_tokens for draw in draws))}
        parts = pack_judged(run, config, learned), pack_judged(run, config, heldout)
        return Lessons(*parts, {name: np.asarray(value) for name, value in metrics.items()})


def split(draws: Sequence[Draw], heldout_share: float) -> tuple[list[Draw], list[Draw]]:
    """The responses to learn from and those to be judged by, of known verdict, with no question in common.

    The question decides, by a hash: in an endless supply one may come again under another number.
    """
    known = [draw for draw in draws if draw.verdict != "unknown"]
    parts: tuple[list[Draw], list[Draw]] = [], []
    for draw in known:
        parts[zlib.crc32(draw.question.encode()) / 2**32 < heldout_share].append(draw)
    for part, purpose in zip(parts, ("to learn from", "to judge the outcome model by"), strict=True):
        if not part:
            raise UserError(
                f"Of {len(draws):,} responses, {len(known):,} of known verdict, none is left {purpose}; raise "
                "num_problems, or move heldout_share."
            )
    return parts


def pack_judged(run: Run, config: outcome_model.Config, draws: Sequence[Draw]) -> JudgedBatch:
    """Responses with their questions and verdicts, packed; numpy arrays `[rows, max_prompt + max_response]`."""
    prompts = run.experiment.prompts
    pairs = [(prompts.prompt(run.tokenizer, draw.question), draw.tokens) for draw in draws]
    length = run.experiment.max_prompt + config.sampling.max_response
    packed = pack_ids(pairs, length=length, pad_id=run.tokenizer.pad_id)
    counts = np.asarray(packed.segments).max(axis=1)
    number = (np.cumsum(counts) - counts)[:, None] + packed.segments - 1  # draws are packed in their order
    right = np.asarray([draw.verdict == "correct" for draw in draws])
    arrays: Any = (packed.tokens, packed.segments, packed.mask, right[np.maximum(number, 0)] & (packed.segments > 0))
    return JudgedBatch(*arrays)


def take_rows(batch: JudgedBatch, rows: np.ndarray) -> JudgedBatch:
    return jax.tree.map(lambda x: x[rows], batch)


# ---- how well it is learned ----------------------------------------------------------------------


def make_predict_fn(mesh: Mesh, model: OutcomeModel) -> PredictFn:
    """`predict(params, batch) -> [batch, total]`, p(correct) after each token, on every process; jitted."""

    @functools.partial(jax.jit, out_shardings=replicated(mesh))
    def predict(params: Params, batch: JudgedBatch):
        return jax.nn.sigmoid(model.logits(params, batch.tokens, batch.segments))

    return predict


def examine(stage: StageRun, config: outcome_model.Config, predict: PredictFn, heldout: JudgedBatch) -> None:
    """Write down what the model is worth on responses to problems that it has learned nothing from."""
    run, params = stage.run, stage.state.params[outcome_model.NAME]
    predictions = np.concatenate(list(_predictions(run.mesh, config.batch_size, predict, params, heldout)))
    ends = heldout.mask & (np.pad(heldout.segments, ((0, 0), (0, 1)))[:, 1:] != heldout.segments)
    step, correct = int(stage.state.step), np.asarray(heldout.correct)
    found = [
        calibrate(stage.name, step, at, predictions[counted], correct[counted], config.bins)
        for at, counted in (("end", ends), ("all", heldout.mask))
    ]
    append_rows(run.workdir / "calibration" / f"{stage.name}.jsonl", [to_row(row) for row in found])
    end = found[0]
    run.display.say(
        f"{stage.name} {end.step}  {end.predictions:,} responses to problems held out: cross-entropy "
        f"{end.cross_entropy:.3f}, AUC {end.auc:.3f}, calibration error {end.calibration_error:.3f}"
    )


def _predictions(mesh: Mesh, size: int, predict: PredictFn, params: Params, batch: JudgedBatch) -> Iterator[np.ndarray]:
    """Predictions of all rows, `size` at a time; the last part is filled up to the one shape."""
    total = len(batch.tokens)
    for start in range(0, total, size):
        rows = np.minimum(np.arange(start, start + size), total - 1)
        yield np.asarray(predict(params, place_rows(mesh, take_rows(batch, rows))))[: total - start]


def calibrate(stage: str, step: int, at: str, predictions: np.ndarray, correct: np.ndarray, bins: int) -> Calibration:
    """The record of these predictions about what came true."""
    parts = estimators.reliability(predictions, correct, bins)
    return Calibration(
        stage=stage,
        step=step,
        at=at,
        predictions=len(predictions),
        cross_entropy=estimators.cross_entropy(predictions, correct),
        accuracy=estimators.accuracy(predictions, correct),
        auc=estimators.area_under_curve(predictions, correct),
        calibration_error=estimators.expected_calibration_error(parts),
        correct=float(np.mean(correct)),
        counts=tuple(parts.counts.tolist()),
        predicted=tuple(parts.predicted.tolist()),
        observed=tuple(parts.observed.tolist()),
    )
