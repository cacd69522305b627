"""Saving and restoring, so that nothing is lost."""

from rlsp_jax.checkpoints.saver import Saver

__all__ = ["Saver"]
