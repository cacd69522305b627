"""Mistakes in an experiment that its config alone cannot show, met before the first step and not hours later."""

import itertools

from jax.sharding import AbstractMesh, Mesh

from rlsp_jax.algorithms import expert_iteration, outcome_model, ppo, return_conditioned, rloo, sft
from rlsp_jax.algorithms.drawing import Draws
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import PretrainedTokenizer, Tokenizer, encode_on, encode_prompts, with_suffix
from rlsp_jax.records import Problem
from rlsp_jax.sharding import check_rows
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.effort import connect
from rlsp_jax.training.problems import AsksOnce


def check_sizes(experiment: Experiment, mesh: Mesh | AbstractMesh) -> None:
    """Raise `UserError` unless every batch divides over the mesh and there are as many problems as are asked for."""
    check_batches(experiment, mesh)
    _shown_problems(experiment)


def check_batches(experiment: Experiment, mesh: Mesh | AbstractMesh) -> None:
    """Raise `UserError` unless every batch divides over the mesh."""
    sizes = {f"batch_size of eval {config.name!r}": config.batch_size for config in experiment.evals}
    sizes |= {f"batch_size of scaling {config.name!r}": config.batch_size for config in experiment.scalings}
    for name, config in zip(experiment.stage_names, experiment.stages, strict=True):
        match config:
            case sft.Config():
                parts = {"batch_size / micro_batches": config.batch_size // config.micro_batches}
            case ppo.Config():
                parts = {
                    "prompts_per_step × samples_per_prompt": config.rows,
                    "minibatch_size / micro_batches": config.minibatch_size // config.micro_batches,
                }
            case outcome_model.Config() | expert_iteration.Config() | return_conditioned.Config():
                parts = {
                    "draw_size": config.draw_size,
                    "batch_size / micro_batches": config.batch_size // config.micro_batches,
                }
            case rloo.Config():
                parts = {
                    "chunk_prompts × samples_per_prompt": config.drawing.chunk_rows,
                    "prompts_per_step × samples_per_prompt": config.rows,
                    "rows of an update / micro_batches": config.update_rows // config.micro_batches,
                }
        sizes |= {f"{part} of stage {name!r}": size for part, size in parts.items()}
    check_rows(mesh, **sizes)


def check_effort_judge(experiment: Experiment) -> None:
    """Raise `UserError` unless the effort judge, if there is one, finds what it needs, such as its key."""
    if experiment.effort_judge is not None:
        connect(experiment.effort_judge)


def check_weights(experiment: Experiment) -> None:
    """Raise `UserError` unless the checkpoint that the policy begins as, if there is one, is there and of its shape."""
    if experiment.weights is not None:
        experiment.weights.check(experiment.model)


def check_vocab(experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Raise `UserError` unless the model knows every token, and no id that is none.

    Checkpoints have rows for more ids than their tokenizers: their makers round the number up.
    """
    size = experiment.model.vocab_size
    rounded_up = isinstance(experiment.tokenizer, PretrainedTokenizer) and (size or 0) > tokenizer.vocab_size
    if size not in (None, tokenizer.vocab_size) and not rounded_up:
        raise UserError(
            f"model.vocab_size is {experiment.model.vocab_size}, but the tokenizer has {tokenizer.vocab_size} tokens; "
            "set it to that number, or to None, which means the same."
        )


def check_markers(experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Raise `UserError` where a question, a whole response, a marker and an answer are more than the context."""
    for config in experiment.scalings:
        parts = (experiment.max_prompt, config.sampling.max_response, config.elicit_tokens)
        marker = len(encode_on(tokenizer, config.marker_text(experiment.checker)))
        if sum(parts) + marker > experiment.model.max_length:
            raise UserError(
                f"The scaling {config.name!r} may reach {' + '.join(map(str, parts))} + {marker} tokens (max_prompt + "
                "max_response + elicit_tokens + those of the marker), more than the model's context of "
                f"model.max_length = {experiment.model.max_length}."
            )


def check_labels(experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Raise `UserError` where a label that policies write, or are kept from, is more than one token."""
    for name, stage in zip(experiment.stage_names, experiment.stages, strict=True):
        for label in stage.marks if isinstance(stage, return_conditioned.Config) else ():
            if (size := len(tokenizer.encode(label))) != 1:
                raise UserError(
                    f"The label {label!r} of stage {name!r} is {size} tokens of this tokenizer, and must be one: "
                    "choose a single ASCII character, such as '!', or make it one of the tokenizer's symbols."
                )


def check_prompts(experiment: Experiment, tokenizer: Tokenizer) -> None:
    """Raise `UserError` unless problems fit the prompt and the checker: all of them where they are not endless."""
    problems = _shown_problems(experiment, whole_epoch=True)
    labels = [stage.suffixes for stage in experiment.stages if isinstance(stage, return_conditioned.Config)]
    for suffix in {"", *itertools.chain(*labels)}:
        shown = with_suffix(problems, suffix)
        encode_prompts(tokenizer, shown, max_prompt=experiment.max_prompt, prompts=experiment.prompts)
    experiment.checker.encode_truth(problems)


def _shown_problems(experiment: Experiment, *, whole_epoch: bool = False) -> list[Problem]:
    """All problems of evals and scalings, and those of the first step that draws responses, or of its first epoch."""
    heldout = max((config.problems for config in (*experiment.evals, *experiment.scalings)), default=0)
    steps = [config.drawing.num_problems for config in experiment.stages if isinstance(config, Draws)]
    stages = [config.num_problems for config in experiment.stages if isinstance(config, AsksOnce)]
    first = max([*steps, *stages], default=0)
    if first and whole_epoch:
        first = experiment.problems.epoch_size() or first
    return [*experiment.problems.heldout(heldout), *experiment.problems.problems("train", 0, first)]
