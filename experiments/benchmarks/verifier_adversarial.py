r"""What a pool of math verifiers makes of inputs that are made to hang or crash it.

    python experiments/benchmarks/verifier_adversarial.py --inputs 100000

Prints one JSON line: inputs, their verdicts, the unknown ones by reason, how many crashed (an exception or the death
of a worker) or timed out, the seconds that the slowest computed, whether the order was kept, processes left behind.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from rlsp_jax.verifiers import VerifierPool
from tests.verifiers.adversarial import Timed, by_chance, hand_made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deadline", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(measure(parser.parse_args())))


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Judge the inputs, one after the other, and tell what became of them."""
    made = hand_made()[: chosen.inputs]
    generated = range(chosen.seed, chosen.seed + chosen.inputs - len(made))
    inputs = (pair for source in (made, map(by_chance, generated)) for pair in source)
    items = (({"answer": gold, "number": number}, text) for number, (gold, text) in enumerate(inputs))
    verdicts, unknown = Counter(), Counter()
    slowest, in_order, started = 0.0, True, time.monotonic()
    pool = VerifierPool(Timed(), num_workers=chosen.workers, deadline=chosen.deadline, cache_size=0)
    with pool:
        for number, outcome in enumerate(pool.stream(items)):
            verdicts[outcome.verdict.name.lower()] += 1
            reason = outcome.reason
            if "|" in reason:
                place, seconds, reason = reason.split("|", 2)
                in_order &= int(place) == number
                slowest = max(slowest, float(seconds))
            if outcome.verdict.name == "UNKNOWN":
                unknown[reason.split(":")[0]] += 1
        seconds = time.monotonic() - started
    children = subprocess.run(["ps", "-o", "comm=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    if verdicts.total() != chosen.inputs:
        raise SystemExit(f"{chosen.inputs} inputs were judged by {verdicts.total()} verdicts.")
    left = [name for name in children.stdout.split() if name != "ps"]
    return {
        "inputs": sum(verdicts.values()),
        "verdicts": verdicts,
        "unknown": unknown,
        "crashes": unknown["error"] + unknown["worker died"],
        "timeouts": unknown["timeout"],
        "slowest_seconds": round(slowest, 3),
        "in_order": in_order,
        "processes_left": len(left),
        "inputs_per_second": round(sum(verdicts.values()) / seconds),
    }


if __name__ == "__main__":
    main()
