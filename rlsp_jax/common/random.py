"""Randomness as a function of what it is for: the same purpose, step and row always give the same key."""

import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray, UInt32

KeyArray = Key[Array, "*shape"] | UInt32[Array, "*shape 2"]


def stream(key: PRNGKeyArray, name: str, step: int | Int[Array, ""]) -> PRNGKeyArray:
    """The key of purpose `name` at `step`, independent of those of other names and steps.

    The name enters by its CRC-32 and not by `hash(str)`, which differs between processes: the hosts of one run
    would disagree, and so would a run and its resumption.
    """
    named = jax.random.fold_in(key, jnp.uint32(zlib.crc32(name.encode())))
    return jax.random.fold_in(named, step)


def row_keys(key: PRNGKeyArray, problem: Int[Array, " batch"], sample: Int[Array, " batch"]) -> KeyArray:
    """One key per row, `[batch]`, that depends on its problem and sample only, and on no place in a batch."""
    by_problem = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, problem)
    return jax.vmap(jax.random.fold_in)(by_problem, sample)
