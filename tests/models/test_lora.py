import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from rlsp_jax.common.errors import UserError
from rlsp_jax.generation import SamplingConfig, make_generate_fn
from rlsp_jax.models import AXES, ActorCritic, Lora, is_adapted, learned, merge, nano, with_learned
from rlsp_jax.models.lora import joined, split
from rlsp_jax.sharding import tree_shardings
from rlsp_jax.types import PromptBatch
from tests.checkpoints.published import all_devices
from tests.models.builders import VOCAB, build, left_padded

LORA = Lora(rank=3, alpha=5.0)
PLAIN = nano(num_layers=2, qkv_bias=True, tie_embeddings=False, value_heads=("a",), value_trunk="separate", lora=LORA)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, VOCAB, (3, 9)), jnp.int32)
SEGMENTS = jnp.asarray([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 2, 2, 2, 2, 0, 0], [1] * 9], jnp.int32)
layouts = pytest.mark.parametrize("scan_layers", [False, True])


@functools.cache
def built(scan_layers=False):
    """A model whose adapters are random, B too."""
    return build(dataclasses.replace(PLAIN, scan_layers=scan_layers))


def outputs(model, params):
    """Logits and values."""

    def outputs(params):
        hidden = model.hidden(params["policy"], TOKENS, SEGMENTS)
        return hidden @ model.head(params["policy"]), model.values(params, TOKENS, SEGMENTS, hidden)

    return jax.jit(outputs)(params)


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


@layouts
def test_a_fresh_adapter_changes_nothing_bit_for_bit(scan_layers):
    model = ActorCritic(dataclasses.replace(PLAIN, scan_layers=scan_layers), VOCAB)
    params = model.init(jax.random.key(1))
    bare = {"policy": params["policy"]["base"], "value": params["value"] | {"trunk": params["policy"]["base"]}}
    same(outputs(model, params), outputs(model.bare, bare))
    assert all((leaf != 0).any() for path, leaf in leaves(params["policy"]["lora"]) if path.endswith("['a']"))


def leaves(tree):
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def test_a_base_begins_as_the_same_model_without_adapters_would():
    model, _ = built()
    same(model.init(jax.random.key(2))["policy"]["base"], model.bare.init(jax.random.key(2))["policy"])


@layouts
def test_merged_is_unmerged(scan_layers):
    model, params = built(scan_layers)
    merged, unmerged = outputs(model.bare, model.merged(params)), outputs(model, params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5), merged, unmerged)
    plain = outputs(model.bare, {**params, **base_alone(params)})
    assert all(np.abs(a - b).max() > 0.1 for a, b in zip(merged, plain, strict=True))


def base_alone(params):
    return {"policy": params["policy"]["base"], "value": params["value"] | {"trunk": params["policy"]["base"]}}


@pytest.mark.parametrize(
    ("lora", "scale"), [(LORA, 5 / 3), (dataclasses.replace(LORA, rank_stabilized=True), 5 / 3**0.5)]
)
def test_a_merged_kernel_is_the_papers_formula(lora, scale):
    _, params = built()
    base, adapters = (params["policy"][part]["block_1"] for part in ("base", "lora"))
    merged = merge(lora, params["policy"])["block_1"]
    for room, name, shape in (
        ("attention", "query", (32, 32)),
        ("attention", "out", (32, 32)),
        ("mlp", "down", (64, 32)),
    ):
        a, b = (np.asarray(adapters[room][f"{name}_lora"][part], np.float64) for part in "ab")
        expected = np.asarray(base[room][name]["kernel"]).reshape(shape) + scale * a.reshape(-1, 3) @ b.reshape(3, -1)
        np.testing.assert_allclose(np.asarray(merged[room][name]["kernel"]).reshape(shape), expected, atol=1e-5)
    assert merged["attention"]["query"]["bias"] is base["attention"]["query"]["bias"]


