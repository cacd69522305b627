"""An evaluation is written down whole, once."""

import pytest

from rlsp_jax.records import Behaviors, EvalResult
from rlsp_jax.report.load import load_run
from rlsp_jax.training.summary import final_evals

LEVELS = ("all", "easy", "hard")


def result(level: str, stage: str, step: int) -> EvalResult:
    none = Behaviors(0.0, 0.0, 0.0, 0.0, 0.0)
    return EvalResult(
        eval="heldout", stage=stage, step=step, level=level, problems=4, samples=0, greedy=0.5, greedy_length=3.0,
        greedy_truncated=0.0, greedy_behaviors=none, pass_at={}, maj_at={}, maj_interval=(0.0, 1.0), length=3.0,
        truncated=0.0, behaviors=none, budgets={}, unknown=0, tokens_generated=12, seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def evaluated(run, monkeypatch) -> list[tuple[str, int]]:
    """Stages and steps at which `run` evaluates; its evaluators answer at once."""
    made = []

    def evaluator(policy, key, *, stage, step):
        made.append((stage, step))
        return [result(level, stage, step) for level in LEVELS], []

    monkeypatch.setattr(run, "asked", lambda config, index: evaluator)
    return made


def test_a_recorded_evaluation_is_not_made_again(run, evaluated):
    for step in (39, 40, 40):
        run.evaluate_due(0, step, {})
    assert evaluated == [("sft", 40)]
    assert set(final_evals(run, 0)) == set(LEVELS)


@pytest.mark.parametrize("kept", [0, 1, 2, 2.5])
def test_an_evaluation_that_was_cut_off_between_its_rows_is_made_again_and_counts_once(kept, run, evaluated):
    run.evaluate_due(0, 40, {})
    file = run.workdir / "evals" / "heldout.jsonl"
    text = file.read_text()
    rows = text.splitlines(keepends=True)
    file.write_text("".join(rows[: int(kept)]) + (rows[-1][:50] if kept % 1 else ""))
    for _ in range(2):
        run.evaluate_due(0, 40, {})
    assert evaluated == [("sft", 40)] * 2
    assert file.read_text().endswith(text)
    assert sorted(result.level for result in load_run(run.workdir).evals["heldout"]) == sorted(LEVELS)
    assert set(final_evals(run, 0)) == set(LEVELS)
