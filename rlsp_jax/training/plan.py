"""What an experiment needs of each device's memory, by part, before anything is allocated.

Whatever lies on a device between programs is counted leaf by leaf, as the sharding table splits it; what a program
needs while it runs is counted from its jaxpr (`training.memory`), traced for the share that one device has.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh

from rlsp_jax.algorithms import expert_iteration, outcome_model, ppo, return_conditioned, rloo, sft
from rlsp_jax.data import SentencePiece
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.generation.engine import decode_until, make_room, prefill
from rlsp_jax.models import AXES, ActorCritic, OutcomeModel, init_outcome_model, learned
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.training.checks import check_batches
from rlsp_jax.training.config import Experiment, Stage
from rlsp_jax.training.memory import device_bytes, temporary_bytes, tree_bytes
from rlsp_jax.training.share import abstract_mesh, part_shapes, share_of_rl, share_of_rows, shared_model
from rlsp_jax.training.stages import init_state
from rlsp_jax.types import Demonstrations, Experience, JudgedBatch, Params, PromptBatch, PyTree, TrainState

GIB = 2**30
PACKING = 1.07  # what an update needs of what is counted: XLA's order is another one, and leaves gaps; measured
SPARE = 0.92  # of a device's memory as it is sold; the rest is the runtime's, and lost between blocks


def spelled_bytes(size: float) -> str:
    """As a person reads it."""
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:.2f} MiB"


class Moment(NamedTuple):
    """A program of a stage, and the bytes of one device that are in use while it runs, by part."""

    name: str
    parts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


class StagePlan(NamedTuple):
    """A stage and its moments."""

    name: str
    moments: tuple[Moment, ...]


class Plan(NamedTuple):
    """The stages of an experiment, and what each needs of one device."""

    stages: tuple[StagePlan, ...]

    @property
    def fullest(self) -> tuple[str, Moment]:
        """The moment that needs most, and the name of its stage."""
        moments = [(stage.name, moment) for stage in self.stages for moment in stage.moments]
        return max(moments, key=lambda pair: pair[1].total)

    @property
    def total(self) -> int:
        """Bytes of one device at that moment."""
        return self.fullest[1].total

    def fits(self, memory: int) -> bool:
        """Whether devices with so many bytes each, as they are sold, are large enough."""
        return self.total <= SPARE * memory


class Setting(NamedTuple):
    """What all moments of an experiment have in common."""

    experiment: Experiment
    mesh: AbstractMesh
    model: ActorCritic
    local: ActorCritic  # as one device computes it


def make_plan(experiment: Experiment, devices: int | None = None) -> Plan:
    """The plan of every stage; nothing is allocated, and the devices need not be there.

    `devices` is how many there will be, where the mesh takes all; None: as few as it needs. Raises `UserError` where
    batches do not divide over them.
    """
    setting = make_setting(experiment, devices)
    stages = zip(experiment.stage_names, range(len(experiment.stages)), strict=True)
    return Plan(tuple(StagePlan(name, tuple(stage_moments(setting, index))) for name, index in stages))


def make_setting(experiment: Experiment, devices: int | None) -> Setting:
    mesh, model = abstract_mesh(experiment.mesh, devices), ActorCritic(experiment.model, vocab_size(experiment))
    check_batches(experiment, mesh)
    return Setting(experiment, mesh, model, shared_model(model, mesh))


def vocab_size(experiment: Experiment) -> int:
    """The model's, or that of the tokenizer that will be trained."""
    if experiment.model.vocab_size is not None:
        return experiment.model.vocab_size
    if isinstance(experiment.tokenizer, SentencePiece):
        return experiment.tokenizer.vocab_size
    return experiment.tokenizer.load().vocab_size


# ---- what lies there between programs --------------------------------------------------------------


def abstract(fn: Callable, *arguments: PyTree) -> PyTree:
    """The shapes of what `fn(*arguments, key)` makes."""
    return jax.eval_shape(fn, *arguments, jax.eval_shape(jax.random.key, 0))


def abstract_state(model: ActorCritic, config: Stage) -> TrainState:
    """A stage's state, as shapes."""
    return jax.eval_shape(lambda params: init_state(config, params), abstract_params(model))


@functools.lru_cache
def abstract_params(model: ActorCritic) -> Params:
    """Of a policy and its critics, as shapes."""
    return abstract(model.init)


