"""Group policy gradients against numpy, one token at a time; and what holds of them whatever the variant."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax.algorithms import rloo
from rlsp_jax.algorithms.aggregation import ConstantLength, SequenceMean, SequenceSum, TokenMean
from rlsp_jax.algorithms.baselines import Apart, GroupMean, GroupNormalized, LeaveOneOut, Mixed
from rlsp_jax.algorithms.entropy import EntropyTarget, entropy_coefficient
from rlsp_jax.algorithms.gradients import accumulate
from rlsp_jax.algorithms.kl_loss import K2, KLLoss
from rlsp_jax.algorithms.references import MovingAverage, Refreshed
from rlsp_jax.common.errors import UserError
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.rewards import Correctness, Stream, Whiten
from rlsp_jax.schedules import Constant, Linear
from rlsp_jax.types import Experience, Scores, TrainState
from tests.algorithms import batches, slow

GROUP = 4
STEP = 3
UNKNOWN = (2, 5)
STREAMS = (
    Stream("correctness", Correctness(), Linear(0.8, 0.4, 10)),
    Stream("exploration", Correctness(), Constant(0.3)),
)
SAMPLING = SamplingConfig(max_response=batches.TIME, temperature=0.8)
SHARED = dict(
    streams=STREAMS, prompts_per_step=batches.ROWS // GROUP, samples_per_prompt=GROUP, sampling=SAMPLING,
)  # fmt: skip
UPDATES = dict(minibatch_size=4, epochs=2)

T1 = rloo.Config(**SHARED, kl=rloo.SequenceKL(0.3), reference=MovingAverage(0.9), entropy_coef=Linear(0.1, 0.0, 10))
GRPO = rloo.grpo(**SHARED, **UPDATES)
DR_GRPO = rloo.dr_grpo(**SHARED, **UPDATES)
VARIANTS = {
    "t1": T1,
    "rloo": rloo.Config(**SHARED, kl=None),
    "grpo": GRPO,
    "dr grpo": DR_GRPO,
    "streams normalised apart, over tokens, with a k2 loss": rloo.Config(
        **SHARED,
        **UPDATES,
        baseline=GroupNormalized(0.1),
        loss=rloo.ClippedSurrogate(0.3),
        aggregation=TokenMean(),
        kl=KLLoss(0.5, K2()),
    ),  # fmt: skip
    "one stream out of two": rloo.Config(**SHARED, mixing=Mixed(), aggregation=ConstantLength(3)),
}
each = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())


@functools.cache
def experience_fn(config):
    return rloo.make_experience_fn(batches.MODEL, config)


@functools.cache
def update_fn(config):
    return rloo.make_update_fn(batches.MODEL, config)


@functools.cache
def loss_fn(config):
    """`loss(params, weighted, entropy_coef) -> (loss, metrics)` and its gradients, jitted."""
    loss = lambda params, batch, coef: rloo.loss(batches.MODEL, config, params, batch, entropy_coef=coef)  # noqa: E731
    return jax.jit(loss), jax.jit(jax.grad(loss, has_aux=True))


def state(config, *, step=STEP) -> TrainState:
    """A new state each time, since updates donate it; the reference differs from the policy."""
    fresh = rloo.init_state(config, batches.parameters())
    reference = batches.parameters(1)["policy"] if config.kl is not None else ()
    return fresh._replace(step=jnp.asarray(step, jnp.int32), reference=reference)


@functools.cache
def made(config, *, unknown=UNKNOWN) -> tuple[Experience, dict]:
    rollout = batches.rollout()
    return experience_fn(config)(state(config), rollout, batches.scores(rollout, unknown=unknown))


@functools.cache
def near(config) -> Experience:
    """Experience as if sampled close to the policy of `batches.parameters()`: some ratios are clipped."""
    experience, _ = made(config)
    logprobs, _, _ = batches.forward_fn()(batches.parameters(), experience)
    noise = np.random.default_rng(5).normal(scale=0.2, size=(2, *logprobs.shape))
    old, reference = (logprobs + jnp.asarray(x, jnp.float32) for x in noise)
    return experience._replace(logprobs=old, reference_logprobs=reference)


def host(tree):
    return jax.tree.map(np.array, tree)


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def close(left, right, rtol=1e-4, atol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), left, right)


# ---- advantages ----


def slow_drifts(config, rollout):
    """Σ_t log π/π_ref of each response; the sampler's log-probs are what they are said to be."""
    params = batches.parameters() | {"policy": batches.parameters(1)["policy"]}
    rows = zip(slow.rows_of(rollout), np.asarray(rollout.logprobs), strict=True)
    score = functools.partial(slow.score_row, batches.MODEL_CONFIG, params, temperature=SAMPLING.temperature)
    return [sum(said[: len(row[1])] - score(*row)[0]) for row, said in rows]


