"""The published sizes have the published number of parameters, to the last one."""

import dataclasses
import math

import jax
import pytest

from rlsp_jax import models
from rlsp_jax.models import AXES, ActorCritic, ModelConfig
from rlsp_jax.sharding import MeshConfig, make_mesh, tree_shardings

PUBLISHED = {
    models.llama2_7b: 6_738_415_616,
    models.llama2_13b: 13_015_864_320,
    models.llama31_8b: 8_030_261_248,
    models.llama32_1b: 1_235_814_400,
    models.llama32_3b: 3_212_749_824,
    models.qwen25_05b: 494_032_768,
    models.qwen25_15b: 1_543_714_304,
    models.qwen25_7b: 7_615_616_512,
    models.qwen25_14b: 14_770_033_664,
    models.qwen25_32b: 32_763_876_352,
    models.qwen25_math_15b: 1_543_714_304,
    models.qwen25_math_7b: 7_615_616_512,
    models.qwen3_06b: 596_049_920,
    models.qwen3_17b: 1_720_574_976,
    models.qwen3_4b: 4_022_468_096,
    models.qwen3_8b: 8_190_735_360,
    models.glm4_9b: 9_399_951_360,
}


def shapes(config: ModelConfig):
    assert config.vocab_size is not None
    return jax.eval_shape(ActorCritic(config, config.vocab_size).init, jax.random.key(0))["policy"]


@pytest.mark.parametrize("preset", PUBLISHED, ids=lambda preset: preset.__name__)
def test_a_preset_has_the_published_number_of_parameters(preset):
    leaves = jax.tree.leaves(shapes(preset()))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == PUBLISHED[preset]


@pytest.mark.parametrize("preset", PUBLISHED, ids=lambda preset: preset.__name__)
def test_every_large_parameter_of_a_preset_is_split_over_the_whole_mesh(preset):
    mesh = make_mesh(MeshConfig(fsdp=4, tensor=2))
    tree = shapes(preset())
    for leaf, sharding in zip(jax.tree.leaves(tree), jax.tree.leaves(tree_shardings(mesh, tree, AXES)), strict=True):
        if leaf.size > 2**24:
            assert math.prod(sharding.shard_shape(leaf.shape)) == leaf.size // mesh.size


def test_a_preset_takes_changes_and_its_docstring_tells_its_size():
    changed = models.llama31_8b(max_length=4096, scan_layers=False, value_heads=("correctness",))
    assert dataclasses.replace(models.llama31_8b(), **{k: vars(changed)[k] for k in ("max_length", "scan_layers")}) == (
        dataclasses.replace(changed, value_heads=())
    )
    told = [preset for preset in PUBLISHED if f"{PUBLISHED[preset]:,} parameters" in (preset.__doc__ or "")]
    assert len(told) == len(PUBLISHED) - 2  # the two Math models say whose shape they have
