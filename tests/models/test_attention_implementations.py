"""Every implementation of attention against one in numpy and float64, which also knows its own gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from rlsp_jax.common.errors import UserError
from rlsp_jax.models import ActorCritic, attention, nano
from rlsp_jax.models.attention import Auto, Blockwise, CuDNN, Plain, Splash
from rlsp_jax.models.cudnn import lengths_attention
from rlsp_jax.models.splash import splash
from rlsp_jax.sharding import ROWS
from tests.models.builders import VOCAB, build

TIME, HEADS, HEAD_DIM = 11, 4, 6
SEGMENTS = np.array(
    [
        [1] * 11,
        [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 0],
        [0] * 11,
    ],
    np.int32,
)
MASKS = np.array([[1] * 11, [0] * 3 + [1] * 8, [1] * 6 + [0] * 5, [0, 0] + [1] * 5 + [0] * 4, [0] * 11], bool)
IMPLEMENTATIONS = [Plain(), Blockwise(4), Blockwise(5), Blockwise(128)]


def draw(segments, kv_heads, heads=HEADS, head_dim=HEAD_DIM):
    """Random queries, keys and values, and the gradient that comes back from what is made of them."""
    rng, shape = np.random.default_rng(kv_heads), segments.shape
    sizes = (heads, kv_heads, kv_heads, heads)
    return [jnp.asarray(rng.normal(size=(*shape, size, head_dim)), jnp.float32) for size in sizes]


def slow_attention(queries, keys, values, gradient, segments):
    """One place of one head at a time: what each gets, and the gradients of queries, keys and values."""
    q, k, v, g = (np.asarray(x, np.float64) for x in (queries, keys, values, gradient))
    mixed, dq, dk, dv = np.zeros(q.shape), np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    group, scale = q.shape[2] // k.shape[2], q.shape[3] ** -0.5
    for b, t, h in np.ndindex(q.shape[:3]):
        seen = [s for s in range(t + 1) if segments[b, s] == segments[b, t] > 0]
        if not seen:
            continue
        at = (b, seen, h // group)
        weights = np.exp(k[at] @ q[b, t, h] * scale)
        weights /= weights.sum()
        mixed[b, t, h] = weights @ v[at]
        dweights = v[at] @ g[b, t, h]
        dscores = weights * (dweights - weights @ dweights) * scale
        dq[b, t, h] = dscores @ k[at]
        dk[at] += dscores[:, None] * q[b, t, h]
        dv[at] += weights[:, None] * g[b, t, h]
    return mixed, dq, dk, dv


def check(fn, segments, kv_heads, **sizes):
    queries, keys, values, gradient = draw(segments, kv_heads, **sizes)

    @jax.jit
    def both(queries, keys, values, gradient):
        mixed, pull = jax.vjp(lambda *arrays: fn(*arrays, jnp.asarray(segments)), queries, keys, values)
        return mixed, *pull(gradient)

    result = both(queries, keys, values, gradient)
    expected = slow_attention(queries, keys, values, gradient, segments.astype(int))
    for ours, theirs in zip(result, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=str)
def test_values_and_gradients_equal_a_slow_attention(implementation, kv_heads):
    check(implementation, SEGMENTS, kv_heads)


@pytest.mark.parametrize("kv_heads", [4, 1])
def test_attention_by_lengths_equals_a_slow_attention_wherever_the_padding_is(kv_heads):
    """cuDNN's arguments, computed by XLA: rows are moved to the left, cut at their lengths and moved back."""
    check(lambda q, k, v, mask: lengths_attention(q, k, v, mask, implementation="xla"), MASKS, kv_heads)


@pytest.mark.slow  # the interpreter compiles for long
def test_the_splash_kernel_interpreted_equals_a_slow_attention():
    segments = np.zeros((2, 140), np.int32)
    segments[0, 3:70], segments[0, 70:133], segments[1, :] = 1, 2, 1
    check(lambda q, k, v, s: splash(q, k, v, s, 128, interpret=True), segments, 1, heads=2, head_dim=8)


