"""An experiment, as a value: who learns, on what, paid how, watched how."""

import dataclasses

from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import ProblemSource, SentencePiece
from rlsp_jax.evaluation import Checker, Eval
from rlsp_jax.models import ModelConfig
from rlsp_jax.rewards import MathChecker
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.verifiers import Math, Verifier

Stage = sft.Config | ppo.Config


def check_judges(checker: Checker, verifier: Verifier) -> None:
    """Raise `UserError` where the device and the host would judge mathematics by different rules."""
    match checker, verifier:
        case MathChecker(), Math():
            for field in ("forgive_percent", "unevaluated"):
                if getattr(checker, field) != getattr(verifier, field):
                    raise UserError(f"{field} of the checker and of the verifier differ; give both the same value.")
            if verifier.tolerance or verifier.decimal_comma:
                raise UserError("The checker on the device knows no tolerance and no decimal commas; leave them out.")
        case (MathChecker(), _) | (_, Math()):
            raise UserError("MathChecker and Math judge the same problems; use the one with the other.")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run: stages in order, each taking parameters and returning parameters."""

    name: str
    model: ModelConfig
    tokenizer: SentencePiece
    problems: ProblemSource
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
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}; it must be 0 or more.")
        for field in ("max_prompt", "checkpoint_every", "verifier_workers"):
            if (value := vars(self)[field]) < 1:
                raise UserError(f"{field} is {value}; it must be at least 1.")
        check_judges(self.checker, self.verifier)
        for name, stage in zip(self.stage_names, self.stages, strict=True):
            self._check_stage(name, stage)
        for config in self.evals:
            self._check_length(f"eval {config.name!r}", config.sampling.max_response)

    def _check_stage(self, name: str, stage: Stage) -> None:
        match stage:
            case sft.Config():
                if stage.row_length > self.model.max_length:
                    raise UserError(
                        f"Stage {name!r} has row_length = {stage.row_length}, more than the model's context of "
                        f"model.max_length = {self.model.max_length}."
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
