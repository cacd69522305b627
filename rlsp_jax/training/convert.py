"""`rlsp convert`: published checkpoints in, trained policies out."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
from jax.sharding import Mesh

from rlsp_jax.algorithms import ppo
from rlsp_jax.checkpoints import (
    Saver,
    export_adapter,
    export_policy,
    import_policy,
    new_folder,
    resolve_checkpoint,
    write_critic,
    write_outcome_model,
)
from rlsp_jax.checkpoints.model_json import FILE, dtype_of, read_json, read_model
from rlsp_jax.checkpoints.native import is_native, restore_policy, save_policy, stacked
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Tokenizer
from rlsp_jax.data.published import FILES, copy_files
from rlsp_jax.data.sentencepiece import SentencePieceTokenizer
from rlsp_jax.data.sentencepiece_export import export_sentencepiece
from rlsp_jax.models import AXES, ActorCritic, merge
from rlsp_jax.records import is_run
from rlsp_jax.sharding import MeshConfig, make_mesh, tree_shardings
from rlsp_jax.training.beginning import with_base
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.promise import load_oracle
from rlsp_jax.training.train import load_tokenizer
from rlsp_jax.training.workdir import (
    CHECKPOINTS,
    PRETRAINED_TOKENIZER,
    load_from_workdir,
    newest_stage,
    stage_folder,
)
from rlsp_jax.types import Params


def import_checkpoint(source: str, out: Path, *, revision: str | None = None) -> None:
    """Read a published checkpoint, and write it as `Pretrained` reads it fastest, its numbers as they are.

    Raises `UserError` where it is none, or not whole; `out` comes into being whole or not at all.
    """
    with new_folder(out) as draft:
        folder = resolve_checkpoint(source, revision, FILES)
        model = _stored_model(folder)
        save_policy(draft, import_policy(folder, model, _own_mesh()))
        shutil.copyfile(folder / FILE, draft / FILE)
        copy_files(folder, draft)


def export(source: Path, out: Path, *, dtype: str | None = None, adapter: bool = False) -> None:
    """Write the newest policy of a run, or an imported checkpoint, as a folder that transformers loads.

    Adapters are merged into their base, or with `adapter` written alone, as a folder that PEFT loads.
    Weights are stored in `dtype`; by default as in the checkpoint that the policy began as, else in float32. Raises
    `UserError` where there is no policy, or where no published family has such models; `out` comes into being whole or
    not at all.
    """
    if not is_run(source) and not is_native(source):
        raise UserError(f"{source} is neither a run's workdir nor a folder that rlsp convert import wrote.")
    with new_folder(out) as draft:
        if adapter:
            _export_adapter(source, draft)
        else:
            (_export_run if is_run(source) else _export_native)(source, draft, dtype)


def _export_native(folder: Path, draft: Path, dtype: str | None) -> None:
    model = _stored_model(folder)
    export_policy(draft, model.config, restore_policy(folder, model, _own_mesh()), like=folder, dtype=dtype)
    copy_files(folder, draft)


def _export_run(workdir: Path, draft: Path, dtype: str | None) -> None:
    """The policy of a run's newest checkpoint, its tokenizer, and the critic and the outcome model that it trained."""
    experiment = load_from_workdir(workdir).experiment
    index = _newest_stage(experiment, workdir)
    mesh = _own_mesh()
    tokenizer = load_tokenizer(experiment, workdir)
    model = ActorCritic(experiment.model, experiment.model.vocab_size or tokenizer.vocab_size)
    params = _newest_params(experiment, workdir, index, model, mesh)
    policy = with_base(experiment, workdir, model, mesh, params["policy"])
    params = model.merged(params | {"policy": policy})
    write = _writer(model, workdir / CHECKPOINTS, dtype)
    write(draft, params["policy"])
    if any(isinstance(stage, ppo.Config) for stage in experiment.stages[: index + 1]):
        write_critic(draft, model.config, params["value"], write)
    oracle = load_oracle(experiment, workdir, mesh, model)
    if oracle is not None:
        write_outcome_model(draft, _merged_trunk(model, oracle.params), write)
    _write_tokenizer(workdir, draft, tokenizer)


def _merged_trunk(model: ActorCritic, outcome: Params) -> Params:
    """An outcome model without adapters that says the same."""
    lora = model.config.lora
    return outcome if lora is None else outcome | {"trunk": merge(lora, outcome["trunk"])}


def _export_adapter(workdir: Path, draft: Path) -> None:
    """The adapters of a run's newest checkpoint, and its tokenizer."""
    experiment = load_from_workdir(workdir).experiment if is_run(workdir) else None
    if experiment is None or experiment.model.lora is None:
        raise UserError(f"{workdir} holds no adapters, which a run with model.lora trains; leave --adapter out.")
    if experiment.weights is None:
        raise UserError(f"The base of the run in {workdir} is its own; leave --adapter out, and both are merged.")
    index = _newest_stage(experiment, workdir)
    tokenizer = load_tokenizer(experiment, workdir)
    model = ActorCritic(experiment.model, experiment.model.vocab_size or tokenizer.vocab_size)
    params = _newest_params(experiment, workdir, index, model, _own_mesh())
    adapters, base = params["policy"]["lora"], experiment.weights.source
    export_adapter(draft, model.config, adapters, base=base, like=workdir / CHECKPOINTS)
    _write_tokenizer(workdir, draft, tokenizer)


def _newest_stage(experiment: Experiment, workdir: Path) -> int:
    index = newest_stage(workdir, experiment)
    if index is None:
        raise UserError(f"The run in {workdir} has no checkpoint yet; let rlsp train work on it for a while first.")
    return index


def _write_tokenizer(workdir: Path, draft: Path, tokenizer: Tokenizer) -> None:
    if (workdir / PRETRAINED_TOKENIZER).is_dir():
        copy_files(workdir / PRETRAINED_TOKENIZER, draft)
    else:
        assert isinstance(tokenizer, SentencePieceTokenizer)  # the only kind that is trained here
        export_sentencepiece(draft, tokenizer)


def _newest_params(experiment: Experiment, workdir: Path, index: int, model: ActorCritic, mesh: Mesh) -> Params:
    """Policy and critic of a stage's newest checkpoint; optimizer and reference are not read, and no base is there."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    placed = tree_shardings(mesh, shapes, AXES)
    like = jax.tree.map(lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes, placed)
    with contextlib.closing(Saver(stage_folder(workdir, experiment, index))) as saver:
        step = saver.latest_step()
        assert step is not None  # or the stage would not be the newest one
        part, _ = saver.restore_part(step, {"params": like})
    return part["params"]


def _writer(model: ActorCritic, published: Path, dtype: str | None) -> Callable[[Path, Params], None]:
    """Writes a transformer of the policy's shape as a checkpoint, like the one whose config.json is kept, if any is."""
    like = published if (published / FILE).is_file() else None

    def write(folder: Path, policy: Params) -> None:
        export_policy(folder, model.config, policy, like=like, dtype=dtype)

    return write


def _stored_model(folder: Path) -> ActorCritic:
    """The model of a checkpoint, its layers stacked, its parameters of the type that the weights are stored in."""
    _, config = read_model(folder)
    assert config.vocab_size is not None
    dtype = "bfloat16" if dtype_of(read_json(folder)) == "bfloat16" else "float32"
    return ActorCritic(dataclasses.replace(stacked(config), param_dtype=dtype), config.vocab_size)


def _own_mesh() -> Mesh:
    """All devices of this machine, parameters split over them: a run's own mesh may be that of another machine."""
    return make_mesh(MeshConfig(fsdp=jax.device_count()))
