import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.models import ActorCritic, ModelConfig, nano, tiny
from tests.models import slow
from tests.models.builders import VOCAB, build

HEADS = ("correctness", "exploration", "kl")
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, VOCAB, (2, 6)), jnp.int32)
MASK = jnp.asarray([[False, True, True, True, True, True], [True] * 6])


def values_of(model, params):
    def values(params):
        return model.values(params, TOKENS, MASK, model.hidden(params["policy"], TOKENS, MASK))

    return jax.jit(values)(params)


def value_gradients(model, params):
    return jax.jit(jax.grad(lambda params: jnp.sum(values_of(model, params) ** 2)))(params)


def largest(tree) -> float:
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("trunk", "into_policy", "into_trunk"),
    [("shared", True, False), ("detached", False, False), ("separate", False, True)],
)
def test_values_train_the_policy_only_where_the_trunk_is_shared(trunk, into_policy, into_trunk):
    model, params = build(nano(value_heads=HEADS, value_trunk=trunk))
    gradients = value_gradients(model, params)
    assert largest(gradients["value"]["heads"]) > 0
    assert (largest(gradients["policy"]) > 0) == into_policy
    assert ("trunk" in gradients["value"]) == into_trunk
    if into_trunk:
        assert largest(gradients["value"]["trunk"]) > 0


def test_values_are_linear_in_the_states_of_their_trunk():
    for trunk in ("shared", "separate"):
        model, params = build(nano(value_heads=HEADS, value_trunk=trunk))
        result = values_of(model, params)
        assert result.shape == (3, 2, 6)
        states = params["policy"] if trunk == "shared" else params["value"]["trunk"]
        expected = slow.values(params, slow.forward(model.config, states, TOKENS[1])[0])
        np.testing.assert_allclose(result[:, 1], expected.T, atol=2e-3)


@pytest.mark.parametrize("changes", [{}, {"value_hidden": 16}, {"value_trunk": "separate"}])
def test_values_begin_at_0(changes):
    model = ActorCritic(nano(value_heads=HEADS, **changes), VOCAB)
    assert (values_of(model, jax.jit(model.init)(jax.random.key(0))) == 0).all()


def test_a_model_without_value_heads_has_no_critic():
    shapes = jax.eval_shape(ActorCritic(nano(), VOCAB).init, jax.random.key(0))
    assert shapes["value"] == {}


def test_a_critic_of_its_own_does_not_begin_as_the_policy():
    params = jax.jit(ActorCritic(nano(value_heads=HEADS, value_trunk="separate"), VOCAB).init)(jax.random.key(0))
    policy, trunk = params["policy"]["embed"]["embedding"], params["value"]["trunk"]["embed"]["embedding"]
    assert jnp.abs(policy - trunk).max() > 0


def test_a_fresh_policy_is_close_to_uniform():
    """Or the first loss would not be log(vocab): a sign of a wrong initialisation."""
    for config in (nano(), nano(tie_embeddings=False)):
        model = ActorCritic(config, VOCAB)
        policy = jax.jit(model.init)(jax.random.key(0))["policy"]
        logits = jax.jit(model.hidden)(policy, TOKENS, MASK) @ model.head(policy)
        assert abs(float(-jax.nn.log_softmax(logits).mean()) - np.log(VOCAB)) < 0.7


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_layers": 0}, r"^model.num_layers is 0; it must be at least 1\.$"),
        ({"num_heads": 4, "num_kv_heads": 3}, r"^model.num_heads = 4 is not a multiple of model.num_kv_heads = 3\.$"),
        ({"head_dim": 7}, r"^model.head_dim is 7; rotary embeddings need an even one\.$"),
        ({"value_heads": ("a", "a")}, r"^model.value_heads repeats a name"),
    ],
)
def test_a_wrong_shape_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        ModelConfig(**changes)


def test_presets_take_changes():
    assert tiny(num_layers=5) == dataclasses.replace(ModelConfig(), num_layers=5)
    assert nano(embed_dim=8).embed_dim == 8 and nano().num_kv_heads < nano().num_heads
