"""With adapters, every algorithm learns them and the critics' heads only; the base is neither changed nor copied."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlsp_jax.algorithms import expert_iteration, outcome_model, ppo, return_conditioned, rloo, sft
from rlsp_jax.algorithms.gradients import accumulate
from rlsp_jax.algorithms.references import MovingAverage
from rlsp_jax.algorithms.self_imitation import in_rounds
from rlsp_jax.data import SearchTraces
from rlsp_jax.models import ActorCritic, Lora, OutcomeModel, learned, nano
from rlsp_jax.optim import Adafactor, AdamW
from rlsp_jax.rewards import Stream
from rlsp_jax.schedules import Constant
from rlsp_jax.types import JudgedBatch
from tests.algorithms import batches
from tests.algorithms.test_sft import packed
from tests.models.builders import VOCAB, build

ADAM = AdamW(Constant(1e-2), weight_decay=0.1)
CONFIG = nano(num_layers=1, value_heads=batches.MODEL_CONFIG.value_heads, value_trunk="separate", lora=Lora(2, 4.0))
MODEL = ActorCritic(CONFIG, VOCAB)
KEY = jax.random.key(3)

SFT = sft.Config(SearchTraces(), batch_size=4, row_length=12, micro_batches=2, optimizer=ADAM)
PPO = batches.config(reference=MovingAverage(0.9), optimizer=ADAM, value_optimizer=ADAM, micro_batches=2)
STREAMS = tuple(Stream(stream.name, stream.kernel, stream.weight) for stream in PPO.streams)
RLOO = rloo.grpo(
    streams=STREAMS, prompts_per_step=2, samples_per_prompt=4, sampling=PPO.sampling, minibatch_size=4, optimizer=ADAM
)
ROUNDS = expert_iteration.Config(optimizer=ADAM, steps_per_round=5)
LABELLED = return_conditioned.Config(optimizer=Adafactor(Constant(1e-2), min_size=4))
OUTCOME = outcome_model.Config(optimizer=ADAM)


@functools.cache
def _drawn():
    return jax.device_get(build(CONFIG)[1])


def parameters():
    """The same numbers in new memory each time; adapters are random."""
    return jax.tree.map(jnp.array, _drawn())


def imitate(config, state):
    return sft.make_update_fn(MODEL, config)(state, packed())[0]


def pay_ppo(state):
    heads = batches.heads(PPO)
    rolled = batches.rollout()
    made, _ = ppo.make_experience_fn(MODEL, PPO, heads)(state, rolled, batches.scores(rolled))
    return ppo.make_update_fn(MODEL, PPO, heads)(state, made, KEY)[0]


def pay_rloo(state):
    rolled = batches.rollout()
    made, _ = rloo.make_experience_fn(MODEL, RLOO)(state, rolled, batches.scores(rolled))
    return rloo.make_update_fn(MODEL, RLOO)(state, made, KEY)[0]


def judge(state):
    rows = packed()
    batch = JudgedBatch(rows.tokens, rows.segments, rows.mask, rows.segments == 1)
    return outcome_model.make_update_fn(OutcomeModel(CONFIG, VOCAB), OUTCOME)(state, batch)[0]


STAGES = {
    "sft": (functools.partial(sft.init_state, SFT), functools.partial(imitate, SFT), {"policy"}),
    "ppo": (functools.partial(ppo.init_state, PPO), pay_ppo, {"policy", "value"}),
    "rloo": (functools.partial(rloo.init_state, RLOO), pay_rloo, {"policy"}),
    "expert iteration": (
        functools.partial(expert_iteration.init_state, ROUNDS),
        functools.partial(imitate, in_rounds(ROUNDS)),
        {"policy"},
    ),
    "return-conditioned": (
        functools.partial(return_conditioned.init_state, LABELLED),
        functools.partial(imitate, in_rounds(LABELLED)),
        {"policy"},
    ),
    "outcome model": (functools.partial(outcome_model.init_state, OUTCOME), judge, {"outcome"}),
}
each = pytest.mark.parametrize("name", STAGES)


def size(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def bases(params):
    found = {"policy": params["policy"]["base"]}
    return found | ({"outcome": params["outcome"]["trunk"]["base"]} if "outcome" in params else {})


@each
def test_adapters_and_heads_learn_and_the_base_stays_bit_for_bit(name):
    init, update, learning = STAGES[name]
    state = init(parameters())
    before = jax.device_get(state.params)
    after = jax.device_get(update(state))
    jax.tree.map(np.testing.assert_array_equal, bases(after.params), bases(before))
    for part, tree in learned(after.params).items():
        changed = jax.tree.map(lambda a, b: (a != b).any(), tree, learned(before)[part])
        critics = changed["heads"]["out"].pop("kernel") if part == "value" else True  # its columns are apart
        assert all(changed_leaf == (part in learning) for changed_leaf in jax.tree.leaves(changed)), (part, changed)
        assert critics == (part in learning) or part != "value"


@each
def test_optimizer_and_reference_remember_nothing_of_the_base(name):
    state = jax.eval_shape(STAGES[name][0], parameters())
    part = learned({"outcome": state.params["outcome"]} if name == "outcome model" else state.params)
    assert size(state.opt_state) <= 2 * size(part) + 8
    if state.reference != ():
        assert jax.tree.map(jnp.shape, state.reference) == jax.tree.map(jnp.shape, learned(state.params["policy"]))


@each
def test_no_two_arrays_of_a_state_share_memory(name):
    """The state is donated: what one update overwrites must be nothing else's."""
    state = STAGES[name][0](parameters())
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(set(places)) == len(places)


