"""The checksum by which the base of adapters is known again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from rlsp_jax.sharding import MeshConfig, make_mesh
from rlsp_jax.training.beginning import make_checksum_fn

NUMBERS = {"a": np.arange(48, dtype=np.float32).reshape(8, 2, 3) / 7, "b": np.ones(16, jnp.bfloat16)}


@pytest.fixture(scope="module")
def checksum():
    return make_checksum_fn(make_mesh(MeshConfig()))


def slow(numbers) -> int:
    """The same in Python's integers."""
    total = 0
    for leaf in numbers.values():
        bits = leaf.reshape(-1).view(np.uint16 if leaf.dtype.itemsize == 2 else np.uint32).tolist()
        total = 31 * total + sum(mixed(value ^ mixed(place)) for place, value in enumerate(bits))
    return total % 2**32


def mixed(x: int) -> int:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> shift)) * factor % 2**32
    return x ^ (x >> 16)


def test_it_is_a_sum_of_bits_mixed_with_their_places(checksum):
    assert int(checksum(NUMBERS)) == slow(NUMBERS)


def test_it_changes_with_one_bit_with_the_order_and_with_the_sign_of_zero(checksum):
    one_bit = NUMBERS["a"].copy()
    one_bit.view(np.uint32)[3, 1, 2] ^= 1 << 31
    swapped = NUMBERS["a"][::-1].copy()
    zeros = NUMBERS["a"] * 0
    found = [int(checksum(NUMBERS | {"a": a})) for a in (NUMBERS["a"], one_bit, swapped, zeros, -zeros)]
    assert len(set(found)) == 5


def test_it_is_the_same_on_every_mesh(checksum):
    mesh = make_mesh(MeshConfig(data=1, fsdp=jax.device_count()))
    split = jax.device_put(NUMBERS, NamedSharding(mesh, PartitionSpec("fsdp")))
    assert int(make_checksum_fn(mesh)(split)) == int(checksum(NUMBERS))
