import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from rlsp_jax.behaviors.analytics import mean_behaviors
from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Countdown, SearchTraces, SentencePiece, parse_question
from rlsp_jax.evaluation import Eval, Evaluator, Responder, make_judge
from rlsp_jax.evaluation.benchmarks import GREEDY
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import nano
from rlsp_jax.rewards import CountdownChecker
from rlsp_jax.types import Rollout
from rlsp_jax.verifiers import Countdown as Verifier
from rlsp_jax.verifiers import VerifierPool
from tests.models.builders import build

MAX_RESPONSE, MAX_PROMPT = 96, 16
SAMPLING = SamplingConfig(max_response=MAX_RESPONSE)
VERIFIER = Verifier(max_answer_bytes=40)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    problems = Countdown().problems("train", 0, 200)
    texts = [problem.question + SearchTraces().trace(problem, i) for i, problem in enumerate(problems)]
    return SentencePiece(vocab_size=300).train(texts, tmp_path_factory.mktemp("tokenizer") / "tokenizer.model")


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh(
        (1, 1, 1), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=jax.devices()[:1]
    )


@pytest.fixture(scope="module")
def pool():
    with VerifierPool(VERIFIER) as pool:
        yield pool


@pytest.fixture(scope="module")
def nano_model(tokenizer):
    return build(nano(num_layers=1), vocab=tokenizer.vocab_size)


class Scripted(Responder):
    """Says what is written of (problem, sample) instead of asking a policy."""

    script: dict[tuple[int, int], str]

    def generate(self, policy, prompts, key, *, greedy=False):
        keys = zip(prompts.problem.tolist(), prompts.sample.tolist(), strict=True)
        tokenizer = self._judge.tokenizer
        ids = [
            tokenizer.encode(self.script[problem, GREEDY if greedy else sample]) + [tokenizer.eos_id]
            for problem, sample in keys
        ]
        tokens = np.full((len(ids), MAX_RESPONSE), tokenizer.pad_id, np.int32)
        mask = np.zeros(tokens.shape, bool)
        for row, text in enumerate(ids):
            size = min(len(text), MAX_RESPONSE)
            tokens[row, :size], mask[row, :size] = text[:size], True
        ends = [StopReason.EOS if len(text) <= MAX_RESPONSE else StopReason.LENGTH for text in ids]
        zeros = jnp.zeros(tokens.shape)
        return Rollout(prompts, jnp.asarray(tokens), jnp.asarray(mask), zeros, zeros, jnp.asarray(ends, jnp.int8))


@pytest.fixture
def scripted(mesh, pool, tokenizer, nano_model):
    """(script, checker) → a responder of 4 rows that says it."""

    def scripted(script, checker=CountdownChecker()):
        judge = make_judge(mesh, checker, pool, tokenizer)
        responder = Scripted(mesh, nano_model[0], judge, SAMPLING, 4, MAX_PROMPT)
        responder.script = script
        return responder

    return scripted


# ---- an evaluation of responses that are known ----

QUESTIONS = ("1 2 = 3", "2 3 = 6", "2 5 = 3")
PROBLEMS = [
    dataclasses.replace(parse_question(text), number=10 + i, level="sums" if i == 0 else "others")
    for i, text in enumerate(QUESTIONS)
]
SEARCH = "try 3-2=1 check 6 no back\ntry 2*3=6 check 6 yes\n"
ENDLESS = "try 5-2=3 " * MAX_RESPONSE
SCRIPT = {
    **{(10, i): f"answer: {text}" for i, text in enumerate(["1+2", "2+1", "2-1", "1+2"])},
    **{(11, i): f"answer: {text}" for i, text in enumerate(["2+3", "3+2", "2*3", "none"])},
    **{(12, i): f"answer: {text}" for i, text in enumerate(["5" + "+0" * 40, "5-2", "5+2", "5*2"])},
    (10, GREEDY): "answer: 1+2",
    (11, GREEDY): SEARCH + "answer: 2*3",
    (12, GREEDY): ENDLESS,
}
SHORT, LONG = 12, MAX_RESPONSE
CONFIG = Eval("heldout", problems=3, samples=4, budgets=(1, SHORT, LONG), sampling=SAMPLING, batch_size=4)


