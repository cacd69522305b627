"""Checkpoints of a stage: asynchronous, atomic, restored onto any mesh.

One folder per stage, named by its place and kind (`checkpoints/0_sft`), holds that stage's states by
step. A save that was cut off is never taken for a checkpoint: Orbax renames a finished one into place.
"""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from rlsp_jax.types import TrainState


class Saver:
    """Saves and restores the states of one stage, with a small JSON object beside each state."""

    def __init__(self, folder: Path, *, keep: int = 2):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, state: TrainState, progress: dict[str, Any]) -> None:
        """Begin to save; arrays are copied before this returns, so the state may be donated at once."""
        if step in self._manager.all_steps():
            return
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress))
        self._manager.save(step, args=items)

    def latest_step(self) -> int | None:
        """The step of the newest finished checkpoint."""
        return self._manager.latest_step()

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The state saved at a step, laid out as `like` is (arrays or shapes with shardings)."""
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(target), progress=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=items)
        return restored.state, restored.progress

    def close(self) -> None:
        """Wait for saves under way, then let go of the folder."""
        self._manager.wait_until_finished()
        self._manager.close()