def trained(params: Params, config: Stage) -> Params:
    """What a stage changes of its parameters."""
    return learned(params[outcome_model.NAME] if isinstance(config, outcome_model.Config) else params)


def at_rest(setting: Setting, index: int) -> dict[str, int]:
    """A stage's state by part, and the outcome model that an earlier stage has trained."""
    mesh, config = setting.mesh, setting.experiment.stages[index]
    state = abstract_state(setting.model, config)
    of = lambda tree: device_bytes(tree, tree_shardings(mesh, tree, AXES))  # noqa: E731
    parameters = of(trained(state.params, config))
    earlier = any(isinstance(stage, outcome_model.Config) for stage in setting.experiment.stages[:index])
    oracle = jax.eval_shape(init_outcome_model, state.params["policy"]) if earlier else {}
    return {
        "parameters": parameters,
        "frozen": of(state.params) - parameters,
        "optimizer": of(state.opt_state),
        "reference": of(state.reference),
        "outcome model": of(oracle),
        "memory of rewards": of({"memory": state.memory}),
    }


# ---- updates ---------------------------------------------------------------------------------------


def update_moment(setting: Setting, index: int, update: Callable, local: TrainState, *data: PyTree) -> Moment:
    """An update: beside the state the gradients of it, and what else the program needs for one device's rows.

    Where a batch is learned from in parts, gradients are there twice: the sum, and what the next part adds.
    """
    config, model = setting.experiment.stages[index], setting.local
    parts = at_rest(setting, index)
    whole = abstract_state(setting.model, config).params
    shapes = part_shapes(local.params, whole, setting.mesh)
    needed = int(PACKING * temporary_bytes(update, local, *data, donated=(0,), shards=shapes))
    tree = trained(whole, config)
    gradients = device_bytes(tree, tree_shardings(setting.mesh, tree, AXES)) * (1 if config.micro_batches == 1 else 2)
    head = jax.eval_shape(model.head, local.params["policy"])
    gathered = setting.mesh.shape["fsdp"] > 1 and not model.config.tie_embeddings
    parts["gradients"] = min(gradients, needed)
    parts["activations"] = needed - parts["gradients"]
    parts["head, gathered"] = head.size * jnp.dtype(model.config.dtype).itemsize if gathered else 0
    return Moment("update", parts | {"data": tree_bytes(data)})


def imitation(setting: Setting, index: int, config) -> Moment:
    """An update of SFT, or of a stage that imitates its own responses."""
    integers, booleans = columns(share_of_rows(config.batch_size, setting.mesh), config.row_length)
    batch = Demonstrations(integers, integers, booleans)
    update = sft.make_update_fn(setting.local, local_batch(config, setting.mesh))
    return update_moment(setting, index, update, abstract_state(setting.local, config), batch)


def judging(setting: Setting, index: int, config: outcome_model.Config) -> Moment:
    """An update of an outcome model, beside the policy."""
    length = setting.experiment.max_prompt + config.sampling.max_response
    integers, booleans = columns(share_of_rows(config.batch_size, setting.mesh), length)
    batch = JudgedBatch(integers, integers, booleans, booleans)
    model = OutcomeModel(setting.local.config, setting.local.vocab_size)
    update = outcome_model.make_update_fn(model, local_batch(config, setting.mesh))
    return update_moment(setting, index, update, abstract_state(setting.local, config), batch)


def local_batch(config, mesh: AbstractMesh):
    """The config of the rows that one device has."""
    return dataclasses.replace(config, batch_size=share_of_rows(config.batch_size, mesh))


def columns(rows: int, length: int) -> tuple[Any, Any]:
    """Shapes of tokens and of a mask."""
    of = lambda dtype: jax.ShapeDtypeStruct((rows, length), dtype)  # noqa: E731
    return of(jnp.int32), of(jnp.bool_)


def policy_update(setting: Setting, index: int, config: ppo.Config | rloo.Config) -> Moment:
    """An update of PPO or RLOO: a minibatch at a time, a micro-batch of it in memory."""
    model, local = setting.local, share_of_rl(config, setting.mesh)
    if isinstance(local, ppo.Config):
        heads = tuple(model.config.value_heads.index(name) for name in local.value_heads)
        update = ppo.make_update_fn(model, local, heads)
    else:
        heads, update = (), rloo.make_update_fn(model, local)
    lengths = setting.experiment.max_prompt, local.sampling.max_response, len(heads)
    data = abstract_experience(local.rows, *lengths)
    moment = update_moment(setting, index, update, abstract_state(model, local), data, abstract(lambda key: key))
    whole = abstract_experience(share_of_rows(config.rows, setting.mesh), *lengths)  # of all minibatches
    return Moment(moment.name, moment.parts | {"data": tree_bytes(whole)})