@pytest.mark.parametrize("shape", [None, (2, 2, 2), (8, 1, 1)], ids=["one device", "2×2×2", "8×1×1"])
def test_splash_compiles_to_tpu_kernels_of_a_devices_own_rows_and_heads(shape):
    """Three kernels (forward, queries' gradient, keys' and values'); as far as lowering goes without a TPU."""
    arrays = [jax.ShapeDtypeStruct((16, 200, heads, 64), jnp.bfloat16) for heads in (4, 2, 2)]
    segments = jax.ShapeDtypeStruct((16, 200), jnp.int32)

    def loss(queries, keys, values, segments):
        return jnp.sum(splash(queries, keys, values, segments, 512).astype(jnp.float32))

    def lowered():
        traced = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).trace(*arrays, segments)
        return traced.lower(lowering_platforms=("tpu",)).as_text()

    if shape is None:
        text, local = lowered(), "16x4x256x64"
    else:
        with jax.set_mesh(jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)):
            text = lowered()
        local = f"{16 // (shape[0] * shape[1])}x{4 // shape[2]}x256x64"
    assert text.count("@tpu_custom_call") == 3
    kernels = [line for line in text.splitlines() if "@tpu_custom_call" in line]
    assert all(f"tensor<{local}xbf16>" in line for line in kernels)


def test_blockwise_attention_computes_the_same_on_a_mesh_of_rows_and_heads():
    arrays = [jnp.concatenate([x[:4], x[:4]]) for x in draw(SEGMENTS, 4)[:3]]
    segments = jnp.concatenate([jnp.asarray(SEGMENTS[:4])] * 2)

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2))
    def learn(queries, keys, values, segments):
        return jnp.sum(Blockwise(4)(queries, keys, values, segments) ** 3)

    expected = learn(*arrays, segments)
    mesh = jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)
    rows, heads = (NamedSharding(mesh, spec) for spec in (PartitionSpec(ROWS), PartitionSpec(ROWS, None, "tensor")))
    with jax.set_mesh(mesh):
        result = learn(*jax.device_put(arrays, heads), jax.device_put(segments, rows))
    for ours, theirs in zip(result, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=str)
def test_no_segment_feels_what_another_one_holds(implementation):
    """Bit for bit, in values; and no gradient flows."""
    queries, keys, values, _ = draw(SEGMENTS, 2)
    attend = jax.jit(lambda q, k, v: implementation(q, k, v, jnp.asarray(SEGMENTS)))
    before = attend(queries, keys, values)
    second = jnp.asarray(SEGMENTS == 2)[..., None, None]
    others = [jnp.where(second, x, x[::-1, ::-1] * 3 + 1) for x in (queries, keys, values)]
    after = attend(*others)
    chosen = SEGMENTS == 2
    np.testing.assert_array_equal(np.asarray(after)[chosen], np.asarray(before)[chosen])
    assert (np.asarray(after)[SEGMENTS == 3] != np.asarray(before)[SEGMENTS == 3]).any()
    assert (np.asarray(before)[SEGMENTS == 0] == 0).all()


def test_half_precision_stays_and_its_softmax_is_summed_in_float32():
    """512 equal keys: in bfloat16 a sum of weights would stop at 256."""
    ones = jnp.ones((1, 512, 1, 8), jnp.bfloat16)
    segments = jnp.ones((1, 512), jnp.int32)
    for implementation in (Plain(), Blockwise(64)):
        mixed = jax.jit(implementation)(ones, ones, ones, segments)
        assert mixed.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(mixed, np.float32), 1.0, rtol=1e-2)


def test_blockwise_attention_holds_no_score_for_every_pair():
    def bytes_of(implementation):
        shape = jax.ShapeDtypeStruct((1, 1024, 2, 16), jnp.float32)
        segments = jax.ShapeDtypeStruct((1, 1024), jnp.int32)
        gradient = jax.grad(lambda q, k, v, s: jnp.sum(implementation(q, k, v, s) ** 2), argnums=(0, 1, 2))
        memory = jax.jit(gradient).lower(shape, shape, shape, segments).compile().memory_analysis()
        return memory.temp_size_in_bytes

    scores = 2 * 1024**2 * 4
    assert bytes_of(Plain()) > scores
    assert 0 < bytes_of(Blockwise()) < scores / 4


