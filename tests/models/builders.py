"""Small models whose every parameter matters: biases, norms and value heads are moved away from where they begin."""

import jax
import jax.numpy as jnp
import numpy as np

from rlsp_jax.models import ActorCritic, LinearScaling, Llama3Scaling, nano

VOCAB = 24

CONFIGS = {
    "tied": nano(),
    "untied with biases": nano(tie_embeddings=False, qkv_bias=True),
    "one kv head": nano(num_kv_heads=1),
    "scanned, untied with biases": nano(scan_layers=True, tie_embeddings=False, qkv_bias=True),
    "Llama-3.1's rotation": nano(rope_scaling=Llama3Scaling(factor=4.0, original_length=16), rope_theta=100.0),
    "slowed down and half turned": nano(rope_scaling=LinearScaling(3.0), rope_fraction=0.5, head_dim=12),
    "queries and keys normalized": nano(qk_norm=True, head_dim=12, num_kv_heads=1),
}


def build(config, seed=0, vocab=VOCAB):
    """A model and parameters that are random everywhere: nothing is 0 or 1, and logits are far from uniform."""
    model = ActorCritic(config, vocab)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        return jnp.asarray({"scale": 1 + 0.3 * noise, "embedding": 0.3 * noise}.get(path[-1].key, 0.2 * noise))

    return model, jax.tree_util.tree_map_with_path(draw, shapes)


def unrolled(policy):
    """The parameters of scanned layers, laid out for unrolled ones."""
    rest = {name: tree for name, tree in policy.items() if name != "blocks"}
    num_layers = jax.tree.leaves(policy["blocks"])[0].shape[0]
    return rest | {f"block_{i}": jax.tree.map(lambda x, i=i: x[i], policy["blocks"]) for i in range(num_layers)}


def scanned(policy):
    """The parameters of unrolled layers, laid out for scanned ones."""
    names = sorted(name for name in policy if name.startswith("block_"))
    rest = {name: tree for name, tree in policy.items() if name not in names}
    return rest | {"blocks": jax.tree.map(lambda *layers: jnp.stack(layers), *(policy[name] for name in names))}


def left_padded(rows, width, pad=0):
    """Token ids [rows, width], padded on the left, and their mask."""
    tokens = jnp.asarray([[pad] * (width - len(row)) + list(row) for row in rows], jnp.int32)
    mask = jnp.asarray([[False] * (width - len(row)) + [True] * len(row) for row in rows])
    return tokens, mask
