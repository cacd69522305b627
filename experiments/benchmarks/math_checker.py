"""How fast the device checker of mathematics is on one core, and how many gold answers it can settle: one JSON line.

Every response is 256 tokens of mathematical text that ends with the boxed gold answer; the tokens are words, digits and
marks, in a vocabulary filled up to 32,000. With `--data`, a folder of JSONL files with the fields `problem` and
`answer`, the golds are those of each file and `decided` is the share of them that is settled; else they are made up.

Command:   JAX_PLATFORMS=cpu taskset -c 0 python experiments/benchmarks/math_checker.py [--data FOLDER]
"""

import argparse
import json
import re
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlsp_jax.common.codes import Verdict
from rlsp_jax.records import Problem
from rlsp_jax.rewards import MathChecker
from rlsp_jax.training.environment import devices, set_up_process
from rlsp_jax.types import PromptBatch, Rollout, TokenBytes

FILES = ("gsm8k_test", "aime24", "aime25", "math500")
PIECE = re.compile(rb" ?[A-Za-z]+|\d|\s+|[^\sA-Za-z0-9]+")
WORK = r"""Let $x$ be the number of apples. Then $\frac{x}{2} + 3 = \sqrt{x^2 - 1}$, so $x^2 - 12x - 40 = 0$. The
sum of the roots is $-\frac{-12}{1} = 12$, \[ \left( x_1 + x_2 \right)^2 = 144. \] Check: 12 * 12 = 144, again. """


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the checker of mathematics.")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batch", default=1024, type=int)
    parser.add_argument("--tokens", default=256, type=int)
    parser.add_argument("--vocab", default=32_000, type=int)
    parser.add_argument("--repeats", default=50, type=int)
    arguments = parser.parse_args()
    set_up_process()
    golds = {"made up": [str(number * 37 % 1000) for number in range(1000)]}
    if arguments.data is not None:
        golds = {name: read_golds(path) for name in FILES if (path := arguments.data / f"{name}.jsonl").is_file()}
    bench = Bench(
        arguments.batch, arguments.tokens, arguments.vocab, [gold for part in golds.values() for gold in part]
    )
    rollout = bench.rollout(sum(golds.values(), []))
    jax.block_until_ready(bench.check(rollout))  # compile
    seconds = statistics.median(timed(bench.check, rollout) for _ in range(arguments.repeats))
    row = dict(name="math_checker", responses_per_s=arguments.batch / seconds, seconds=seconds, batch=arguments.batch)
    row |= dict(tokens=arguments.tokens, vocab=arguments.vocab, vocabulary_seconds=bench.vocabulary_seconds)
    row |= dict(decided={name: bench.decided(part) for name, part in golds.items()})
    row |= dict(jax=jax.__version__, devices=devices())
    print(json.dumps(row), flush=True)


def read_golds(path: Path) -> list[str]:
    return [str(json.loads(line)["answer"]) for line in path.read_text().splitlines() if line.strip()]


def timed(work, *arguments) -> float:
    start = time.perf_counter()
    jax.block_until_ready(work(*arguments))
    return time.perf_counter() - start


class Bench:
    """A compiled checker and a vocabulary that spells the golds."""

    def __init__(self, batch: int, time_steps: int, vocab: int, golds: list[str]):
        self.batch, self.tokens = batch, time_steps
        pieces = [bytes([byte]) for byte in range(256)]
        pieces += sorted({piece for gold in golds for piece in PIECE.findall(self.text(gold))} - set(pieces))
        rng = np.random.default_rng(0)
        words = [rng.integers(97, 123, rng.integers(2, 12), np.uint8).tobytes() for _ in range(vocab - len(pieces))]
        pieces += words
        self.ids = {piece: token for token, piece in reversed(list(enumerate(pieces)))}
        lengths = np.array([len(piece) for piece in pieces], np.int32)
        table = np.zeros((len(pieces), lengths.max()), np.uint8)
        for row, piece in zip(table, pieces, strict=True):
            row[: len(piece)] = list(piece)
        self.checker = MathChecker()
        self.judge = jax.jit(self.checker.__call__)
        start = time.perf_counter()
        token_bytes = TokenBytes(jnp.asarray(table), jnp.asarray(lengths))
        self.vocabulary = jax.device_put(self.checker.read_vocabulary(token_bytes))
        self.vocabulary_seconds = time.perf_counter() - start

    def text(self, gold: str) -> bytes:
        return (WORK * 8 + f"The answer is $\\boxed{{{gold}}}$.").encode()

    def rollout(self, golds: list[str]) -> Rollout:
        """As many responses as the batch has, with the golds in turn."""
        tokens = np.zeros((self.batch, self.tokens), np.int32)
        for row in range(self.batch):
            tokens[row] = [self.ids[piece] for piece in PIECE.findall(self.text(golds[row % len(golds)]))][
                -self.tokens :
            ]
        rows = range(self.batch)
        truth = self.checker.encode_truth([Problem(i, "", "", {"answer": golds[i % len(golds)]}) for i in rows])
        zeros, column = jnp.zeros(tokens.shape), jnp.zeros((self.batch, 1), jnp.int32)
        prompts = PromptBatch(column, column == 0, column[:, 0], column[:, 0], jax.tree.map(jnp.asarray, truth))
        stops = jnp.zeros(self.batch, jnp.int8)
        return Rollout(prompts, jnp.asarray(tokens), jnp.ones(tokens.shape, bool), zeros, zeros, stops)

    def check(self, rollout: Rollout):
        return self.judge(rollout, self.vocabulary)

    def decided(self, golds: list[str]) -> float:
        settled = 0
        for start in range(0, len(golds), self.batch):
            part = golds[start : start + self.batch]
            settled += int(np.sum(np.asarray(self.check(self.rollout(part)).outcome)[: len(part)] == Verdict.CORRECT))
        return settled / len(golds)


if __name__ == "__main__":
    main()
