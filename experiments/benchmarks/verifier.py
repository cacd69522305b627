r"""Accuracy and speed of the math verifier on labelled cases, beside Math-Verify where that is installed.

    pip install math-verify          # optional, for the comparison
    taskset -c 0 python experiments/benchmarks/verifier.py cases.jsonl [--markdown] [--deadline 2]

A case is a JSON object with `gold`, `prediction`, `expected` (true or false), `kind` ("answer" or "response"),
`category` and perhaps `source`; `tests/verifiers/cases.jsonl` has some. Each verifier judges every case in a worker
process with a deadline, one by one; then, for the throughput, the real model outputs (all cases where no source is one)
once more in this process, without any cache. Prints one JSON line, or tables.
"""

import argparse
import importlib.util
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from peers import MathVerify, Ours

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import Verifier, VerifierPool

REAL = ("rasbt/", "gsm8k/", "qwen/", "tora/", "soren/", "nemo-omi2/")  # sources that are outputs of models
Case = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds an item may take")
    parser.add_argument("--markdown", action="store_true", help="tables instead of a JSON line")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    cases = [json.loads(line) for line in chosen.cases.open()]
    verifiers: dict[str, Verifier] = {"rlsp_jax": Ours()}
    if importlib.util.find_spec("math_verify"):
        verifiers["Math-Verify"] = MathVerify()
    results = {name: measure(verifier, cases, chosen.deadline) for name, verifier in verifiers.items()}
    print(as_markdown(results) if chosen.markdown else json.dumps(results))


def measure(verifier: Verifier, cases: Sequence[Case], deadline: float) -> dict[str, Any]:
    """What one verifier says of the cases, and how fast."""
    verdicts, seconds = [], []
    with VerifierPool(verifier, deadline=deadline) as pool:
        pool.verify([item(cases[0])])  # imports are not part of an item's time
        for case in cases:
            start = time.perf_counter()
            (outcome,) = pool.verify([item(case)])
            seconds.append(time.perf_counter() - start)
            verdicts.append(outcome.verdict)
    right = [v == (Verdict.CORRECT if c["expected"] else Verdict.WRONG) for v, c in zip(verdicts, cases, strict=True)]
    real = [case.get("source", "").startswith(REAL) for case in cases]
    categories = sorted({case["category"] for case in cases})
    return {
        "cases": len(cases),
        "accuracy": share(right),
        "false_positives": share(
            v == Verdict.CORRECT for v, c in zip(verdicts, cases, strict=True) if not c["expected"]
        ),
        "false_negatives": share(v != Verdict.CORRECT for v, c in zip(verdicts, cases, strict=True) if c["expected"]),
        "unknown": sum(v == Verdict.UNKNOWN for v in verdicts),
        "late": sum(s >= deadline for s in seconds),
        "worst_seconds": max(seconds),
        "all_per_second": len(cases) / sum(seconds),
        "real": sum(real),
        "real_accuracy": share(r for r, is_real in zip(right, real, strict=True) if is_real),
        "real_per_second": throughput(
            verifier, [c for c, is_real in zip(cases, real, strict=True) if is_real] or cases
        ),
        "by_category": {name: by_category(name, cases, right) for name in categories},
    }


def by_category(name: str, cases: Sequence[Case], right: Sequence[bool]) -> tuple[int, float]:
    """How many cases a category has, and the share that is judged rightly."""
    flags = [r for r, case in zip(right, cases, strict=True) if case["category"] == name]
    return len(flags), share(flags)


def throughput(verifier: Verifier, cases: Sequence[Case], least_seconds: float = 3.0) -> float:
    """Verdicts a second in this process, over as many rounds as fill the time."""
    items = [item(case) for case in cases]
    for truth, text in items:
        verifier.verify(truth, text)
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() < start + least_seconds:
        for truth, text in items:
            verifier.verify(truth, text)
        rounds += 1
    return rounds * len(items) / (time.perf_counter() - start)


def item(case: Case) -> tuple[dict[str, Any], str]:
    return {"answer": case["gold"], "bare": case["kind"] == "answer"}, case["prediction"]


def share(flags) -> float:
    flags = list(flags)
    return sum(flags) / len(flags) if flags else float("nan")


def as_markdown(results: dict[str, dict[str, Any]]) -> str:
    """One table over all cases, and one by category."""
    rows = [
        ("accuracy", lambda r: f"{r['accuracy']:.1%}"),
        ("false positives", lambda r: f"{r['false_positives']:.1%}"),
        ("false negatives", lambda r: f"{r['false_negatives']:.1%}"),
        ("unknown", lambda r: f"{r['unknown']}"),
        ("later than the deadline", lambda r: f"{r['late']}"),
        ("worst latency", lambda r: f"{r['worst_seconds']:.3f} s"),
        ("verdicts a second, all cases, in a worker", lambda r: f"{r['all_per_second']:,.0f}"),
        ("accuracy on real model outputs", lambda r: f"{r['real_accuracy']:.1%}"),
        ("verdicts a second, real model outputs, in process", lambda r: f"{r['real_per_second']:,.0f}"),
    ]
    head = f"| | {' | '.join(results)} |\n|---|{'---:|' * len(results)}\n"
    body = "".join(f"| {name} | {' | '.join(show(r) for r in results.values())} |\n" for name, show in rows)
    categories = next(iter(results.values()))["by_category"]
    lines = [category_line(name, [r["by_category"][name] for r in results.values()]) for name in categories]
    title = f"| category | cases | {' | '.join(results)} |\n|---|---:|{'---:|' * len(results)}\n"
    return f"{head}{body}\n{title}{''.join(lines)}"


def category_line(name: str, counts: Sequence[tuple[int, float]]) -> str:
    return f"| {name} | {counts[0][0]} | {' | '.join(f'{right:.1%}' for _, right in counts)} |\n"


if __name__ == "__main__":
    main()
