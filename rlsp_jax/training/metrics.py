"""What a step shows of itself: measured on the device, written once, in one place."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp

from rlsp_jax.common import words
from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.masked import masked_mean
from rlsp_jax.records import METRICS_FILE, append_rows, finite
from rlsp_jax.rewards import Stream, byte_text
from rlsp_jax.training.spent import Spent
from rlsp_jax.types import Rollout, Scores, TokenBytes, Verdicts


def make_measure_fn(streams: tuple[Stream, ...]):
    """`measure(rollout, verdicts, scores, token_bytes) -> metrics`, jitted; unknown rows count in no mean."""

    @jax.jit
    def measure(rollout: Rollout, verdicts: Verdicts, scores: Scores, token_bytes: TokenBytes):
        known = verdicts.outcome != Verdict.UNKNOWN
        text = byte_text.expand(rollout.tokens, rollout.mask, token_bytes)
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
            count = byte_text.find(text, word.encode()).sum(axis=1)
            metrics[f"rollout/{name}"] = jnp.mean(count.astype(jnp.float32))
        for stream, rewards, valid in zip(streams, scores.rewards, scores.valid, strict=True):
            metrics[f"reward/{stream.name}"] = masked_mean(rewards.sum(axis=1), valid)
        return metrics

    return measure


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

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def check_tensorboard() -> None:
    """Raise `UserError` unless TensorBoard events can be written."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise UserError("--tensorboard needs tensorboardX; install it with: pip install 'rlsp_jax[tensorboard]'.")


def _board(workdir: Path):
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(workdir / "tensorboard"), flush_secs=10)
