"""The clock of the benchmarks."""

import time

import jax


def timed(work, *arguments) -> float:
    """Seconds until what `work` returns has been computed."""
    start = time.perf_counter()
    jax.block_until_ready(work(*arguments))
    return time.perf_counter() - start
