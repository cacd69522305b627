"""How many gold answers each LaTeX parser understands, and how fast: ours beside those that are installed.

    pip install latex2sympy2_extended sympy lark       # optional, for the comparison
    taskset -c 0 python experiments/benchmarks/latex_parsers.py math500.jsonl olympiadbench.jsonl

Each file has a JSON object with an `answer` in each line. Prints one JSON line.
"""

import argparse
import importlib.util
import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rlsp_jax.verifiers.lexer import tokenize
from rlsp_jax.verifiers.parser import parse

SECONDS = 5  # for one answer


class Late(Exception):
    """A parser takes too long."""


def main() -> None:
    chosen = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen.add_argument("files", type=Path, nargs="+")
    lines = [line for path in chosen.parse_args().files for line in path.read_text().splitlines()]
    golds = [str(json.loads(line)["answer"]).strip("$") for line in lines]
    signal.signal(signal.SIGALRM, _late)
    print(json.dumps({name: measure(parser, golds) for name, parser in parsers().items()}))


def parsers() -> dict[str, Callable[[str], object]]:
    found: dict[str, Callable[[str], object]] = {"rlsp_jax": lambda text: parse(tokenize(text))}
    if importlib.util.find_spec("latex2sympy2_extended"):
        from latex2sympy2_extended import latex2sympy  # pyright: ignore[reportMissingImports]

        found["latex2sympy2_extended"] = latex2sympy
    if importlib.util.find_spec("lark") and importlib.util.find_spec("sympy"):
        from sympy.parsing.latex import parse_latex  # pyright: ignore[reportMissingImports]

        found["sympy (lark)"] = lambda text: parse_latex(text, backend="lark")
    return found


def measure(parser: Callable[[str], object], golds: Sequence[str]) -> dict[str, float]:
    """The share that is understood, how many were late, and answers a second."""
    understood = late = 0
    start = time.perf_counter()
    for gold in golds:
        signal.alarm(SECONDS)
        try:
            understood += parser(gold) is not None
        except Late:
            late += 1
        except Exception:  # each parser has its own for what it does not understand
            pass
        finally:
            signal.alarm(0)
    per_second = len(golds) / (time.perf_counter() - start)
    return {"answers": len(golds), "understood": understood / len(golds), "late": late, "per_second": round(per_second)}


def _late(*_: object) -> None:
    raise Late


if __name__ == "__main__":
    main()
