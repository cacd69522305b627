"""Saving and restoring, so that nothing is lost, and checkpoints of other people's making, in and out."""

from rlsp_jax.checkpoints.critics import read_critic, read_outcome_model, write_critic, write_outcome_model
from rlsp_jax.checkpoints.folders import new_folder
from rlsp_jax.checkpoints.hf_export import export_policy
from rlsp_jax.checkpoints.hf_import import import_policy
from rlsp_jax.checkpoints.peft import export_adapter, import_adapter
from rlsp_jax.checkpoints.pretrained import Pretrained, load_policy, resolve_checkpoint
from rlsp_jax.checkpoints.saver import Saver, has_checkpoint

__all__ = [
    "Pretrained",
    "Saver",
    "export_adapter",
    "export_policy",
    "has_checkpoint",
    "import_adapter",
    "import_policy",
    "load_policy",
    "new_folder",
    "read_critic",
    "read_outcome_model",
    "resolve_checkpoint",
    "write_critic",
    "write_outcome_model",
]