@each
def test_advantages_equal_a_slow_version_row_by_row(config):
    rollout = batches.rollout()
    scores = batches.scores(rollout, unknown=UNKNOWN)
    experience, metrics = made(config)
    drifts = slow_drifts(config, rollout)
    rewards, valid = np.asarray(scores.rewards).sum(axis=2), np.asarray(scores.valid)
    expected = slow.group_advantages(config, rewards, valid, drifts, STEP)
    mask = np.asarray(rollout.mask) & valid.all(axis=0)[:, None]
    np.testing.assert_array_equal(experience.mask, mask)
    np.testing.assert_allclose(experience.advantages, np.where(mask, expected[:, None], 0), rtol=2e-3, atol=2e-4)
    if config.kl is not None:
        np.testing.assert_allclose(metrics["policy/kl_sequence"], np.mean(drifts), rtol=1e-3)


def test_there_are_no_critics_in_the_experience_and_theirs_are_left_as_they_are():
    config = dataclasses.replace(T1, optimizer=AdamW(Constant(1e-2), weight_decay=0.1))
    experience, _ = made(config)
    assert experience.values.shape == experience.returns.shape == (batches.ROWS, 0, batches.TIME)
    after, _ = update_fn(config)(state(config), near(config), jax.random.key(0))
    same(after.params["value"], batches.parameters()["value"])
    before = batches.parameters()["policy"]
    assert (np.asarray(after.params["policy"]["embed"]["embedding"]) != before["embed"]["embedding"]).any()


def test_a_row_of_unknown_verdict_is_neither_scored_nor_anyones_baseline():
    """Of the stream that does not know it: the others still compare with it, each on its own."""
    rollout = batches.rollout()
    scores = batches.scores(rollout, unknown=UNKNOWN)
    spoiled = scores._replace(rewards=scores.rewards.at[0, np.asarray(UNKNOWN)].set(jnp.nan))
    experience, metrics = experience_fn(T1)(state(T1), rollout, spoiled)
    same(experience.advantages, made(T1)[0].advantages)
    assert all(np.isfinite(value) for value in metrics.values())
    assert not experience.mask[np.asarray(UNKNOWN)].any() and not experience.advantages[np.asarray(UNKNOWN)].any()


def test_where_nothing_is_known_nothing_is_learned():
    rollout = batches.rollout()
    scores = Scores(jnp.full((2, batches.ROWS, batches.TIME), jnp.nan), jnp.zeros((2, batches.ROWS), bool))
    config = VARIANTS["rloo"]
    experience, metrics = experience_fn(config)(state(config), rollout, scores)
    after, learned = update_fn(config)(state(config), experience, jax.random.key(0))
    same(after.params, batches.parameters())
    assert all(np.isfinite(value) for value in (metrics | learned).values()) and int(after.bad_steps) == 0


def test_groups_of_equal_rewards_have_advantages_of_exactly_0():
    rollout = batches.rollout()
    equal = Scores(jnp.zeros((2, *rollout.mask.shape)).at[:, :, 0].set(0.1), jnp.ones((2, batches.ROWS), bool))
    for config in (VARIANTS["rloo"], GRPO, DR_GRPO):
        experience, metrics = experience_fn(config)(state(config), rollout, equal)
        assert not experience.advantages.any() and float(metrics["advantage/zero"]) == 1