@pytest.fixture
def evaluated(scripted):
    evaluator = Evaluator(CONFIG, PROBLEMS, scripted(SCRIPT), VERIFIER, mean_behaviors)
    results, samples = evaluator({}, KEY, stage="ppo", step=7)
    return {result.level: result for result in results}, samples


def test_every_sample_of_every_problem_is_recorded_once_with_its_verdict(evaluated):
    _, samples = evaluated
    assert {(s.problem, s.sample): s.response for s in samples if s.sample != GREEDY or s.problem != 12} == {
        key: text for key, text in SCRIPT.items() if key != (12, GREEDY)
    }
    assert len(samples) == len(SCRIPT)
    verdicts = {(s.problem, s.sample): s.verdict for s in samples}
    right = {(10, 0), (10, 1), (10, 3), (11, 2), (12, 1), (10, GREEDY), (11, GREEDY)}
    assert verdicts == {key: "unknown" if key == (12, 0) else "correct" if key in right else "wrong" for key in SCRIPT}
    answers = {(s.problem, s.sample): s.answer for s in samples}
    assert answers[10, 1] == "2+1" and answers[12, GREEDY] is None
    assert {s.stop_reason for s in samples if s.problem == 12 and s.sample == GREEDY} == {"length"}
    assert {(s.eval, s.stage, s.step) for s in samples} == {("heldout", "ppo", 7)}


def test_rates_are_those_counted_by_hand_and_leave_unknown_verdicts_out(evaluated):
    results, _ = evaluated
    result = results["all"]
    assert (result.problems, result.samples, result.unknown) == (3, 4, 1)
    assert result.greedy == pytest.approx(2 / 3) and result.greedy_truncated == pytest.approx(1 / 3)
    assert result.pass_at == pytest.approx(
        {"1": (3 / 4 + 1 / 4 + 1 / 3) / 3, "2": (1 + 1 / 2 + 2 / 3) / 3, "4": 1.0}  # two problems have 4 known samples
    )
    # three of four agree on a right answer; two of three on a wrong one; a right and two wrong ones tie
    assert result.maj_at == pytest.approx({"4": (1 + 0 + 1 / 3) / 3})
    assert result.maj_interval[0] <= result.maj_at["4"] <= result.maj_interval[1]


SCORES = {  # of (problem, sample); unknown verdicts count in no rate, whatever their score
    **{(10, i): score for i, score in enumerate([0.2, 0.1, 0.9, 0.3])},
    **{(11, i): score for i, score in enumerate([0.1, 0.1, 0.7, 0.7])},
    **{(12, i): score for i, score in enumerate([1.0, 0.5, 0.5, 0.2])},
}


def test_an_outcome_model_picks_the_sample_that_it_scores_highest_the_first_of_equals(scripted):
    def rank(rollout):
        places = zip(rollout.prompts.problem.tolist(), rollout.prompts.sample.tolist(), strict=True)
        return jnp.asarray([SCORES[place] for place in places], jnp.float32)

    evaluator = Evaluator(CONFIG, PROBLEMS, scripted(SCRIPT), VERIFIER, mean_behaviors, rank)
    results, samples = evaluator({}, KEY, stage="ppo", step=7)
    found = {result.level: result.rerank_at for result in results}
    # of problem 10 a wrong one is best, of 11 a right one ties with a wrong one behind it, of 12 too
    assert found == {"all": {"4": pytest.approx(2 / 3)}, "sums": {"4": 0.0}, "others": {"4": 1.0}}
    scores = {(s.problem, s.sample): s.score for s in samples if s.sample != GREEDY}
    assert scores == pytest.approx(SCORES)


