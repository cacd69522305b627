"""A run on mathematical problems from files: sums to complete, judged on the device and on the host."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from rlsp_jax.records import read_json, read_rows
from rlsp_jax.training import load_experiment
from rlsp_jax.training.progress import Display
from rlsp_jax.training.train import train

EXPERIMENT = """
import dataclasses
from pathlib import Path

from rlsp_jax import data, evaluation, rewards, verifiers
from rlsp_jax.algorithms import ppo
from rlsp_jax.training import load_experiment

HERE = Path(__file__).parent
DEBUG = load_experiment(Path({debug!r})).experiment


def get_config():
    (stage,) = [stage for stage in DEBUG.stages if isinstance(stage, ppo.Config)]
    return dataclasses.replace(
        DEBUG,
        name="sums",
        problems=data.JSONL(train=HERE / "train.jsonl", test=HERE / "test.jsonl"),
        checker=rewards.MathChecker(),
        verifier=verifiers.Math(),
        stages=(dataclasses.replace(stage, num_steps=2, streams=stage.streams[:1]),),
        evals=(dataclasses.replace(DEBUG.evals[0], problems=8, batch_size=8, every=None),),
    )
"""
DEBUG = Path(__file__).parent.parent / "experiments" / "debug.py"


@pytest.mark.slow
def test_a_run_on_problems_from_files_is_judged_to_its_end(tmp_path):
    for name, numbers in (("train", range(40)), ("test", range(40, 50))):
        golds = {i: 2 * i if i % 4 else r"\mho" for i in numbers}  # every fourth gold is one that nobody can read
        rows = [json.dumps({"question": f"{i} + {i} = ####", "answer": str(gold)}) for i, gold in golds.items()]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    file = tmp_path / "sums.py"
    file.write_text(EXPERIMENT.format(debug=str(DEBUG)))
    train(load_experiment(file), tmp_path / "run", Display(Console(), enabled=False))
    summary = read_json(tmp_path / "run" / "summary.json")
    assert summary["final"]["problems"] == 8 and summary["stages"][0]["steps"] == 2
    metrics = [row for row in read_rows(tmp_path / "run" / "metrics.jsonl") if "rollout/unknown" in row]
    verdicts = {sample["verdict"] for sample in read_rows(tmp_path / "run" / "samples" / "heldout.jsonl")}
    assert len(metrics) == 2 and verdicts <= {"correct", "wrong", "unknown"} and "wrong" in verdicts
