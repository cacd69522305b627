"""Where a run's policy begins, if not at random: a checkpoint that others, or an earlier run, have made."""

import dataclasses
import shutil
from pathlib import Path

from jax.sharding import Mesh

from rlsp_jax.checkpoints.critics import read_critic
from rlsp_jax.checkpoints.hf_import import import_policy
from rlsp_jax.checkpoints.model_json import FILE, check_agrees, read_model
from rlsp_jax.checkpoints.native import is_native, restore_policy
from rlsp_jax.checkpoints.weight_files import INDEX
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.sources import resolve
from rlsp_jax.models import ActorCritic, ModelConfig
from rlsp_jax.types import Params


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A checkpoint of the policy; `source` is a local folder, or a Hub id such as `owner/name`.

    A folder holds config.json and safetensors as transformers writes them, or is one that `rlsp convert import` wrote.
    """

    source: str
    revision: str | None = None  # of a Hub id: a branch, a tag or a commit
    critic: bool = False  # take the value heads too, from a folder that `rlsp convert export` wrote

    def __post_init__(self):
        if not self.source:
            raise UserError("source is empty; name the folder of a checkpoint, or a Hub id such as owner/name.")

    def check(self, config: ModelConfig) -> None:
        """Raise `UserError` unless the checkpoint is there and of this model; no weights are fetched or read."""
        folder = resolve(self.source, self.revision, (FILE,))
        check_agrees(config, read_model(folder)[1], folder / FILE)

    def keep_config(self, folder: Path) -> None:
        """Put the checkpoint's config.json there, so that its place is not needed again."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(resolve(self.source, self.revision, (FILE,)) / FILE, folder / FILE)

    def load(self, model: ActorCritic, mesh: Mesh) -> Params:
        """The policy, and the critic if it is wanted: part of the parameters of `model`, on the mesh."""
        folder = resolve_checkpoint(self.source, self.revision)
        params = {"policy": load_policy(folder, model, mesh)}
        return params | ({"value": read_critic(folder, model, mesh)} if self.critic else {})


def resolve_checkpoint(source: str, revision: str | None, more: tuple[str, ...] = ()) -> Path:
    """The folder of a checkpoint with its config and its weights, and more of its files if wanted."""
    return resolve(source, revision, (FILE, INDEX, "model*.safetensors", *more))


def load_policy(folder: Path, model: ActorCritic, mesh: Mesh) -> Params:
    """The policy of a checkpoint's folder, in either format."""
    return (restore_policy if is_native(folder) else import_policy)(folder, model, mesh)