def test_without_an_outcome_model_nothing_is_scored_or_reranked(evaluated):
    results, samples = evaluated
    assert {s.score for s in samples} == {None} and [r.rerank_at for r in results.values()] == [{}] * 3


def test_levels_are_summed_up_apart(evaluated):
    results, samples = evaluated
    assert set(results) == {"all", "sums", "others"}
    assert results["sums"].problems == 1 and results["sums"].greedy == 1 and results["sums"].unknown == 0
    assert results["sums"].pass_at["1"] == pytest.approx(3 / 4)
    assert results["others"].problems == 2 and results["others"].unknown == 1
    tokens = sum(sample.num_tokens for sample in samples)
    assert results["all"].tokens_generated == tokens
    assert results["sums"].tokens_generated + results["others"].tokens_generated == tokens


def test_budgets_count_right_answers_that_end_within_them_and_only_rise(evaluated):
    results, samples = evaluated
    budgets = results["all"].budgets
    lengths = {s.problem: s.num_tokens for s in samples if s.sample == GREEDY}
    assert lengths[10] <= SHORT < lengths[11] < LONG, "the budgets show too little"
    assert budgets == pytest.approx({"1": 0, str(SHORT): 1 / 3, str(LONG): 2 / 3})
    assert list(budgets.values()) == sorted(budgets.values()) and budgets[str(LONG)] == results["all"].greedy


def test_behaviors_are_of_the_samples_and_greedy_behaviors_of_the_greedy_responses(evaluated):
    results, _ = evaluated
    assert results["all"].behaviors.verifications == 0
    assert results["others"].greedy_behaviors.verifications > 0 and results["sums"].greedy_behaviors.verifications == 0


def test_without_samples_there_are_greedy_figures_only(scripted):
    config = dataclasses.replace(CONFIG, samples=0)
    (result, *_), samples = Evaluator(config, PROBLEMS, scripted(SCRIPT), VERIFIER, mean_behaviors)(
        {}, KEY, stage="ppo", step=0
    )
    assert len(samples) == 3 and result.pass_at == {} and result.maj_at == {}
    assert result.greedy == pytest.approx(2 / 3) and result.length == result.greedy_length
    assert all(map(math.isnan, result.maj_interval))


def test_an_evaluation_in_which_nothing_can_be_judged_counts_and_reports_no_rate(scripted):
    script = {(12, sample): SCRIPT[12, 0] for sample in (GREEDY, 0, 1, 2, 3)}
    evaluator = Evaluator(CONFIG, PROBLEMS[2:], scripted(script), VERIFIER, mean_behaviors)
    (result, _), _ = evaluator({}, KEY, stage="ppo", step=0)
    assert result.unknown == 5 and math.isnan(result.greedy) and result.maj_at == {}
    assert all(map(math.isnan, result.pass_at.values()))


# ---- what the device leaves undecided ----


def test_the_host_settles_exactly_the_rows_that_the_device_leaves_undecided(scripted, pool, monkeypatch):
    texts = ["answer: 1+2", "answer: 2", "nothing at all", "answer: 2-1"]
    script = {(10, i): text for i, text in enumerate(texts)}
    asked = []
    verify = pool.verify
    monkeypatch.setattr(pool, "verify", lambda items: asked.extend(text for _, text in items) or verify(items))
    outcomes = []
    for checker in (CountdownChecker(answer_bytes=3), CountdownChecker()):
        responder = scripted(script, checker)
        prompts = responder.prompts(PROBLEMS[:1], samples=4)
        rollout = responder.generate({}, prompts, KEY)
        outcomes.append(np.asarray(responder.verify(rollout, PROBLEMS[:1] * 4).outcome).tolist())
    assert asked == ["answer: 1+2", "answer: 2-1"]
    assert outcomes[0] == outcomes[1] == [Verdict.CORRECT, Verdict.WRONG, Verdict.WRONG, Verdict.WRONG]