def test_the_sequence_kl_moves_advantages_by_less_than_nothing_on_the_whole():
    """Leave-one-out: Σ d̄ = 0 in each group, and a response further from the reference than its siblings loses."""
    rollout = batches.rollout()
    nothing = Scores(jnp.zeros((2, *rollout.mask.shape)), jnp.ones((2, batches.ROWS), bool))
    experience, _ = experience_fn(T1)(state(T1), rollout, nothing)
    advantages = np.asarray(experience.advantages[:, 0]).reshape(-1, GROUP)  # every response has a first token
    drifts = np.asarray(slow_drifts(T1, rollout)).reshape(-1, GROUP)
    np.testing.assert_allclose(advantages.sum(axis=1), 0, atol=1e-3)
    np.testing.assert_array_equal(advantages.argmin(axis=1), drifts.argmax(axis=1))


# ---- losses and gradients ----


@each
def test_the_loss_and_its_metrics_equal_a_slow_version_token_by_token(config):
    batch, params = near(config), batches.parameters()
    total, metrics = loss_fn(config)[0](params, rloo.weigh(config, batch), jnp.float32(0.07))
    expected, means = slow.group_loss(batches.MODEL_CONFIG, config, params, batch, batches.PROMPT, 0.07)
    np.testing.assert_allclose(total, expected, rtol=1e-3, atol=1e-4)
    names = {"loss", "entropy", "ratio", "approx_kl"}
    names |= {"clip_fraction"} if isinstance(config.loss, rloo.ClippedSurrogate) else set()
    names |= {"kl_loss"} if isinstance(config.kl, KLLoss) else set()
    assert set(metrics) == {f"policy/{name}" for name in names}
    for name in names:
        np.testing.assert_allclose(metrics[f"policy/{name}"], means[name], rtol=1e-3, atol=1e-4, err_msg=name)
    if "clip_fraction" in names:
        assert 0 < means["clip_fraction"] < 1


@each
def test_the_gradient_is_the_slope_of_the_slow_loss(config):
    """Along a direction in which every parameter of the policy moves, by central differences in float64."""
    batch, params = near(config), host(batches.parameters())
    gradients, _ = loss_fn(config)[1](params, rloo.weigh(config, batch), jnp.float32(0.07))
    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), params["policy"])

    def along(distance):
        moved = jax.tree.map(lambda p, d: np.asarray(p, np.float64) + distance * d, params["policy"], direction)
        slow_loss = functools.partial(slow.group_loss, batches.MODEL_CONFIG, config)
        return slow_loss(params | {"policy": moved}, batch, batches.PROMPT, 0.07)[0]

    slope = (along(1e-5) - along(-1e-5)) / 2e-5
    ours = sum(np.sum(np.asarray(g, np.float64) * d) for g, d in zip(*map(jax.tree.leaves, (gradients["policy"], direction)), strict=True))  # fmt: skip  # noqa: E501
    np.testing.assert_allclose(ours, slope, rtol=2e-3, atol=1e-4)


def test_rows_of_unknown_verdict_contribute_to_no_loss_and_no_gradient():
    batch, rows = near(GRPO), np.asarray(UNKNOWN)
    spoiled = batch._replace(
        tokens=batch.tokens.at[rows, batches.PROMPT :].set(3),
        advantages=batch.advantages.at[rows].set(100.0),
        logprobs=batch.logprobs.at[rows].set(-3.0),
    )
    gradient = loss_fn(GRPO)[1]
    left, right = (gradient(batches.parameters(), rloo.weigh(GRPO, b), jnp.float32(0.1))[0] for b in (batch, spoiled))
    close(left, right)


@each
def test_gradients_do_not_depend_on_the_number_of_micro_batches(config):
    weighted = rloo.weigh(config, near(config))

    def loss(params, rows):
        return rloo.loss(batches.MODEL, config, params, rows, entropy_coef=0.07)

    parts = jax.jit(lambda params: accumulate(loss, params, weighted, 4))(batches.parameters())
    close(parts, loss_fn(config)[1](batches.parameters(), weighted, jnp.float32(0.07)), atol=2e-5)  # gradients reach 5


