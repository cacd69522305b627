"""Rollouts: sampling from a policy, on the device, in one program."""

from rlsp_jax.generation.engine import make_generate_fn, make_stream_fns
from rlsp_jax.generation.sampling import SamplingConfig, choose, warp, with_stops

__all__ = ["SamplingConfig", "choose", "make_generate_fn", "make_stream_fns", "warp", "with_stops"]
