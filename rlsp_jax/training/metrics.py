"""What a step shows of itself: measured on the device, written once, in one place."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, UInt8

from rlsp_jax.common import words
from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_mean
from rlsp_jax.records import METRICS_FILE, EvalResult, append_rows, finite
from rlsp_jax.rewards import Stream
from rlsp_jax.rewards.byte_text import ByteText, expand, find
from rlsp_jax.training.spent import Spent
from rlsp_jax.types import Rollout, Scores, TokenBytes, Verdicts


def make_measure_fn(streams: tuple[Stream, ...]):
    """`measure(rollout, verdicts, scores, token_bytes) -> metrics`, jitted.

    Rows of unknown verdict count in no accuracy, and rows that a stream knows nothing of in no mean of its reward.
    """

    @jax.jit
    def measure(rollout: Rollout, verdicts: Verdicts, scores: Scores, token_bytes: TokenBytes):
        known = verdicts.outcome != Verdict.UNKNOWN
        text = expand(rollout.tokens, rollout.mask, token_bytes)
        metrics = {
            "rollout/accuracy": masked_mean((verdicts.outcome == Verdict.CORRECT).astype(jnp.float32), known),
            "rollout/unknown": jnp.sum(~known).astype(jnp.float32),
            "rollout/answered": jnp.mean(verdicts.answered.astype(jnp.float32)),
            "rollout/length": jnp.mean(rollout.mask.sum(axis=1).astype(jnp.float32)),
            "rollout/truncated": jnp.mean((rollout.stop_reason == StopReason.LENGTH).astype(jnp.float32)),
            "rollout/entropy": masked_mean(rollout.entropies, rollout.mask),
            "rollout/tokens": rollout.mask.sum().astype(jnp.float32),
        }
        for name, word in (("backtracks", words.BACK), ("verifications", words.CHECK)):
            metrics[f"rollout/{name}"] = jnp.mean(find_moves(text, word).sum(axis=1).astype(jnp.float32))
        if verdicts.effort is not None:
            graded = jnp.isfinite(verdicts.effort)
            metrics["judge/known"] = jnp.mean(graded.astype(jnp.float32))
            metrics["judge/effort"] = masked_mean(jnp.where(graded, verdicts.effort, 0.0), graded)
        for stream, rewards, valid in zip(streams, scores.rewards, scores.valid, strict=True):
            metrics[f"reward/{stream.name}"] = masked_mean(rewards.sum(axis=1), valid)
        return metrics

    return measure


def find_moves(text: ByteText, word: str) -> Bool[Array, "batch max_bytes"]:
    """Where a search makes the move of this word, as `behaviors.detectors` reads ASCII text.

    The word stands alone, in either case, and before the answer of its line.
    """
    byte = jnp.where(_between(text.bytes, "AZ"), text.bytes + 32, text.bytes)
    text = text._replace(bytes=byte)
    in_word = text.mask & (_between(byte, "az") | _between(byte, "09") | (byte == ord("_")))
    word_ends = ~jnp.pad(in_word, ((0, 0), (0, len(word))))[:, len(word) :]
    found = find(text, word.encode()) & ~_after(in_word) & word_ends
    answers = find(text, words.ANSWER.encode()) & ~_after(in_word)
    line_begins = ~_after(text.mask & (byte != ord("\n")))
    answers_so_far = jnp.cumsum(answers, axis=1)
    at_line_begin = jax.lax.cummax(jnp.where(line_begins, answers_so_far - answers, 0), axis=1)
    return found & (answers_so_far == at_line_begin)


def _between(byte: UInt8[Array, "batch n"], ends: str) -> Bool[Array, "batch n"]:
    return (byte >= ord(ends[0])) & (byte <= ord(ends[1]))


def _after(flags: Bool[Array, "batch n"]) -> Bool[Array, "batch n"]:
    """Whether the flag before a place holds; none stands before the first."""
    return jnp.pad(flags[:, :-1], ((0, 0), (1, 0)))


class Log:
    """`metrics.jsonl`, and TensorBoard if asked for. Non-finite numbers are written as null."""

    def __init__(self, workdir: Path, *, tensorboard: bool = False):
        self._path = workdir / METRICS_FILE
        self._board = _board(workdir) if tensorboard else None

    def write(self, stage: str, index: int, step: int, spent: Spent, values: Mapping[str, float]) -> None:
        place = {"stage": stage, "stage_index": index, "step": step}
        so_far = {"seconds": round(spent.total_seconds, 3), "tokens_generated": spent.tokens_generated}
        append_rows(self._path, [finite({**place, **so_far, **values})])
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{stage}/{name}", value, step)

    def write_eval(self, result: EvalResult) -> None:
        """Show an evaluation in TensorBoard; its record is a row of `evals/`."""
        if self._board is not None:
            for name, value in figures(result).items():
                self._board.add_scalar(f"{result.stage}/eval/{result.eval}/{name}", value, result.step)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def figures(result: EvalResult) -> dict[str, float]:
    """An evaluation's figures by name: `greedy`, `pass_at_1`, `backtracks`, …; budgets and intervals are left out."""
    return {
        **{name: value for name, value in vars(result).items() if isinstance(value, float)},
        **{f"pass_at_{k}": value for k, value in result.pass_at.items()},
        **{f"maj_at_{k}": value for k, value in result.maj_at.items()},
        **{f"rerank_at_{k}": value for k, value in result.rerank_at.items()},
        **vars(result.behaviors),
        **{f"greedy_{name}": value for name, value in vars(result.greedy_behaviors).items()},
        "unknown": float(result.unknown),
    }


def check_tensorboard() -> None:
    """Raise `UserError` unless TensorBoard events can be written."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise UserError("--tensorboard needs tensorboardX; install it with: pip install 'rlsp_jax[tensorboard]'.")


def _board(workdir: Path):
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(workdir / "tensorboard"), flush_secs=10)
