"""What a step shows of itself: measured on the device, written once, in one place."""

import math
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp

from rlsp_jax.common import words
from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.masked import masked_mean
from rlsp_jax.records import append_rows
from rlsp_jax.rewards import Stream, byte_text
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
        self._path = workdir / "metrics.jsonl"
        self._board = _board(workdir) if tensorboard else None

    def write(self, row: Mapping[str, float | int | str]) -> None:
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        append_rows(self._path, [clean])
        if self._board is not None:
            for name, value in clean.items():
                if isinstance(value, int | float) and "/" in name:
                    self._board.add_scalar(f"{row['stage']}/{name}", value, row["step"])
            self._board.flush()


def _board(workdir: Path):
    from rlsp_jax.common.errors import UserError

    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError("TensorBoard logging needs tensorboardX: pip install 'rlsp_jax[tensorboard]'.") from None
    return SummaryWriter(str(workdir / "tensorboard"))
