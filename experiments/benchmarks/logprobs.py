"""Chunked log-probabilities and entropies beside those of whole logits: memory, time and differences, one JSON line.

Forward and backward. Memory is the compiler's own account at the full size, where nothing is computed; time and
differences are of fewer places a row (`--timed`), because whole logits of all of them take 10 GB and more.

Command:   JAX_PLATFORMS=cpu python experiments/benchmarks/logprobs.py [--vocab 131072] [--embed 64] [--timed 128]
"""

import argparse
import json
import statistics

import jax
import jax.numpy as jnp
import numpy as np
from timing import timed

from rlsp_jax.models import token_logprobs
from rlsp_jax.training.environment import devices, now, set_up_process


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the chunked log-probabilities.")
    for name, default in dict(batch=4, places=1024, timed=128, embed=64, vocab=131_072, repeats=3).items():
        parser.add_argument(f"--{name}", default=default, type=int)
    sizes = parser.parse_args()
    set_up_process()
    row = dict(name="logprobs", **vars(sizes), **memory(sizes), **speed(sizes))
    print(json.dumps(row | dict(jax=jax.__version__, devices=devices(), date=now())), flush=True)


def whole(hidden, head, tokens):
    logp = jax.nn.log_softmax(jnp.einsum("bte,ev->btv", hidden, head, preferred_element_type=jnp.float32))
    chosen = jnp.take_along_axis(logp, tokens[..., None], axis=-1)[..., 0]
    return chosen, -jnp.sum(jnp.exp(logp) * logp, axis=-1)


def learn(fn):
    """Log-probs and entropies, and the gradients of a sum of both with random weights."""

    def loss(hidden, head, tokens, weights):
        logprobs, entropies = fn(hidden, head, tokens)
        return jnp.sum(weights[0] * logprobs + weights[1] * entropies), (logprobs, entropies)

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))


def memory(sizes) -> dict[str, float]:
    rows = (sizes.batch, sizes.places)
    floats = [(*rows, sizes.embed), (sizes.embed, sizes.vocab), (2, *rows)]
    hidden, head, weights = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in floats)
    shapes = (hidden, head, jax.ShapeDtypeStruct(rows, jnp.int32), weights)
    accounts = [learn(fn).lower(*shapes).compile().memory_analysis() for fn in (whole, token_logprobs)]
    used = [account.temp_size_in_bytes for account in accounts if account is not None]
    return dict(whole_bytes=used[0], bytes=used[1], bytes_ratio=used[1] / used[0])


def speed(sizes) -> dict[str, float]:
    rng = np.random.default_rng(0)
    rows = (sizes.batch, sizes.timed)
    hidden, head = rng.normal(size=(*rows, sizes.embed)), rng.normal(size=(sizes.embed, sizes.vocab)) / 8
    tokens, weights = rng.integers(0, sizes.vocab, rows), rng.normal(size=(2, *rows))
    arrays = [jnp.asarray(x, jnp.float32) for x in (hidden, head, weights)]
    arguments = (arrays[0], arrays[1], jnp.asarray(tokens, jnp.int32), arrays[2])
    functions = [learn(whole), learn(token_logprobs)]
    results = [jax.block_until_ready(fn(*arguments)) for fn in functions]  # compile
    difference = max(jax.tree.leaves(jax.tree.map(_difference, *results)))
    # in turns, so that other work on the machine falls on both
    seconds = np.array([[timed(fn, *arguments) for fn in functions] for _ in range(sizes.repeats)])
    ratio = statistics.median(seconds[:, 1] / seconds[:, 0])
    whole_s, chunked_s = np.median(seconds, axis=0).tolist()
    return dict(whole_seconds=whole_s, seconds=chunked_s, seconds_ratio=ratio, largest_difference=difference)


def _difference(one, other) -> float:
    """The largest, beside the largest number."""
    return float(jnp.abs(one - other).max() / jnp.abs(one).max())


if __name__ == "__main__":
    main()
