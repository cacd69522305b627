"""Checkpoints of a stage: asynchronous, atomic, restored onto any mesh.

One folder per stage, named by its place and kind (`checkpoints/0_sft`), holds that stage's states by
step. A save that was cut off is never taken for a checkpoint: Orbax renames a finished one into place. Of what is
adapted, only the adapters are saved: their base never changes, and it lies where it came from.
"""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from rlsp_jax.models import learned, with_learned
from rlsp_jax.types import PyTree, TrainState

MIN_SLICE = 2**20  # bytes: replicas write smaller arrays once, not each a slice cut by a program of its own


class Saver:
    """Saves and restores the states of one stage, with a small JSON object beside each state."""

    def __init__(self, folder: Path, *, keep: int = 2):
        self._folder = folder
        arrays = ocp.type_handlers.ArrayHandler(min_slice_bytes_for_replica_parallel=MIN_SLICE)
        registry = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays))
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True),
            item_handlers={
                "state": ocp.PyTreeCheckpointHandler(type_handler_registry=registry),
                "progress": ocp.JsonCheckpointHandler(),
            },
        )

    def save(self, step: int, state: TrainState, progress: dict[str, Any]) -> None:
        """Begin to save; arrays are copied before this returns, so the state may be donated at once.

        Raises OSError when the disk has no room for it, here or in `close`.
        """
        if step in self._manager.all_steps():
            return
        kept = _kept(state)
        self._check_room(kept)
        # Orbax reads arrays on CPU in place. A copy by device_put compiles nothing, one by jnp.copy would.
        copied = jax.tree.map(lambda x: jax.device_put(x, x.sharding, may_alias=False), kept)
        items = ocp.args.Composite(state=ocp.args.PyTreeSave(copied), progress=ocp.args.JsonSave(progress))
        self._manager.save(step, args=items)

    def latest_step(self) -> int | None:
        """The step of the newest finished checkpoint."""
        return self._manager.latest_step()

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The state saved at a step, laid out as `like` is (arrays or shapes with shardings), whose bases it shares."""
        return self._restore(step, like, partial=False)

    def restore_part(self, step: int, like: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Some of the fields of a saved state, by name, nested as there; whatever else it holds is not read.

        Bases of adapters are those of `like`, as they are there.
        """
        return self._restore(step, like, partial=True)

    def _restore(self, step: int, like: Any, *, partial: bool) -> tuple[Any, dict[str, Any]]:
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, _kept(like))
        layout = ocp.checkpoint_utils.construct_restore_args(target)
        state = ocp.args.PyTreeRestore(target, restore_args=layout, partial_restore=partial)
        restored = self._manager.restore(step, args=ocp.args.Composite(state=state, progress=ocp.args.JsonRestore()))
        return _with_bases(like, restored["state"]), restored["progress"]

    def close(self) -> None:
        """Wait for saves under way, then let go of the folder."""
        try:
            self._manager.wait_until_finished()
        except ValueError as error:  # how tensorstore reports it
            if str(error).startswith("RESOURCE_EXHAUSTED"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder)) from error
            raise
        finally:
            self._manager.close()

    def _check_room(self, state: PyTree) -> None:
        """A disk that fills up in the middle of an asynchronous save is reported late, and by every thread."""
        if shutil.disk_usage(self._folder).free < sum(leaf.nbytes for leaf in jax.tree.leaves(state)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))


def _kept(state: PyTree) -> PyTree:
    """A state, or some fields of one, without the bases of adapters."""
    return state._replace(params=learned(state.params)) if isinstance(state, TrainState) else learned(state)


def _with_bases(like: PyTree, kept: PyTree) -> PyTree:
    """The inverse of `_kept`; the bases are those of `like`, not copied."""
    if isinstance(like, TrainState):
        return kept._replace(params=with_learned(like.params, kept.params))
    return with_learned(like, kept)


def has_checkpoint(folder: Path) -> bool:
    """Whether a stage's folder holds a finished checkpoint."""
    return folder.is_dir() and any(path.name.isdecimal() for path in folder.iterdir())