def test_only_the_targets_have_adapters():
    model = ActorCritic(dataclasses.replace(PLAIN, lora=Lora(rank=2, targets=("query", "down"))), VOCAB)
    lora = jax.eval_shape(model.init, jax.random.key(0))["policy"]["lora"]
    assert lora.keys() == {"block_0", "block_1"}
    assert lora["block_0"]["attention"].keys() == {"query_lora"} and lora["block_0"]["mlp"].keys() == {"down_lora"}


def test_what_is_learned_is_a_subtree_and_the_base_is_shared():
    _, params = built()
    part = learned(params)
    assert is_adapted(params["policy"]) and not is_adapted(part["policy"])
    assert part["policy"] is params["policy"]["lora"] and part["value"] == params["value"]
    other = with_learned(params, jax.tree.map(jnp.zeros_like, part))
    assert other["policy"]["base"] is params["policy"]["base"]
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(learned(other)))
    same(with_learned(other, part), params)
    whole = params["policy"]["base"]
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, learned(whole), whole))


@layouts
def test_splitting_and_joining_are_inverse(scan_layers):
    _, params = built(scan_layers)
    same(split(joined(params["policy"])), params["policy"])


def test_decoding_with_adapters_is_decoding_with_them_merged():
    model, params = built()
    ids, mask = left_padded([[3, 4, 5], [7], [1, 2, 3, 4]], 4)
    numbers = jnp.arange(3, dtype=jnp.int32)
    prompts = PromptBatch(ids, mask, numbers, jnp.zeros_like(numbers), jnp.zeros((3, 0)))
    sampling = SamplingConfig(max_response=6)
    results = []
    for reader, policy in ((model, params["policy"]), (model.bare, model.merged(params)["policy"])):
        generate = make_generate_fn(reader, sampling, eos_id=0, pad_id=0)
        results.append(generate(policy, prompts, jax.random.key(4), jnp.float32(1.0)))
    np.testing.assert_array_equal(results[0].tokens, results[1].tokens)
    np.testing.assert_allclose(results[0].logprobs, results[1].logprobs, atol=1e-4)


@layouts
def test_adapters_are_split_over_the_mesh_as_their_projections_are(scan_layers):
    config = dataclasses.replace(PLAIN, scan_layers=scan_layers, num_kv_heads=4)
    shapes = jax.eval_shape(ActorCritic(config, VOCAB).init, jax.random.key(0))
    placed = tree_shardings(all_devices(), shapes, AXES)["policy"]["lora"]["blocks" if scan_layers else "block_0"]
    stack = (None,) if scan_layers else ()
    expected = {
        ("attention", "query_lora", "a"): ("fsdp", None),
        ("attention", "key_lora", "b"): (None, "tensor", None),
        ("attention", "out_lora", "a"): ("tensor", None, None),
        ("attention", "out_lora", "b"): (None, "fsdp"),
        ("mlp", "gate_lora", "b"): (None, "tensor"),
        ("mlp", "down_lora", "a"): ("tensor", None),
    }
    for (room, name, half), axes in expected.items():
        assert placed[room][name][half].spec == PartitionSpec(*stack, *axes), name


def test_a_base_in_bfloat16_has_adapters_in_float32():
    model = ActorCritic(dataclasses.replace(PLAIN, param_dtype="bfloat16", dtype="bfloat16"), VOCAB)
    params = model.init(jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params["policy"]["base"])} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves(learned(params))} == {jnp.dtype("float32")}
    assert outputs(model, params)[0].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(model.merged(params)["policy"])} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rank": 0}, r"^model.lora.rank is 0; an adapter has rank 1 or more\.$"),
        ({"alpha": 0.0}, r"^model.lora.alpha is 0.0; it must be positive, or nothing is learned\.$"),
        (
            {"targets": ("quary",)},
            r"^model.lora.targets has 'quary'; the projections are query, key, value, out, gate,",
        ),
        ({"targets": ()}, r"^model.lora.targets is \(\); name one projection or more, each once\.$"),
        (
            {"targets": ("up", "up")},
            r"^model.lora.targets is \('up', 'up'\); name one projection or more, each once\.$",
        ),
    ],
)
def test_adapters_that_make_no_sense_are_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(LORA, **changes)