@pytest.mark.parametrize(
    ("aggregation", "shares"),
    [
        (SequenceSum(), [1 / 2, 4 / 2]),
        (SequenceMean(), [1 / 2, 1 / 2]),
        (TokenMean(), [1 / 5, 4 / 5]),
        (ConstantLength(8), [1 / 16, 4 / 16]),
    ],
)
def test_what_a_short_and_a_long_response_weigh(aggregation, shares):
    """Of 1 and of 4 tokens, beside a row that does not count."""
    mask = jnp.asarray([[True] + [False] * 3, [True] * 4, [False] * 4])
    weights = aggregation(mask)
    np.testing.assert_allclose(weights.sum(axis=1), [*shares, 0], rtol=1e-6)
    assert not weights[~mask].any() and np.isfinite(aggregation(jnp.zeros((2, 3), bool))).all()


# ---- updates ----


def test_one_on_policy_step_is_one_update_and_follows_the_gradient():
    config = dataclasses.replace(T1, optimizer=AdamW(Constant(1e-3), clip_norm=None, eps=1e3))  # so large: plain SGD
    batch = near(config)
    gradients, _ = loss_fn(config)[1](batches.parameters(), rloo.weigh(config, batch), config.entropy_coef(STEP))
    after, metrics = update_fn(config)(state(config), batch, jax.random.key(0))
    expected = jax.tree.map(lambda p, g: p - 1e-6 * g, batches.parameters()["policy"], gradients["policy"])
    close(after.params["policy"], expected, rtol=1e-3, atol=1e-7)
    assert float(metrics["policy/updates"]) == 1 and int(after.step) == STEP + 1


def test_several_minibatches_and_epochs_are_as_many_updates():
    _, metrics = update_fn(GRPO)(state(GRPO), near(GRPO), jax.random.key(0))
    assert float(metrics["policy/updates"]) == 4


def test_an_update_does_not_depend_on_the_number_of_micro_batches():
    parts = dataclasses.replace(T1, micro_batches=4)
    experiences = [made(config)[0] for config in (T1, parts)]
    close(*experiences)
    states = [update_fn(config)(state(config), near(T1), jax.random.key(0))[0] for config in (T1, parts)]
    close(states[0].params, states[1].params, rtol=1e-3, atol=1e-5)


def test_a_moving_average_follows_the_policy_in_memory_of_its_own():
    after, _ = update_fn(T1)(state(T1), near(T1), jax.random.key(0))
    old, policy = batches.parameters(1)["policy"], after.params["policy"]
    close(after.reference, jax.tree.map(lambda r, p: 0.9 * r + 0.1 * p, old, policy))
    config = dataclasses.replace(T1, reference=Refreshed(1))
    after, _ = update_fn(config)(state(config), near(T1), jax.random.key(0))
    same(after.reference, after.params["policy"])
    for leaf, other in zip(*map(jax.tree.leaves, (after.params["policy"], after.reference)), strict=True):
        assert leaf.unsafe_buffer_pointer() != other.unsafe_buffer_pointer()


def test_a_nan_leaves_parameters_as_they_were_and_is_counted():
    bad = near(T1)._replace(advantages=jnp.full_like(near(T1).advantages, jnp.nan))
    after, _ = update_fn(T1)(state(T1), bad, jax.random.key(0))
    same(after.params, batches.parameters())
    assert int(after.bad_steps) == 1


def test_the_learners_log_probs_are_compared_with_the_samplers():
    rollout, config = batches.rollout(), VARIANTS["rloo"]
    experience, _ = made(config)
    logprobs, _, _ = batches.forward_fn()(batches.parameters(), experience)
    own = rollout._replace(logprobs=jnp.where(rollout.mask, logprobs, 0))
    off = own._replace(logprobs=own.logprobs - 0.25 * rollout.mask)
    for drawn, gap in ((own, 0.0), (off, 0.25)):
        _, metrics = experience_fn(config)(state(config), drawn, batches.scores(rollout))
        np.testing.assert_allclose(metrics["policy/logp_gap"], gap, atol=1e-4)


# ---- the entropy bonus ----


def entropy_of(nats):
    """Experience whose tokens were a surprise of `nats` each; what is masked would say otherwise."""
    experience = near(T1)
    return experience._replace(logprobs=jnp.where(experience.mask, -nats, -100.0))