def test_a_model_computes_the_same_with_any_implementation():
    tokens = jnp.asarray(np.random.default_rng(1).integers(0, VOCAB, SEGMENTS.shape), jnp.int32)

    def states(**changes):
        model, params = build(nano(**changes))
        hidden = jax.jit(model.hidden)(params["policy"], tokens, jnp.asarray(SEGMENTS))
        return np.asarray(hidden)[SEGMENTS > 0]

    np.testing.assert_allclose(states(attention=Blockwise(4)), states(attention=Plain()), atol=2e-5)
    deep = dict(scan_layers=True, remat="full")
    np.testing.assert_allclose(states(attention=Blockwise(4), **deep), states(attention=Plain(), **deep), atol=2e-5)


HALF, SINGLE = jnp.bfloat16, jnp.float32
BY_MASK, BY_SEGMENTS = jnp.bool_, jnp.int32


@pytest.mark.parametrize(
    ("platform", "time", "head_dim", "dtype", "rows", "chosen"),
    [
        ("cpu", 160, 24, SINGLE, BY_MASK, Plain()),
        ("cpu", 1024, 64, SINGLE, BY_SEGMENTS, Blockwise()),
        ("gpu", 1024, 128, HALF, BY_MASK, CuDNN()),
        ("gpu", 1024, 128, HALF, BY_SEGMENTS, Blockwise()),
        ("gpu", 1024, 128, SINGLE, BY_MASK, Blockwise()),
        ("gpu", 128, 24, HALF, BY_MASK, Plain()),
        ("tpu", 1024, 128, HALF, BY_SEGMENTS, Splash()),
        ("tpu", 64, 128, HALF, BY_SEGMENTS, Plain()),
        ("tpu", 1024, 24, HALF, BY_SEGMENTS, Blockwise()),
    ],
)
def test_auto_takes_what_the_device_and_the_rows_allow(platform, time, head_dim, dtype, rows, chosen):
    queries, segments = jnp.zeros((1, time, 2, head_dim), dtype), jnp.zeros((1, time), rows)
    assert Auto().choose(platform, queries, segments) == chosen


@pytest.mark.parametrize(
    ("implementation", "device"), [(CuDNN(), "an NVIDIA GPU"), (Splash(), "a TPU")], ids=["CuDNN", "Splash"]
)
def test_a_kernel_of_another_device_is_refused_in_one_sentence(implementation, device):
    model = ActorCritic(nano(attention=implementation), VOCAB)
    with pytest.raises(UserError, match=rf"needs {device}, but this process computes on cpu; take Auto\(\)"):
        jax.eval_shape(model.init, jax.random.key(0))


@pytest.mark.parametrize(
    ("dtype", "head_dim", "sentence"),
    [
        (
            SINGLE,
            64,
            r"not in float32; set model.dtype to 'bfloat16' or 'float16', or take Auto\(\)\.$",
        ),
        (HALF, 20, r"a multiple of 8 and at most 128, but model.head_dim is 20; take Auto\(\)\.$"),
    ],
)
def test_what_cudnn_cannot_compute_is_refused_in_one_sentence(monkeypatch, dtype, head_dim, sentence):
    monkeypatch.setattr(attention.jax, "default_backend", lambda: "gpu")
    x = jnp.zeros((1, 8, 2, head_dim), dtype)
    with pytest.raises(UserError, match=sentence):
        CuDNN()(x, x, x, jnp.ones((1, 8), bool))


def test_wrong_blocks_are_refused_in_one_sentence():
    with pytest.raises(UserError, match=r"block of model.attention is 0; it must be at least 1\.$"):
        Blockwise(0)
    with pytest.raises(UserError, match=r"block of model.attention is 100; Splash\(\) needs a multiple of 128\.$"):
        Splash(100)
