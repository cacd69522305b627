"""An experiment, as a value: who learns, on what, paid how, watched how."""

import dataclasses
import difflib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.override import apply_overrides
from rlsp_jax.data import Countdown, SentencePiece
from rlsp_jax.evaluation import Checker, Eval
from rlsp_jax.models import ModelConfig
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.verifiers import Verifier

Stage = sft.Config | ppo.Config


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run: stages in order, each taking parameters and returning parameters."""

    name: str
    model: ModelConfig
    tokenizer: SentencePiece
    problems: Countdown
    checker: Checker  # judges on the device
    verifier: Verifier  # judges on the host what the checker leaves undecided
    stages: tuple[Stage, ...]
    evals: tuple[Eval, ...]
    seed: int = 0
    mesh: MeshConfig = MeshConfig()
    max_prompt: int = 16  # tokens
    checkpoint_every: int = 20  # steps of RL between checkpoints
    verifier_workers: int = 1

    def __post_init__(self):
        if not self.stages:
            raise UserError("The experiment has no stages; give it at least one, such as sft.Config(…).")
        names = [config.name for config in self.evals]
        if len(set(names)) < len(names):
            raise UserError(f"Two evals share a name: {', '.join(names)}.")
        for name, stage in zip(self.stage_names, self.stages, strict=True):
            self._check_stage(name, stage)
        for config in self.evals:
            self._check_length(f"eval {config.name!r}", config.sampling.max_response)

    def _check_stage(self, name: str, stage: Stage) -> None:
        match stage:
            case sft.Config():
                if stage.row_length > self.model.max_length:
                    raise UserError(
                        f"Stage {name!r} has row_length = {stage.row_length}, more than model.max_length = {self.model.max_length}."
                    )
            case ppo.Config():
                self._check_length(f"stage {name!r}", stage.sampling.max_response)
                missing = [head for head in stage.value_heads if head not in self.model.value_heads]
                if missing:
                    raise UserError(
                        f"Stage {name!r} needs the value heads {stage.value_heads}, but model.value_heads is "
                        f"{self.model.value_heads}: add {', '.join(map(repr, missing))}."
                    )

    def _check_length(self, who: str, max_response: int) -> None:
        if self.max_prompt + max_response > self.model.max_length:
            raise UserError(
                f"The {who} may reach {self.max_prompt} + {max_response} tokens (max_prompt + max_response), "
                f"more than the model's context of model.max_length = {self.model.max_length}."
            )

    @property
    def stage_names(self) -> tuple[str, ...]:
        """`sft`, `ppo`, …; a kind that appears again is numbered: `ppo`, `ppo_2`."""
        kinds = [stage.kind for stage in self.stages]
        seen = [kinds[: i + 1].count(kind) for i, kind in enumerate(kinds)]
        return tuple(kind if n == 1 else f"{kind}_{n}" for kind, n in zip(kinds, seen, strict=True))


class Loaded(NamedTuple):
    """An experiment with what it was made from: the text of its file and the overrides."""

    experiment: Experiment
    source: str
    overrides: tuple[str, ...]


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Loaded:
    """The experiment that a Python file's `get_config()` returns, with overrides applied.

    Raises `UserError` (or an `OverrideError`) with one sentence for every mistake in the arguments.
    """
    if not path.is_file():
        raise UserError(f"There is no experiment file {path}.{_similar(path)}")
    spec = importlib.util.spec_from_file_location(f"experiment_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file; an experiment file ends in .py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    get_config = vars(module).get("get_config")
    if not callable(get_config):
        raise UserError(f"{path} has no function get_config(); it must return an Experiment (see experiments/forkme.py).")
    experiment = get_config()
    if not isinstance(experiment, Experiment):
        raise UserError(f"get_config() in {path} returns a {type(experiment).__name__}, not an Experiment.")
    return Loaded(apply_overrides(experiment, overrides), path.read_text(), tuple(overrides))


def _similar(path: Path) -> str:
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.glob("*.py")], n=1)
    return f" Did you mean {path.parent / near[0]}?" if near else ""
