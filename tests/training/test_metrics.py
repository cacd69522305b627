"""What a step shows of itself."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.behaviors.detectors import detect
from rlsp_jax.common import words
from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Countdown, SearchTraces
from rlsp_jax.records import Behaviors, EvalResult
from rlsp_jax.rewards import Correctness, Stream
from rlsp_jax.rewards.byte_text import ByteText
from rlsp_jax.training import metrics as module
from rlsp_jax.training.metrics import Log, check_tensorboard, find_moves, make_measure_fn
from rlsp_jax.training.spent import Spent
from rlsp_jax.types import PromptBatch, Rollout, Scores, TokenBytes, Verdicts

PIECES = [b"", b" back", b" check", b" x"]  # token 0 is eos


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


find = jax.jit(find_moves, static_argnums=1)


def counted(texts: list[str], size: int = 512) -> list[tuple[int, int]]:
    """Backtracks and verifications of each text, as the device counts them."""
    data = np.stack([np.frombuffer(text.encode()[:size].ljust(size, b"\0"), np.uint8) for text in texts])
    lengths = np.array([len(text.encode()) for text in texts])
    real = np.arange(size) < lengths[:, None]
    text = ByteText(jnp.asarray(data), jnp.asarray(real), jnp.zeros(real.shape, int), jnp.asarray(lengths > size))
    counts = [np.asarray(find(text, word)).sum(axis=1).tolist() for word in (words.BACK, words.CHECK)]
    return list(zip(*counts, strict=True))


def read(texts: list[str]) -> list[tuple[int, int]]:
    """The same, as the host reads them."""
    found = [detect(text, correct=False) for text in texts]
    return [(counts.backtracks, counts.verifications) for counts in found]


@pytest.mark.parametrize(
    "traces",
    [
        SearchTraces(),
        SearchTraces(keep=0.6, budget=8, largest=99, give_up=False),
        SearchTraces(keep=0.5, budget=3, noise=0.3, shuffle=0.4, direct=0.3),
        SearchTraces(nearest=3, budget=6),
    ],
)
def test_rollouts_and_evaluations_count_the_same_moves_of_written_searches(traces):
    problems = Countdown(numbers=3, max_number=12).problems("train", 0, 100)
    whole = [traces.trace(problem, problem.number) for problem in problems]
    cut = [text[: 17 + 3 * i] for i, text in enumerate(whole)]  # as a length limit leaves them
    assert max(backtracks for backtracks, _ in read(whole)) > 2
    assert counted(whole + cut) == read(whole + cut)


PARTS = ("back", "check", "answer:", "Back", "CHECK", "backwards", "feedback", "_", "7", " ", "\n", "no", "try")


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=20).map("".join), min_size=8, max_size=8))
def test_rollouts_and_evaluations_count_the_same_moves_of_any_words(texts):
    assert counted(texts, size=256) == read(texts)


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


def test_tensorboard_events_hold_the_evaluations(tmp_path):
    pytest.importorskip("tensorboardX")
    behaviors = Behaviors(2.5, 3.0, 2.0, 0.1, 0.0)
    result = EvalResult(
        eval="heldout", stage="ppo", step=80, level="all", problems=512, samples=8, greedy=0.35, greedy_length=90.0,
        greedy_truncated=0.0, greedy_behaviors=behaviors, pass_at={"1": 0.25, "8": 0.5}, maj_at={"8": 0.375},
        maj_interval=(0.3, 0.4), length=94.0, truncated=0.01, behaviors=behaviors, budgets={"32": 0.1}, unknown=0,
        tokens_generated=9, seconds=1.0,
    )  # fmt: skip
    log = Log(tmp_path, tensorboard=True)
    log.write_eval(result)
    log.close()
    Log(tmp_path / "without").write_eval(result)  # nothing to do
    (events,) = (tmp_path / "tensorboard").iterdir()
    for name in ("greedy", "pass_at_1", "pass_at_8", "maj_at_8", "backtracks", "greedy_backtracks", "length"):
        assert f"ppo/eval/heldout/{name}".encode() in events.read_bytes()


def test_without_tensorboard_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--tensorboard needs tensorboardX; install it with: pip install"):
        check_tensorboard()
