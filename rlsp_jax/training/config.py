"""An experiment, as a value: who learns, on what, paid how, watched how."""

import dataclasses

from rlsp_jax.algorithms import expert_iteration, outcome_model, ppo, return_conditioned, rloo, sft
from rlsp_jax.checkpoints import Pretrained
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Chat, Plain, PretrainedTokenizer, ProblemSource, PromptFormat, SentencePiece
from rlsp_jax.evaluation import Checker, Eval, Scaling
from rlsp_jax.models import ModelConfig
from rlsp_jax.rewards import MathChecker, needed_columns
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.verifiers import HttpJudge, LexicalJudge, Math, Verifier

Imitating = sft.Config | expert_iteration.Config | return_conditioned.Config
Stage = Imitating | ppo.Config | rloo.Config | outcome_model.Config


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
    tokenizer: SentencePiece | PretrainedTokenizer
    problems: ProblemSource
    checker: Checker  # judges on the device
    verifier: Verifier  # judges on the host what the checker leaves undecided
    stages: tuple[Stage, ...]
    evals: tuple[Eval, ...]
    scalings: tuple[Scaling, ...] = ()
    seed: int = 0
    weights: Pretrained | None = None  # what the policy begins as; drawn at random if None
    mesh: MeshConfig = MeshConfig()
    prompts: PromptFormat = Plain()  # how questions are shown
    max_prompt: int = 16  # tokens
    checkpoint_every: int = 20  # steps of RL between checkpoints
    verifier_workers: int = 1
    effort_judge: HttpJudge | LexicalJudge | None = None  # grades the effort in responses, where streams pay for it

    def __post_init__(self):
        if not self.stages:
            raise UserError("The experiment has no stages; give it at least one, such as sft.Config(…).")
        for what, configs in (("evals", self.evals), ("scalings", self.scalings)):
            names = [config.name for config in configs]
            if len(set(names)) < len(names):
                raise UserError(f"Two {what} share a name: {', '.join(names)}.")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}; it must be 0 or more.")
        for field in ("max_prompt", "checkpoint_every", "verifier_workers"):
            if (value := vars(self)[field]) < 1:
                raise UserError(f"{field} is {value}; it must be at least 1.")
        check_judges(self.checker, self.verifier)
        self._check_stored()
        self._check_prompts()
        self._check_effort_judge()
        self._check_outcome_model()
        for name, stage in zip(self.stage_names, self.stages, strict=True):
            self._check_stage(name, stage)
        for config in self.evals:
            self._check_length(f"eval {config.name!r}", config.sampling.max_response)
        for config in self.scalings:
            self._check_length(f"scaling {config.name!r}", config.sampling.max_response + config.elicit_tokens)

    def _check_prompts(self) -> None:
        """A chat template comes with a checkpoint, or has to be given."""
        own, prompts = isinstance(self.tokenizer, SentencePiece), self.prompts
        if own and isinstance(prompts, Chat) and "{" not in (prompts.template or ""):
            raise UserError(
                "A tokenizer of one's own brings no chat template; write one, data.Chat(template=…), or use "
                "prompts=data.Plain()."
            )

    def _check_stored(self) -> None:
        """What training changes is kept in float32, and a checkpoint's critic is one without adapters."""
        if self.model.param_dtype != "float32" and self.model.lora is None:
            raise UserError(
                f"model.param_dtype is {self.model.param_dtype!r}, in which small updates of what is trained are lost: "
                "use 'float32' (model.dtype says what is computed in), or train adapters, model.lora = models.Lora()."
            )
        critic = self.weights is not None and self.weights.critic
        if critic and self.model.lora is not None and self.model.value_trunk == "separate":
            raise UserError(
                "weights.critic brings a whole transformer, but with model.lora a separate critic is adapters of the "
                "policy's base; leave one of the two out."
            )

    def _check_effort_judge(self) -> None:
        """A judge costs time or money: it is there when it is needed, and only then."""
        stages = zip(self.stage_names, self.stages, strict=True)
        paid = [name for name, stage in stages if "effort" in needed_columns(getattr(stage, "streams", ()))]
        if paid and self.effort_judge is None:
            raise UserError(
                f"Stage {paid[0]!r} pays for effort as a judge sees it, but effort_judge is None: "
                "give the experiment one, such as verifiers.HttpJudge(…)."
            )
        if self.effort_judge is not None and not paid:
            raise UserError("effort_judge is given, but no stream pays for what it says; add rewards.Judged().")

    def _check_outcome_model(self) -> None:
        """What an outcome model says can be paid for only after a stage has trained one."""
        trained = False
        for name, stage in zip(self.stage_names, self.stages, strict=True):
            if "promise" in needed_columns(getattr(stage, "streams", ())) and not trained:
                raise UserError(
                    f"Stage {name!r} pays for what an outcome model promises, but no stage before it trains one: put "
                    "an outcome_model.Config(…) before it."
                )
            if isinstance(stage, return_conditioned.Config) and stage.labels.promised and not trained:
                raise UserError(
                    f"Stage {name!r} labels by what an outcome model promises, but no stage before it trains one: put "
                    "an outcome_model.Config(…) before it, or use labels=Outcomes()."
                )
            trained |= isinstance(stage, outcome_model.Config)

    def _check_stage(self, name: str, stage: Stage) -> None:
        match stage:
            case sft.Config():
                if stage.row_length > self.model.max_length:
                    raise UserError(
                        f"Stage {name!r} has row_length = {stage.row_length}, more than the model's context of "
                        f"model.max_length = {self.model.max_length}."
                    )
            case outcome_model.Config():
                self._check_length(f"stage {name!r}", stage.sampling.max_response)
            case expert_iteration.Config() | return_conditioned.Config():
                longest = self.max_prompt + stage.sampling.max_response
                if not longest <= stage.row_length <= self.model.max_length:
                    raise UserError(
                        f"Stage {name!r} has row_length = {stage.row_length}; it must hold the longest response with "
                        f"its prompt, {longest} tokens (max_prompt + max_response), and fit the model's context of "
                        f"model.max_length = {self.model.max_length}."
                    )
            case rloo.Config():
                self._check_length(f"stage {name!r}", stage.sampling.max_response)
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
