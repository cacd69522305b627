"""Saving and restoring, so that nothing is lost."""

from rlsp_jax.checkpoints.saver import Saver, has_checkpoint

__all__ = ["Saver", "has_checkpoint"]
