"""Mistakes in an experiment that its config alone cannot show, met before the first step and not hours later."""

from jax.sharding import Mesh

from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Tokenizer, encode_prompts
from rlsp_jax.records import Problem
from rlsp_jax.sharding import check_rows
from rlsp_jax.training.config import Experiment


def check_sizes(experiment: Experiment, mesh: Mesh) -> None:
    """Raise `UserError` unless every batch divides over the mesh and there are as many problems as are asked for."""
    sizes = {f"batch_size of eval {config.name!r}": config.batch_size for config in experiment.evals}
    for name, config in zip(experiment.stage_names, experiment.stages, strict=True):
        match config:
            case sft.Config():
                parts = {"batch_size / micro_batches": config.batch_size // config.micro_batches}
            case ppo.Config():
                parts = {
                    "prompts_per_step × samples_per_prompt": config.rows,
                    "minibatch_size / micro_batches": config.minibatch_size // config.micro_batches,
                }
        sizes |= {f"{part} of stage {name!r}": size for part, size in parts.items()}
    check_rows(mesh, **sizes)
    _shown_problems(experiment)


def check_vocab(experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Raise `UserError` unless the model knows every token, and no id that is none."""
    if experiment.model.vocab_size not in (None, tokenizer.vocab_size):
        raise UserError(
            f"model.vocab_size is {experiment.model.vocab_size}, but the tokenizer has {tokenizer.vocab_size} tokens; "
            "set it to that number, or to None, which means the same."
        )


def check_prompts(experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Raise `UserError` unless problems fit the prompt and the checker: all of them where they are not endless."""
    problems = _shown_problems(experiment, whole_epoch=True)
    encode_prompts(tokenizer, problems, max_prompt=experiment.max_prompt)
    experiment.checker.encode_truth(problems)


def _shown_problems(experiment: Experiment, *, whole_epoch: bool = False) -> list[Problem]:
    """All problems of the evals, and those of the first step that draws responses, or of its first epoch."""
    heldout = max((config.problems for config in experiment.evals), default=0)
    first = max((config.prompts_per_step for config in experiment.stages if isinstance(config, ppo.Config)), default=0)
    if first and whole_epoch:
        first = experiment.problems.epoch_size() or first
    return [*experiment.problems.heldout(heldout), *experiment.problems.problems("train", 0, first)]
