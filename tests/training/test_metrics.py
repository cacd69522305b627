"""What a step shows of itself."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards import Correctness, Stream
from rlsp_jax.training import metrics as module
from rlsp_jax.training.metrics import Log, check_tensorboard, make_measure_fn
from rlsp_jax.training.spent import Spent
from rlsp_jax.types import PromptBatch, Rollout, Scores, TokenBytes, Verdicts

PIECES = [b"", b"back", b"check", b"x"]  # token 0 is eos


def rollout(rows: list[list[int]], time: int = 6) -> Rollout:
    tokens, mask = np.zeros((len(rows), time), np.int32), np.zeros((len(rows), time), bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)], mask[i, : len(row)] = row, True
    prompt = jnp.zeros((len(rows), 1), jnp.int32)
    number = jnp.arange(len(rows))
    reasons = [StopReason.EOS if row[-1] == 0 else StopReason.LENGTH for row in rows]
    ones = jnp.where(mask, 2.0, 0.0)
    prompts = PromptBatch(prompt, prompt == 0, number, number, ())
    return Rollout(prompts, jnp.asarray(tokens), jnp.asarray(mask), -ones, ones, jnp.asarray(reasons, jnp.int8))


def test_figures_of_a_step_count_what_they_say_and_leave_unknown_rows_out():
    rows = [[1, 2, 0], [1, 1, 3, 2, 0], [3] * 6, [2, 0]]
    outcome = jnp.asarray([Verdict.CORRECT, Verdict.WRONG, Verdict.UNKNOWN, Verdict.WRONG], jnp.int8)
    width = max(map(len, PIECES))
    table = np.stack([np.frombuffer(piece.ljust(width, b"\0"), np.uint8) for piece in PIECES])
    token_bytes = TokenBytes(jnp.asarray(table), jnp.asarray([len(piece) for piece in PIECES]))
    rewards = jnp.zeros((1, 4, 6)).at[0, :, 1].set(jnp.asarray([1.0, 0.5, 99.0, 0.0]))
    scores = Scores(rewards, jnp.asarray([[True, True, False, True]]))
    verdicts = Verdicts(outcome, jnp.zeros(4, jnp.int32), jnp.asarray([True, True, False, False]))
    measure = make_measure_fn((Stream("correctness", Correctness()),))
    got = {name: float(value) for name, value in measure(rollout(rows), verdicts, scores, token_bytes).items()}
    want = {
        "rollout/accuracy": 1 / 3,
        "rollout/unknown": 1,
        "rollout/answered": 0.5,
        "rollout/length": 4.0,
        "rollout/truncated": 0.25,
        "rollout/entropy": 2.0,
        "rollout/tokens": 16,
        "rollout/backtracks": 0.75,
        "rollout/verifications": 0.75,
        "reward/correctness": 0.5,
    }
    assert got.keys() == want.keys() and all(math.isclose(got[name], want[name], rel_tol=1e-6) for name in want)


def test_a_row_is_strict_json_whatever_was_measured(tmp_path):
    log = Log(tmp_path)
    log.write("ppo", 1, 7, Spent(), {"policy/loss": math.nan, "policy/ratio": math.inf, "value/loss": 0.5})
    row = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert (row["stage"], row["stage_index"], row["step"]) == ("ppo", 1, 7)
    assert (row["policy/loss"], row["policy/ratio"], row["value/loss"]) == (None, None, 0.5)
    assert (row["seconds"], row["tokens_generated"]) == (0, 0)


def test_tensorboard_events_hold_every_figure_by_stage(tmp_path):
    pytest.importorskip("tensorboardX")
    log = Log(tmp_path, tensorboard=True)
    log.write("sft", 0, 3, Spent(), {"sft/loss": 0.25})
    log.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"sft/sft/loss" in events.read_bytes()


def test_without_tensorboard_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--tensorboard needs tensorboardX; install it with: pip install"):
        check_tensorboard()