def test_the_reference_is_the_policy_with_the_adapters_that_the_stage_began_with():
    """As the merged policy's own copy would be, in a model without adapters."""
    rolled, heads = batches.rollout(), batches.heads(PPO)
    state = ppo.init_state(PPO, parameters())
    moved = jax.tree.map(lambda x: x + 0.1, state.params["policy"]["lora"])
    params = state.params | {"policy": {"base": state.params["policy"]["base"], "lora": moved}}
    made, _ = ppo.make_experience_fn(MODEL, PPO, heads)(state._replace(params=params), rolled, batches.scores(rolled))
    full = ppo.init_state(PPO, MODEL.merged(parameters()))
    full = full._replace(params=MODEL.merged(params))
    same, _ = ppo.make_experience_fn(MODEL.bare, PPO, heads)(full, rolled, batches.scores(rolled))
    np.testing.assert_allclose(made.reference_logprobs, same.reference_logprobs, atol=1e-4)
    np.testing.assert_allclose(made.values, same.values, atol=1e-4)
    assert np.abs(made.reference_logprobs - made.logprobs).max() > 0.1


def test_gradients_of_adapters_are_those_through_the_merged_kernels():
    params, batch = parameters(), packed()
    total = batch.mask.sum()

    def through_merged(part):
        policy = MODEL.merged(params | {"policy": {"base": params["policy"]["base"], "lora": part}})["policy"]
        return sft.loss(MODEL.bare, {"policy": policy}, batch, total)[0]

    expected = jax.jit(jax.grad(through_merged))(params["policy"]["lora"])
    ours = jax.jit(lambda p: accumulate(lambda q, rows: sft.loss(MODEL, q, rows, total), p, batch, 2))(params)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), ours["policy"], expected)


def test_a_round_of_expert_iteration_begins_where_the_stage_did_on_the_same_base():
    state = expert_iteration.init_state(ROUNDS, parameters())
    began = jax.device_get(state.params["policy"])
    state = imitate(in_rounds(ROUNDS), state)
    again = expert_iteration.begin_round(ROUNDS, state)
    jax.tree.map(np.testing.assert_array_equal, again.params["policy"], began)
    assert again.params["policy"]["base"] is state.params["policy"]["base"]
    after = imitate(in_rounds(ROUNDS), again)
    jax.tree.map(np.testing.assert_array_equal, after.reference, began["lora"])  # it was copied, not donated


def test_an_update_holds_the_base_once():
    """Of a base that is large beside everything else, the compiled PPO update makes no copy and no gradient."""
    config = dataclasses.replace(CONFIG, embed_dim=256, mlp_dim=1024, lora=Lora(1, targets=("query",)))
    model, heads = ActorCritic(config, VOCAB), batches.heads(PPO)
    made = batches.experience(batches.DECOUPLED)
    state = jax.eval_shape(lambda key: ppo.init_state(PPO, model.init(key)), KEY)
    memory = ppo.make_update_fn(model, PPO, heads).lower(state, made, KEY).compile().memory_analysis()
    nbytes = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert memory.alias_size_in_bytes == nbytes(state)
    assert memory.temp_size_in_bytes < nbytes(state.params["policy"]["base"]) / 2


@pytest.mark.parametrize("optimizer", [AdamW(Constant(2e-2), first_moment="bfloat16"), Adafactor(Constant(2e-2))])
def test_sft_on_packed_rows_in_micro_batches_learns_with_adapters_alone(optimizer):
    model = ActorCritic(nano(remat="full", scan_layers=True, lora=Lora(8, 16.0)), VOCAB)
    config = dataclasses.replace(SFT, optimizer=optimizer)
    state = sft.init_state(config, model.init(KEY))
    base = jax.device_get(state.params["policy"]["base"])
    update, losses = sft.make_update_fn(model, config), []
    for _ in range(60):
        state, metrics = update(state, packed())
        losses.append(float(metrics["sft/loss"]))
    assert losses[-1] < losses[0] / 4, losses
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.params["policy"]["base"]), base)


def test_the_norm_of_gradients_is_of_what_is_learned():
    state = sft.init_state(SFT, parameters())
    gradients, _ = accumulate(lambda p, rows: sft.loss(MODEL, p, rows, rows.mask.sum()), state.params, packed(), 1)
    expected = float(optax.tree.norm(gradients["policy"]))
    metrics = sft.make_update_fn(MODEL, dataclasses.replace(SFT, micro_batches=1))(state, packed())[1]
    assert float(metrics["sft/grad_norm"]) == pytest.approx(expected, rel=1e-4)