@pytest.mark.parametrize(("nats", "coef"), [(0.0, 0.2), (0.25, 0.1), (0.375, 0.05), (0.5, 0.0), (2.0, 0.0)])
def test_an_entropy_target_pays_in_proportion_to_what_is_missing(nats, coef):
    target = EntropyTarget(target=0.5, max_coef=0.2)
    np.testing.assert_allclose(entropy_coefficient(target, jnp.asarray(7), entropy_of(nats)), coef, atol=1e-6)


def test_a_schedule_pays_as_the_step_says():
    coef = entropy_coefficient(Linear(0.1, 0.0, 10), jnp.asarray(5), entropy_of(0.0))
    np.testing.assert_allclose(coef, 0.05)


def test_an_entropy_target_raises_entropy_below_it_and_not_above():
    """Advantages of 0, so that only the bonus moves anything."""
    config = dataclasses.replace(T1, entropy_coef=EntropyTarget(0.5, 1.0), optimizer=AdamW(Constant(1e-2)))
    for nats, rises in ((0.1, True), (0.6, False)):
        batch = entropy_of(nats)._replace(advantages=jnp.zeros(near(T1).advantages.shape))
        before, entropies = state(config), []
        for _ in range(3):
            before, metrics = update_fn(config)(before, batch, jax.random.key(0))
            entropies.append(float(metrics["policy/entropy"]))
        assert (entropies[-1] > entropies[0] + 0.01) == rises
        assert rises or entropies == [entropies[0]] * 3


# ---- what makes no sense is refused ----


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"streams": ()}, r"^streams is empty; there must be at least one reward stream\.$"),
        ({"num_steps": 0}, r"^num_steps is 0; it must be at least 1\.$"),
        ({"samples_per_prompt": 1, "prompts_per_step": 8}, r"^samples_per_prompt is 1; siblings are compared"),
        ({"sampling": SamplingConfig(temperature=0.0)}, r"^At sampling\.temperature = 0 all responses to a problem"),
        ({"minibatch_size": 3}, r"= 8 rows are not a multiple of minibatch_size = 3\.$"),
        ({"micro_batches": 3}, r"^The 8 rows of an update are not a multiple of micro_batches = 3\.$"),
        ({"chunk_prompts": 3}, r"^prompts_per_step = 2 is not a multiple of chunk_prompts = 3\.$"),
        ({"epochs": 2}, r"^PolicyGradient is right for one update per step only, not for 2 \(epochs × minibatches\)"),
        ({"minibatch_size": 4}, r"^PolicyGradient is right for one update per step only, not for 2 "),
        ({"kl": None}, r"^reference is MovingAverage\(.*\), but kl is None: nothing is compared with it"),
        ({"streams": STREAMS[:1] * 2}, r"^2 streams are named 'correctness'; names must be unique\.$"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(T1, **changes)


@pytest.mark.parametrize("changes", [{"gamma": 0.9}, {"lam": 0.9}, {"normalization": Whiten()}])
def test_what_only_critics_would_use_of_a_stream_is_refused(changes):
    with pytest.raises(UserError, match="^Stream 'correctness' has a gamma, lam or normalization of its own, but"):
        dataclasses.replace(T1, streams=(dataclasses.replace(STREAMS[0], **changes),))


@pytest.mark.parametrize(
    "make",
    [
        lambda: rloo.ClippedSurrogate(0.0),
        lambda: rloo.SequenceKL(0.0),
        lambda: KLLoss(0.0),
        lambda: GroupNormalized(0.0),
        lambda: ConstantLength(0),
        lambda: EntropyTarget(0.0, 1.0),
        lambda: EntropyTarget(1.0, 0.0),
        lambda: rloo.DynamicSampling(0),
    ],
)
def test_a_value_out_of_range_is_refused(make):
    with pytest.raises(UserError):
        make()


def test_the_siblings_differ_from_t1_in_the_fields_that_their_papers_changed():
    assert (T1.baseline, T1.mixing, T1.loss, T1.aggregation) == (LeaveOneOut(), Apart(), rloo.PolicyGradient(), SequenceSum())  # fmt: skip  # noqa: E501
    assert (GRPO.baseline, GRPO.mixing, GRPO.aggregation) == (GroupNormalized(), Mixed(), SequenceMean())
    assert (DR_GRPO.baseline, DR_GRPO.aggregation, DR_GRPO.kl) == (GroupMean(), ConstantLength(batches.TIME), None)
