"""A scaling of responses that are known, and what its records say."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import (
    SEARCH_SYMBOLS,
    ArrangementTraces,
    Countdown,
    Permutations,
    SearchTraces,
    SentencePiece,
    parse_question,
    permutation_symbols,
)
from rlsp_jax.evaluation import Scaler, Scaling, Summarizer, make_judge, make_scaler
from rlsp_jax.evaluation.benchmarks import GREEDY
from rlsp_jax.evaluation.elicit import default_marker
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import nano
from rlsp_jax.records import ScalingResult, append_rows, read_records, to_row
from rlsp_jax.rewards import CountdownChecker, ExactTextChecker, MathChecker
from rlsp_jax.verifiers import Countdown as Verifier
from rlsp_jax.verifiers import VerifierPool
from tests.evaluation.test_evaluator import MAX_PROMPT, MAX_RESPONSE, Scripted
from tests.models.builders import build

SAMPLING = SamplingConfig(max_response=MAX_RESPONSE)
KEY = jax.random.key(0)
LONG = "5" + "+0" * 60  # more than any verifier reads
PROBLEMS = [
    dataclasses.replace(parse_question(text), number=10 + i) for i, text in enumerate(("1 2 = 3", "2 3 = 6", "2 5 = 3"))
]
THINKING = ("", "try 3-2=1 check 6 no back\ntry 2*3=6 check 6 yes\n", "try 2+5=7 check 3 no back\n")
SCRIPT = {(10 + i, GREEDY): f"{THINKING[i]}answer: {text}" for i, text in enumerate(("1+2", "2*3", "2+5"))}
CONFIG = Scaling("thinking", problems=3, fractions=(0.5, 1.0), budgets=(0, 4), sampling=SAMPLING, batch_size=2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    problems = Countdown().problems("train", 0, 200)
    texts = [problem.question + SearchTraces().trace(problem, i) for i, problem in enumerate(problems)]
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    return SentencePiece(vocab_size=300, symbols=SEARCH_SYMBOLS).train(texts, path)


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh(
        (1, 1, 1), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=jax.devices()[:1]
    )


@pytest.fixture(scope="module")
def responder(mesh, tokenizer):
    """Two rows that say what is written."""
    with VerifierPool(Verifier(max_answer_bytes=40)) as pool:
        model = build(nano(num_layers=1, max_length=256), vocab=tokenizer.vocab_size)[0]
        judge = make_judge(mesh, CountdownChecker(answer_bytes=16), pool, tokenizer)
        responder = Scripted(mesh, model, judge, SAMPLING, 2, MAX_PROMPT)
        responder.script = SCRIPT
        yield responder


@pytest.fixture
def scripted(responder, tokenizer):
    """A scaler whose policies are functions (problem, tokens kept) → answer; and a list of what they were asked."""
    asked = []

    def elicit(policy, cache, rollout, kept):
        tokens = np.full((2, MAX_RESPONSE + 80), tokenizer.pad_id, np.int32)
        mask = np.zeros(tokens.shape, bool)
        for row, (problem, n) in enumerate(zip(rollout.prompts.problem.tolist(), kept.tolist(), strict=True)):
            thinking = rollout.tokens[row].tolist()[:n]
            asked.append((cache, problem, tokenizer.decode(thinking)))
            ids = [*thinking, *tokenizer.encode(f"answer: {policy(problem, n)}")]
            tokens[row, : len(ids)], mask[row, : len(ids)] = ids, True
        zeros = jnp.zeros(tokens.shape)
        return rollout._replace(tokens=jnp.asarray(tokens), mask=jnp.asarray(mask), logprobs=zeros, entropies=zeros)

    def read(policy, rollout):
        return policy

    return Scaler(CONFIG, PROBLEMS, responder, read, elicit), asked


def own(problem: int, kept: int) -> str:
    return {10: "1+2", 11: "2*3" if kept > 4 else "2+3", 12: LONG if kept else "5-2"}[problem]


def other(problem: int, kept: int) -> str:
    return "2+1"


def test_accuracies_and_kept_tokens_are_those_counted_by_hand(scripted, tokenizer):
    scaler, _ = scripted
    half, full, none, four, whole = scaler(own, Summarizer("sft 40", other), KEY, stage="ppo", step=7)
    sizes = [len(tokenizer.encode(text)) for text in THINKING]
    assert [(r.fraction, r.budget) for r in (half, full, none, four, whole)] == [
        (0.5, None), (1.0, None), (None, 0), (None, 4), (None, None),
    ]  # fmt: skip
    assert sizes[0] == 0 and min(sizes[1:]) > 8, "the cuts show too little"
    assert full.kept == whole.kept == pytest.approx(np.mean(sizes)) and none.kept == 0
    assert half.kept == pytest.approx(np.mean([(n + 1) // 2 for n in sizes]))
    assert four.kept == pytest.approx(8 / 3)
    assert none.own == pytest.approx(2 / 3) and none.own_unknown == 0  # all but 11's, which guesses
    assert full.own == half.own == 1.0 and full.own_unknown == 1  # what cannot be judged is left out
    assert four.own == pytest.approx(1 / 2) and four.own_unknown == 1
    assert whole.own == pytest.approx(2 / 3)  # 12 as written is wrong
    assert [r.summary for r in (half, full, none, four)] == [pytest.approx(1 / 3)] * 4 and math.isnan(whole.summary)
    assert {(r.scaling, r.stage, r.step, r.responses, r.summarizer) for r in (half, whole)} == {
        ("thinking", "ppo", 7, 3, "sft 40")
    }


def test_each_policy_reads_its_own_cache_and_a_cut_that_changes_nothing_is_asked_once(scripted):
    scaler, asked = scripted
    scaler(own, Summarizer("sft 40", other), KEY, stage="ppo", step=7)
    assert {cache for cache, _, _ in asked} == {own, other}
    texts = {text for cache, problem, text in asked if cache is own and problem == 11}
    assert THINKING[1] in texts and "" in texts and all(THINKING[1].startswith(text) for text in texts)
    assert len(asked) == 2 * 2 * (4 + 4)  # two policies, rows filled up to two, both batches at four cuts that differ


def test_without_a_summary_model_there_are_own_answers_only(scripted):
    scaler, asked = scripted
    results = scaler(own, None, KEY, stage="sft", step=40)
    assert all(math.isnan(r.summary) and r.summarizer == "" and r.summary_unknown == 0 for r in results)
    assert {cache for cache, _, _ in asked} == {own}


def test_where_all_is_thought_and_answered_alike_whole_responses_are_no_better(scripted):
    scaler, _ = scripted
    answers = {number: text.rpartition("answer: ")[2] for (number, _), text in SCRIPT.items()}
    _, full, *_, whole = scaler(lambda problem, kept: answers[problem], None, KEY, stage="ppo", step=7)
    assert full.own == whole.own == pytest.approx(2 / 3)


def test_records_come_back_as_they_were_written(scripted, tmp_path):
    scaler, _ = scripted
    results = scaler(own, None, KEY, stage="sft", step=40)
    append_rows(tmp_path / "a.jsonl", [to_row(result) for result in results])
    again = read_records(tmp_path / "a.jsonl", ScalingResult)
    assert list(map(repr, again)) == list(map(repr, results))  # NaN is unlike itself, but not in writing


def test_a_real_policy_answers_with_its_own_parameters_and_the_summary_model_with_others(mesh, responder, tokenizer):
    model = build(nano(num_layers=1, max_length=256), vocab=tokenizer.vocab_size)
    policies = [build(nano(num_layers=1, max_length=256), seed, tokenizer.vocab_size)[1]["policy"] for seed in (0, 1)]
    scaler = make_scaler(CONFIG, PROBLEMS, responder, model[0], tokenizer, CountdownChecker())
    rollout = responder.generate({}, responder.prompts(PROBLEMS[:2]), KEY, greedy=True)
    kept = jnp.asarray([0, 6], jnp.int32)
    texts = []
    for policy in policies:
        judged = scaler.elicit(policy, scaler.read(policy, rollout), rollout, kept)
        texts.append(responder.texts(judged))
    assert [text.startswith("answer: ") for text in texts[0]] == [True, False] and "answer: " in texts[0][1]
    assert texts[0] != texts[1]
    results = scaler(policies[0], Summarizer("sft 1", policies[1]), KEY, stage="ppo", step=1)
    assert len(results) == 5 and all(0 <= r.own <= 1 and r.kept <= results[-1].kept for r in results)


def test_markers_are_those_that_the_checkers_read():
    assert default_marker(CountdownChecker()) == "answer: " and default_marker(MathChecker()).endswith("\\boxed{")
    assert dataclasses.replace(CONFIG, marker="so ").marker_text(CountdownChecker()) == "so "


def test_the_marker_of_permutations_is_the_token_that_demonstrations_answer_with(tmp_path):
    source, traces = Permutations(symbols=5, moves=(1, 3)), ArrangementTraces()
    problems = source.problems("demonstrations", 0, 60)
    texts = [problem.question + traces.trace(problem, i) for i, problem in enumerate(problems)]
    tokenizer = SentencePiece(vocab_size=300, symbols=permutation_symbols(5, 3)).train(texts, tmp_path / "t.model")
    marker = default_marker(ExactTextChecker())
    assert all(marker in text for text in texts)
    (token,) = tokenizer.encode(marker)
    assert all(tokenizer.encode(text).count(token) == 1 for text in texts)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "held out"}, r"^A scaling is named 'held out'"),
        ({"problems": 0}, r"^The scaling 'thinking' has problems = 0; it must be at least 1"),
        ({"elicit_tokens": 0}, r"^The scaling 'thinking' has elicit_tokens = 0; it must be at least 1"),
        ({"samples": -1}, r"^The scaling 'thinking' has samples = -1; it must be at least 0"),
        ({"fractions": (), "budgets": ()}, r"^The scaling 'thinking' has neither fractions nor budgets"),
        ({"fractions": (0.0, 1.0)}, r"fractions \(0.0, 1.0\); each must lie in \(0, 1\]"),
        ({"budgets": (-1,)}, r"budgets \(-1,\); each must be 0 or more"),
        ({"budgets": (4, 4)}, r"repeats a fraction or a budget"),
        ({"marker": ""}, r"has an empty marker"),
    ],
)
def test_an_impossible_scaling_is_one_clear_sentence(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(CONFIG, **changes)
