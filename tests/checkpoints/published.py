"""What our model makes of a published checkpoint, to be held against what `transformers` makes of it."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh
from safetensors.numpy import load_file

from rlsp_jax.checkpoints import export_policy, import_policy
from rlsp_jax.checkpoints.model_json import read_model
from rlsp_jax.checkpoints.weight_files import WeightFiles
from rlsp_jax.generation import SamplingConfig, make_generate_fn
from rlsp_jax.models import ActorCritic, token_logprobs
from rlsp_jax.sharding import MeshConfig, make_mesh
from rlsp_jax.types import PromptBatch
from tests.models.builders import left_padded

LENGTH = 64  # tokens of a greedy continuation


def one_device() -> Mesh:
    return jax.make_mesh((1, 1, 1), ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3, devices=jax.devices()[:1])


def all_devices() -> Mesh:
    """Parameters split in both ways."""
    return make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))


def opened(folder: Path, mesh: Mesh, **changes):
    """The model of a checkpoint, with fields of its config changed, and its policy."""
    config = dataclasses.replace(read_model(folder)[1], **changes)
    assert config.vocab_size is not None
    model = ActorCritic(config, config.vocab_size)
    return model, import_policy(folder, model, mesh)


def measure(model: ActorCritic, policy, tokens, prompts, scratch: Path, like: Path) -> dict[str, np.ndarray]:
    """Logits of whole rows, greedy continuations, and gradients of the mean loss of the next token, by name.

    A gradient lies as its parameter does, so it is written as the checkpoint `like` is, into `scratch`.
    """
    tokens, segments = jnp.asarray(tokens), jnp.ones(tokens.shape, jnp.int32)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def scored(policy):
        hidden = model.hidden(policy, tokens, segments)
        logprobs, _ = token_logprobs(hidden[:, :-1], model.head(policy), tokens[:, 1:])
        return -jnp.mean(logprobs), hidden @ model.head(policy)

    gradient, logits = scored(policy)
    export_policy(scratch, model.config, gradient, like=like, dtype="float32")
    gradients = {f"gradient/{name}": array for name, array in load_file(scratch / "model.safetensors").items()}
    return {"logits": np.asarray(logits), "continued": continued(model, policy, prompts), **gradients}


def continued(model: ActorCritic, policy, prompts) -> np.ndarray:
    """The likeliest next tokens of all prompts at once, padded on the left; nothing ends a response."""
    ids, mask = left_padded([prompt.tolist() for prompt in prompts], max(map(len, prompts)))
    numbers = jnp.arange(len(prompts), dtype=jnp.int32)
    batch = PromptBatch(ids, mask, numbers, jnp.zeros_like(numbers), jnp.zeros((len(prompts), 0)))
    generate = make_generate_fn(model, SamplingConfig(max_response=LENGTH, temperature=0.0), eos_id=-1, pad_id=0)
    return np.asarray(generate(policy, batch, jax.random.key(0), jnp.float32(0.0)).tokens)


def close(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    """Equal up to a part of the largest number: an absolute difference means nothing without the scale."""
    return actual.shape == expected.shape and np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


def tensors(folder: Path) -> dict[str, np.ndarray]:
    """All weights of a checkpoint, as they are stored."""
    with WeightFiles(folder) as files:
        return {name: files.read(name) for name in sorted(files.names)}


def identical(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """The same names, types, shapes and bits."""
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].tobytes() == right[name].tobytes()
        for name in left
    )
