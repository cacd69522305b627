"""The kinds of stage, told apart in this one place: what each begins with, and the loop that runs it."""

import functools

from rlsp_jax.algorithms import expert_iteration, outcome_model, ppo, return_conditioned, rloo, sft
from rlsp_jax.training.config import Stage
from rlsp_jax.training.outcome_model import train_outcome_model
from rlsp_jax.training.rl import Algorithm, train_rl
from rlsp_jax.training.run import Run
from rlsp_jax.training.self_imitation import (
    Recipe,
    labelled_demonstrations,
    room_for_response,
    train_self_imitation,
)
from rlsp_jax.training.supervised import train_supervised
from rlsp_jax.types import Params, TrainState


def init_state(config: Stage, params: Params) -> TrainState:
    """The state before a stage's first step."""
    match config:
        case sft.Config():
            return sft.init_state(config, params)
        case ppo.Config():
            return ppo.init_state(config, params)
        case rloo.Config():
            return rloo.init_state(config, params)
        case outcome_model.Config():
            return outcome_model.init_state(config, params)
        case expert_iteration.Config():
            return expert_iteration.init_state(config, params)
        case return_conditioned.Config():
            return return_conditioned.init_state(config, params)


def train_stage(run: Run, index: int, params: Params) -> Params:
    """Run a stage, or what is left of it."""
    match run.experiment.stages[index]:
        case sft.Config() as config:
            return train_supervised(run, index, config, params)
        case ppo.Config() as config:
            heads = tuple(run.experiment.model.value_heads.index(name) for name in config.value_heads)
            functions = ppo.make_experience_fn(run.model, config, heads), ppo.make_update_fn(run.model, config, heads)
            algorithm = Algorithm(functools.partial(ppo.init_state, config), *functions)
            return train_rl(run, index, config, algorithm, params)
        case rloo.Config() as config:
            functions = rloo.make_experience_fn(run.model, config), rloo.make_update_fn(run.model, config)
            algorithm = Algorithm(functools.partial(rloo.init_state, config), *functions)
            return train_rl(run, index, config, algorithm, params)
        case outcome_model.Config() as config:
            return train_outcome_model(run, index, config, params)
        case expert_iteration.Config() as config:
            begin_round = functools.partial(expert_iteration.begin_round, config)
            recipe = Recipe(functools.partial(init_state, config), begin_round, config.examples, stop=config.stop)
            return train_self_imitation(run, index, config, recipe, params)
        case return_conditioned.Config() as config:
            recipe = Recipe(
                init_state=functools.partial(init_state, config),
                begin_round=lambda state: state,  # there is one, which begins where the stage does
                examples=functools.partial(
                    config.examples, tokenizer=run.tokenizer, room=room_for_response(run, config)
                ),
                oracle=run.outcome_model if config.labels.promised else None,
                mixed_in=labelled_demonstrations(run, config),
            )
            return train_self_imitation(run, index, config, recipe, params)
