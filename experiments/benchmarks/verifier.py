r"""Accuracy and speed of the math verifier on labelled cases, beside Math-Verify where that is installed.

    pip install math-verify          # optional, for the comparison
    taskset -c 0 python experiments/benchmarks/verifier.py cases.jsonl [--policy FILE] [--markdown] [--deadline 2]

A case is a JSON object with `gold`, `prediction`, `expected` (true or false), `kind` ("answer" or "response"),
`category` and perhaps `source`; `tests/verifiers/cases.jsonl` has some. Each verifier judges every case in a worker
process with a deadline, one by one; then, for the throughput, the real model outputs (all cases where no source is one)
once more in this process, without any cache. Prints one JSON line, or tables.

False positives are a share of the cases labelled wrong, false negatives of those labelled right. `--policy` takes cases
whose verdict is a matter of policy, told by `reason`: nobody is right about them, so it is counted what each setting of
the verifier accepts.
"""

import argparse
import importlib.util
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from peers import MathVerify, Ours

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import Math, Verifier, VerifierPool
from rlsp_jax.verifiers.bare import BareAnswer, BareAnswers

REAL = ("rasbt/", "gsm8k/", "qwen/", "tora/", "soren/", "nemo-omi2/")  # sources that are outputs of models
SETTINGS = {
    "default": Math(),
    "no fallback": Math(fallback=False),
    "no forgive_percent": Math(forgive_percent=False),
    "unevaluated": Math(unevaluated=True),
    "decimal_comma": Math(decimal_comma=True),
    "tolerance 0.001": Math(tolerance=0.001),
}
Case = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--policy", type=Path, help="cases whose verdict is a matter of policy")
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds an item may take")
    parser.add_argument("--markdown", action="store_true", help="tables instead of a JSON line")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    cases = [json.loads(line) for line in chosen.cases.open()]
    verifiers: dict[str, Ours | MathVerify] = {"rlsp_jax": Ours()}
    if importlib.util.find_spec("math_verify"):
        verifiers["Math-Verify"] = MathVerify()
    results = {name: measure(verifier, cases, chosen.deadline) for name, verifier in verifiers.items()}
    policy = None
    if chosen.policy is not None:
        settings: dict[str, Verifier] = {name: BareAnswers(math) for name, math in SETTINGS.items()}
        settings |= {name: verifier for name, verifier in verifiers.items() if name != "rlsp_jax"}
        policy = measure_policy(settings, [json.loads(line) for line in chosen.policy.open()], chosen.deadline)
    if chosen.markdown:
        print(as_markdown(results) + (policy_as_markdown(policy) if policy else ""))
    else:
        print(json.dumps(results | ({"policy": policy} if policy else {})))


def measure(verifier: Ours | MathVerify, cases: Sequence[Case], deadline: float) -> dict[str, Any]:
    """What one verifier says of the cases, and how fast."""
    verdicts, seconds = [], []
    with VerifierPool(verifier, deadline=deadline) as pool:
        pool.verify([item(cases[0])])  # imports are not part of an item's time
        for case in cases:
            start = time.perf_counter()
            (outcome,) = pool.verify([item(case)])
            seconds.append(time.perf_counter() - start)
            verdicts.append(outcome.verdict)
    judged = list(zip(cases, verdicts, strict=True))
    real = [(case, verdict) for case, verdict in judged if case.get("source", "").startswith(REAL)]
    categories = sorted({case["category"] for case in cases})
    return {
        **rates(judged),
        "unknown": sum(v == Verdict.UNKNOWN for v in verdicts),
        "late": sum(s >= deadline for s in seconds),
        "worst_seconds": max(seconds),
        "all_per_second": len(cases) / sum(seconds),
        "real": len(real),
        "real_accuracy": rates(real)["accuracy"],
        "real_per_second": throughput(verifier, [case for case, _ in real] or cases),
        "by_category": {name: rates([j for j in judged if j[0]["category"] == name]) for name in categories},
    }


def rates(judged: Sequence[tuple[Case, Verdict]]) -> dict[str, Any]:
    """How often verdicts are as labelled, and how often they err in either way; an unknown verdict accepts nothing."""
    accepted = {label: [v == Verdict.CORRECT for c, v in judged if c["expected"] == label] for label in (True, False)}
    return {
        "cases": len(judged),
        "accuracy": share(v == (Verdict.CORRECT if c["expected"] else Verdict.WRONG) for c, v in judged),
        "false_positives": share(accepted[False]),
        "false_negatives": share(not a for a in accepted[True]),
    }