def test_decided_rows_stay_on_the_device(scripted, monkeypatch):
    texts = ["answer: 1+2", "no", "no", "answer: 2"]
    responder = scripted({(10, i): text for i, text in enumerate(texts)}, CountdownChecker(answer_bytes=1))
    rollout = responder.generate({}, responder.prompts(PROBLEMS[:1], samples=4), KEY)
    fetched, get = [], jax.device_get
    monkeypatch.setattr(
        jax, "device_get", lambda tree: fetched.extend(map(np.shape, jax.tree.leaves(tree))) or get(tree)
    )
    responder.verify(rollout, PROBLEMS[:1] * 4)
    time = rollout.tokens.shape[1]
    assert fetched == [(2, time), (2, time)]  # the tokens and the mask of two rows of four


def test_each_row_is_settled_by_the_truth_of_its_own_problem(scripted):
    script = {(p.number, 0): "answer: 1+2" for p in PROBLEMS}
    responder = scripted(script, CountdownChecker(answer_bytes=1))
    asked = [PROBLEMS[1], PROBLEMS[0], PROBLEMS[2], PROBLEMS[0]]
    rollout = responder.generate({}, responder.prompts(asked), KEY)
    outcome = np.asarray(responder.verify(rollout, asked).outcome).tolist()
    assert outcome == [Verdict.WRONG, Verdict.CORRECT, Verdict.WRONG, Verdict.CORRECT]


# ---- a real policy ----


def test_a_real_policy_answers_the_same_whatever_the_batch_size_and_order(mesh, pool, tokenizer, nano_model):
    model, params = nano_model
    sampling = SamplingConfig(max_response=12)
    judge = make_judge(mesh, CountdownChecker(), pool, tokenizer)
    problems = Countdown(numbers=2).heldout(6)
    config = Eval("heldout", problems=6, samples=2, budgets=(4, 8, 12), sampling=sampling)
    seen = []
    for rows, asked in ((4, problems), (6, problems[::-1])):  # a last batch that is filled up, and a whole one
        responder = Responder(mesh, model, judge, sampling, rows, MAX_PROMPT)
        evaluator = Evaluator(config, asked, responder, VERIFIER, mean_behaviors)
        results, samples = evaluator(params["policy"], KEY, stage="sft", step=0)
        seen.append({(s.problem, s.sample): (s.response, s.num_tokens, s.verdict) for s in samples})
        assert results[0].problems == 6 and len(samples) == 6 * 3
        assert list(results[0].budgets.values()) == sorted(results[0].budgets.values())
    assert seen[0] == seen[1] and len({text for text, _, _ in seen[0].values()}) > 6


def test_samples_of_a_problem_are_neighbouring_rows(mesh, pool, tokenizer, nano_model):
    judge = make_judge(mesh, CountdownChecker(), pool, tokenizer)
    responder = Responder(mesh, nano_model[0], judge, SAMPLING, 6, MAX_PROMPT)
    prompts = responder.prompts(PROBLEMS, samples=2, first=3)
    assert prompts.problem.tolist() == [10, 10, 11, 11, 12, 12] and prompts.sample.tolist() == [3, 4] * 3
    np.testing.assert_array_equal(prompts.tokens[::2], prompts.tokens[1::2])
    np.testing.assert_array_equal(prompts.truth.target, [3, 3, 6, 6, 3, 3])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "held out"}, r"^An eval is named 'held out'"),
        ({"problems": 0}, r"^The eval 'heldout' has problems = 0"),
        ({"samples": -1}, r"^The eval 'heldout' needs samples ≥ 0 and batch_size ≥ 1"),
        ({"every": 0}, r"^The eval 'heldout' has every = 0; it must be at least 1, or None"),
    ],
)
def test_an_impossible_eval_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(CONFIG, **changes)
