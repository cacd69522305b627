"""Each implementation of attention that this device has, forward and backward: memory and time, one JSON line each.

Memory is the compiler's account of temporaries. Rows hold one sequence each, without padding.

Command:   python experiments/benchmarks/attention.py [--batch 4] [--places 1024] [--heads 8] [--dtype bfloat16]
"""

import argparse
import json
import statistics

import jax
import jax.numpy as jnp
from timing import timed

from rlsp_jax.common.errors import UserError
from rlsp_jax.models.attention import Blockwise, CuDNN, Implementation, Plain, Splash
from rlsp_jax.training.environment import devices, now, set_up_process


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure attention.")
    for name, default in dict(batch=4, places=1024, heads=8, kv_heads=8, head_dim=64, repeats=5).items():
        parser.add_argument(f"--{name}", default=default, type=int)
    parser.add_argument("--dtype", default="float32")
    sizes = parser.parse_args()
    set_up_process()
    plain = None
    for implementation in (Plain(), Blockwise(64), Blockwise(128), Blockwise(256), CuDNN(), Splash()):
        try:
            row = measure(implementation, sizes)
        except UserError:  # of another device
            continue
        plain = plain or row
        row |= dict(bytes_ratio=row["bytes"] / plain["bytes"], seconds_ratio=row["seconds"] / plain["seconds"])
        row = dict(name="attention", implementation=str(implementation), **vars(sizes)) | row
        print(json.dumps(row | dict(jax=jax.__version__, devices=devices(), date=now())), flush=True)


def measure(implementation: Implementation, sizes) -> dict[str, float]:
    keys = jax.random.split(jax.random.key(0), 3)
    queries, *others = (
        jax.random.normal(key, (sizes.batch, sizes.places, heads, sizes.head_dim), jnp.dtype(sizes.dtype))
        for key, heads in zip(keys, (sizes.heads, sizes.kv_heads, sizes.kv_heads), strict=True)
    )
    mask = jnp.ones((sizes.batch, sizes.places), bool)

    def loss(queries, keys, values, mask):
        return jnp.sum(implementation(queries, keys, values, mask).astype(jnp.float32) ** 3)

    learn = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(queries, *others, mask).compile()
    jax.block_until_ready(learn(queries, *others, mask))
    seconds = statistics.median(timed(learn, queries, *others, mask) for _ in range(sizes.repeats))
    memory = learn.memory_analysis()
    assert memory is not None
    return dict(bytes=memory.temp_size_in_bytes, seconds=seconds)


if __name__ == "__main__":
    main()