def measure_policy(verifiers: dict[str, Verifier], cases: Sequence[Case], deadline: float) -> list[dict[str, Any]]:
    """By kind of policy and label: how many cases there are, and how many get which verdict from each verifier."""
    verdicts = {}
    for name, verifier in verifiers.items():
        with VerifierPool(verifier, deadline=deadline) as pool:
            pool.verify([item(cases[0])])  # imports are not part of an item's time
            verdicts[name] = [outcome.verdict.name.lower() for outcome in pool.verify([item(case) for case in cases])]
    kinds = [(case["reason"], case["expected"]) for case in cases]
    return [
        {
            "kind": kind[0],
            "expected": kind[1],
            "cases": kinds.count(kind),
            "verdicts": {
                name: Counter(v for k, v in zip(kinds, given, strict=True) if k == kind)
                for name, given in verdicts.items()
            },
        }
        for kind in sorted(set(kinds))
    ]


def throughput(verifier: Ours | MathVerify, cases: Sequence[Case], least_seconds: float = 3.0) -> float:
    """Verdicts a second in this process, over as many rounds as fill the time; a round remembers none before it."""
    items = [item(case) for case in cases]
    for truth, text in items:
        verifier.verify(truth, text)
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() < start + least_seconds:
        verifier.forget()
        for truth, text in items:
            verifier.verify(truth, text)
        rounds += 1
    return rounds * len(items) / (time.perf_counter() - start)


def item(case: Case) -> tuple[dict[str, Any], str]:
    bare = case["kind"] == "answer"
    text = case["prediction"]
    return {"answer": case["gold"], "bare": bare}, BareAnswer(text) if bare else text


def share(flags: Iterable[bool]) -> float | None:
    """The share of true ones; None of none."""
    flags = list(flags)
    return sum(flags) / len(flags) if flags else None


def as_markdown(results: dict[str, dict[str, Any]]) -> str:
    """One table over all cases, and one by category."""
    rows = [
        ("accuracy", lambda r: percent(r["accuracy"])),
        ("false positives", lambda r: percent(r["false_positives"])),
        ("false negatives", lambda r: percent(r["false_negatives"])),
        ("unknown", lambda r: f"{r['unknown']}"),
        ("later than the deadline", lambda r: f"{r['late']}"),
        ("worst latency", lambda r: f"{r['worst_seconds']:.3f} s"),
        ("verdicts a second, all cases, in a worker", lambda r: f"{r['all_per_second']:,.0f}"),
        ("accuracy on real model outputs", lambda r: percent(r["real_accuracy"])),
        ("verdicts a second, real model outputs, in process", lambda r: f"{r['real_per_second']:,.0f}"),
    ]
    head = f"| | {' | '.join(results)} |\n|---|{'---:|' * len(results)}\n"
    body = "".join(f"| {name} | {' | '.join(show(r) for r in results.values())} |\n" for name, show in rows)
    title = "".join(f" {name} | false + | false − |" for name in results)
    title = f"| category | cases |{title}\n|---|---:|{'---:|---:|---:|' * len(results)}\n"
    categories = next(iter(results.values()))["by_category"]
    lines = [category_line(name, [r["by_category"][name] for r in results.values()]) for name in categories]
    return f"{head}{body}\n{title}{''.join(lines)}"


def category_line(name: str, figures: Sequence[dict[str, Any]]) -> str:
    shown = [percent(f[field]) for f in figures for field in ("accuracy", "false_positives", "false_negatives")]
    return f"| {name} | {figures[0]['cases']} | {' | '.join(shown)} |\n"


def percent(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.1%}"


def policy_as_markdown(policy: Sequence[dict[str, Any]]) -> str:
    """How many cases of each kind are accepted / rejected (/ unknown, where some are)."""
    names = policy[0]["verdicts"]
    lines = [f"| policy | label | cases | {' | '.join(names)} |", f"|---|---|---:|{'---:|' * len(names)}"]
    for row in policy:
        label = "right" if row["expected"] else "wrong"
        counts = [accepted_and_rejected(row["verdicts"][name]) for name in names]
        lines.append(f"| {row['kind']} | {label} | {row['cases']} | {' | '.join(counts)} |")
    return "\nAccepted / rejected (/ unknown):\n\n" + "\n".join(lines)


def accepted_and_rejected(verdicts: Counter[str]) -> str:
    unknown = f" / {verdicts['unknown']}" if verdicts["unknown"] else ""
    return f"{verdicts['correct']} / {verdicts['wrong']}{unknown}"


if __name__ == "__main__":
    main()
