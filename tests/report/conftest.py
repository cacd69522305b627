"""Workdirs with made-up records that look like a real run's."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlsp_jax.records import Behaviors, EvalResult, RunInfo, Sample, append_rows, to_row, write_json

LEVELS = ("easy", "medium", "hard")
SFT_STEPS, PPO_STEPS = 600, 40
SKILL = {"easy": 1.35, "medium": 1.0, "hard": 0.6}


@pytest.fixture(scope="session")
def fake_run() -> Callable[..., Path]:
    return write_run


def write_run(
    workdir: Path, *, name: str = "countdown_rlsp", seed: int = 0, gain: float = 0.32, finished: bool = True
) -> Path:
    """A run of SFT, then PPO whose greedy accuracy rises by `gain` (an unfinished one stops halfway, mid-row)."""
    rng = np.random.default_rng(seed + 1000 * int(gain * 100))
    last = PPO_STEPS if finished else PPO_STEPS // 2
    config = {"name": name, "seed": seed, "stages": [{"num_steps": SFT_STEPS}, {"num_steps": PPO_STEPS, "clip": 0.2}]}
    info = RunInfo(
        name=name, config=config, overrides=(f"seed={seed}",), git="4f2c91e", devices="2 × cpu",
        versions={"python": "3.12.1", "jax": "0.12.0", "flax": "0.12.12"}, started="2025-11-03 10:12",
    )  # fmt: skip
    write_json(workdir / "run.json", to_row(info))
    append_rows(workdir / "metrics.jsonl", [*_sft_rows(rng), *_ppo_rows(rng, gain, last)])
    for step in range(0, last + 1, 5):
        append_rows(workdir / "evals/progress.jsonl", [to_row(_result(rng, "progress", "ppo", step, gain, seed))])
    for stage, step in (("sft", SFT_STEPS), ("ppo", last)):
        results = [_result(rng, "heldout", stage, step, gain, seed, level) for level in ("all", *LEVELS)]
        append_rows(workdir / "evals/heldout.jsonl", [to_row(result) for result in results])
        append_rows(workdir / "samples/heldout.jsonl", [to_row(s) for s in _samples(rng, stage, step)])
    if finished:
        seconds = {"tokenizer": 1.4, "sft": 214.2, "ppo": 305.9, "evaluation": 61.0}
        summary = {"name": name, "seed": seed, "stages": [], "final": {}, "seconds": seconds, "tokens_generated": 1}
        write_json(workdir / "summary.json", summary)
    else:
        with open(workdir / "metrics.jsonl", "a") as file:
            file.write('{"stage":"ppo","stage_index":1,"step":20,"rew')
    return workdir


def progress(step: int) -> float:
    return 1 / (1 + math.exp(-(step - 14) / 5)) - 0.05 if step else 0.0


def _sft_rows(rng):
    for step in (*range(0, SFT_STEPS, 20), SFT_STEPS - 1):  # metrics count from 0, evaluations count updates done
        loss = 0.42 + 2.6 * math.exp(-step / 60) + rng.normal(0, 0.03)
        yield {
            "stage": "sft", "stage_index": 0, "step": step, "seconds": 0.35 * step, "tokens_generated": 0,
            "sft/loss": loss, "sft/entropy": 0.9 * loss, "sft/grad_norm": 1.0,
        }  # fmt: skip


def _ppo_rows(rng, gain, last):
    tokens = 0
    for step in range(last):
        done = progress(step + 1)
        length = 12 + 70 * done * gain / 0.32 + rng.normal(0, 2)
        drawn = int(256 * length)
        tokens += drawn
        yield {
            "stage": "ppo", "stage_index": 1, "step": step, "seconds": 214 + 7.6 * step, "tokens_generated": tokens,
            "reward/correctness": 0.14 + gain * done + rng.normal(0, 0.02),
            "reward/exploration": 0.1 + 2.2 * done + rng.normal(0, 0.1),
            "rollout/accuracy": 0.14 + gain * done + rng.normal(0, 0.02),
            "rollout/length": length,
            "rollout/tokens": drawn,
            "rollout/truncated": max(0.0, 0.06 * done + rng.normal(0, 0.008)),
            "rollout/unknown": 0,
            "rollout/entropy": 0.7 - 0.2 * done,
            "rollout/backtracks": 0.1 + 2.6 * done + rng.normal(0, 0.1),
            "policy/loss": rng.normal(0, 0.01),
            "policy/entropy": 0.7 - 0.2 * done + rng.normal(0, 0.01),
            "policy/approx_kl": 0.004 + abs(rng.normal(0, 0.002)),
            "policy/clip_fraction": 0.05 + rng.normal(0, 0.01),
            "policy/logp_gap": 2e-5 + abs(rng.normal(0, 1e-5)),
            "policy/kl_reference": 0.3 * done,
            "policy/grad_norm": None if step == 7 else 0.8 + rng.normal(0, 0.1),
            "value/loss": 0.3 - 0.2 * done,
            "value/explained_variance/correctness": 0.5 * done,
            "value/explained_variance/exploration": 0.7 * done,
        }  # fmt: skip


def _result(rng, eval_name, stage, step, gain, seed, level="all") -> EvalResult:
    done = progress(step) if stage == "ppo" else 0.0
    skill = SKILL.get(level, 1.0)
    greedy = (0.21 + 0.01 * seed + gain * done + (0.02 * rng.normal() if done else 0)) * skill
    done *= gain / 0.32 * (1 + 0.05 * seed)
    full = eval_name == "heldout"
    behaviors = Behaviors(0.1 + 2.6 * done, 0.2 + 3.1 * done, 0.2 + 2.9 * done, 0.02 + 0.3 * done, 0.01 + 0.03 * done)
    samples = 8 if full else 1
    ks = [k for k in (1, 2, 4, 8) if k <= samples]
    return EvalResult(
        eval=eval_name, stage=stage, step=step, level=level,
        problems=480 if level == "all" else 160, samples=samples,
        greedy=greedy, greedy_length=12 + 66 * done, greedy_truncated=0.02 * done, greedy_behaviors=behaviors,
        pass_at={str(k): 1 - (1 - 0.65 * greedy) ** (k**0.8) for k in ks},
        maj_at={str(k): 0.65 * greedy + 0.25 * greedy * math.log2(k) / 3 for k in ks},
        maj_interval=(0.9 * greedy - 0.04, 0.9 * greedy + 0.04),
        length=12 + 70 * done * (1.6 - 0.6 * skill), truncated=0.001 + 0.06 * done, behaviors=behaviors,
        budgets={str(b): greedy * min(1.0, b / (20 + 110 * done)) for b in (16, 32, 48, 64, 96, 112)} if full else {},
        unknown=0, tokens_generated=100_000, seconds=9.0,
    )  # fmt: skip


def _samples(rng, stage, step):
    for problem in range(60):
        a, b, c = sorted(int(x) for x in np.random.default_rng(problem).choice(np.arange(1, 13), 3, replace=False))
        target = a * b + c if problem % 3 else a * c - b
        for sample in range(-1, 3):
            thinks = stage == "ppo" and rng.random() < 0.9
            response, right = _search((a, b, c), target, rng) if thinks else (f"answer: ({a}+{b})*{c}", False)
            yield Sample(
                eval="heldout", stage=stage, step=step, problem=problem, level=LEVELS[problem % 3],
                question=f"{a} {b} {c} = {target}\n", sample=sample, response=response, num_tokens=len(response) // 2,
                stop_reason="eos", verdict="correct" if right else "wrong", answer=response.rsplit("answer: ")[-1],
            )  # fmt: skip


def _search(numbers, target, rng) -> tuple[str, bool]:
    """A short written search that finds an answer if it comes across one soon."""
    lines = []
    pairs = [(x, y, z) for x, y, z in itertools.permutations(numbers)]
    rng.shuffle(pairs)
    for x, y, z in pairs[:3]:
        for op in rng.permutation(["+", "*"]):
            first = int(x + y) if op == "+" else int(x * y)
            lines.append(f"try {x}{op}{y}={first}")
            for last, value in (("+", first + z), ("-", first - z), ("*", first * z)):
                if value == target:
                    lines += [f"try {first}{last}{z}={value} check {target} yes", f"answer: ({x}{op}{y}){last}{z}"]
                    return "\n".join(lines), True
                if value >= 0:
                    lines.append(f"try {first}{last}{z}={value} check {target} no back")
            lines.append("back")
    return "\n".join([*lines, "answer: none"]), False