def abstract_experience(rows: int, prompt: int, response: int, heads: int) -> Experience:
    """Shapes of what an update learns from."""
    of = lambda dtype, *shape: jax.ShapeDtypeStruct((rows, *shape), dtype)  # noqa: E731
    total, floats, values = prompt + response, of(jnp.float32, response), of(jnp.float32, heads, response)
    arrays: tuple = (of(jnp.int32, total), of(jnp.bool_, total), of(jnp.bool_, response))
    arrays = (*arrays, of(jnp.bool_, heads, response), floats, floats, floats, values, values)
    return Experience(*arrays)


# ---- responses -------------------------------------------------------------------------------------


def rollout(setting: Setting, index: int, name: str, sampling: SamplingConfig, rows: int) -> Moment:
    """Responses being drawn: the cache at its longest, and what decoding a token needs beside it."""
    rows = share_of_rows(rows, setting.mesh)
    cache, decoding = decoding_bytes(setting.local, setting.experiment.max_prompt, sampling, rows)
    return Moment(name, at_rest(setting, index) | {"cache": cache, "decoding": decoding})


@functools.lru_cache
def decoding_bytes(model: ActorCritic, max_prompt: int, sampling: SamplingConfig, rows: int) -> tuple[int, int]:
    """Of keys and values of whole responses, and of what else is in use when most is.

    That is at one of three times: prompts are read; the cache grows, and lies there twice; the last token is decoded.
    """
    policy, prompts = abstract_params(model)["policy"], abstract_prompts(rows, max_prompt)
    end, scalar = sampling.max_response, jax.ShapeDtypeStruct((), jnp.float32)

    def begin(policy: Params, prompts: PromptBatch, key):
        return prefill(model, policy, prompts, key, end, 0)

    def decode(policy: Params, prompts: PromptBatch, state, temperature):
        return decode_until(model, policy, prompts, state, end, sampling, temperature, 1)

    def last(policy: Params, prompts: PromptBatch, key):
        return make_room(model, prompts, begin(policy, prompts, key), end)

    state = abstract(last, policy, prompts)
    read = temporary_bytes(begin, policy, prompts, abstract(lambda key: key))
    cache, lying = tree_bytes(state.cache), tree_bytes(state)
    decoded = lying + temporary_bytes(decode, policy, prompts, state, scalar, donated=(2,))
    return cache, max(read, lying + cache, decoded) + tree_bytes(prompts) - cache


def abstract_prompts(rows: int, length: int) -> PromptBatch:
    """Shapes of prompts, without what only judges read."""
    of = lambda dtype, *shape: jax.ShapeDtypeStruct((rows, *shape), dtype)  # noqa: E731
    arrays: tuple[PyTree, ...] = (of(jnp.int32, length), of(jnp.bool_, length), of(jnp.int32), of(jnp.int32), ())
    return PromptBatch(*arrays)


# ---- the moments of a stage ------------------------------------------------------------------------


def stage_moments(setting: Setting, index: int) -> Iterator[Moment]:
    """The programs that a stage runs: responses are drawn and learned from; at its end it is evaluated."""
    match config := setting.experiment.stages[index]:
        case sft.Config():
            yield imitation(setting, index, config)
        case expert_iteration.Config() | return_conditioned.Config():
            yield rollout(setting, index, "rollout", config.sampling, config.draw_size)
            yield imitation(setting, index, config)
        case outcome_model.Config():
            yield rollout(setting, index, "rollout", config.sampling, config.draw_size)
            yield judging(setting, index, config)
        case ppo.Config() | rloo.Config():
            yield rollout(setting, index, "rollout", config.sampling, config.drawing.chunk_rows)
            yield policy_update(setting, index, config)
    asked = (*setting.experiment.evals, *setting.experiment.scalings)
    if asked:
        prompt = setting.experiment.max_prompt
        largest = max(asked, key=lambda one: one.batch_size * (prompt + one.sampling.max_response))
        yield rollout(setting, index, "evaluation", largest.sampling, largest.batch_size)
