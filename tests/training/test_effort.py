"""An effort judge in training, over HTTP against a real server on this machine and by words."""

import contextlib
import dataclasses
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlsp_jax import rewards
from rlsp_jax.algorithms.combination import Coupled
from rlsp_jax.common.codes import StopReason, Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.rewards import rlsp
from rlsp_jax.sharding import rows as row_sharding
from rlsp_jax.training import checks
from rlsp_jax.training.columns import fill_columns
from rlsp_jax.training.effort import EffortGrader
from rlsp_jax.training.metrics import make_measure_fn
from rlsp_jax.training.rl import make_score_fn
from rlsp_jax.types import Rollout, Verdicts
from rlsp_jax.verifiers import Endpoint, HttpJudge, LexicalJudge
from tests.training.conftest import DEBUG, load_experiment
from tests.verifiers.chat_server import reachable, said, serving

EXPERIMENT = load_experiment(DEBUG).experiment
TIME = 48
TEXTS = [f"try {i}+1={i + 1}\nback\nanswer: {i}" for i in range(16)]


@pytest.fixture
def server():
    with reachable(), serving() as server:
        server.answer = grade_by_number
        yield server


def grade_by_number(request, number):
    """Row i is graded i / 10; rows of 10 and more fail, each in its own way."""
    row = number_of(request)
    if row <= 10:
        return said(json.dumps({"reason": "r", "score": row}))
    return (400, {}, json.dumps({"error": f"row {row} is refused"}).encode()) if row % 2 else said("no grade")


def number_of(request):
    return int(re.search(r"<response-\w+>\ntry (\d+)", request["messages"][1]["content"])[1])


def http_judge(server, **knobs):
    quick = dict(api_key_variable="JUDGE_KEY", backoff=0.01, timeout=2.0, deadline=8.0, max_tries=2)
    return HttpJudge(Endpoint("some-model", server.url, **(quick | knobs)))


def paid_for_effort(judge, **changes):
    """The debug experiment with the reward of RLSP's released code, judge and all."""
    first, last = EXPERIMENT.stages
    last = dataclasses.replace(last, streams=rlsp.code(20.0, judge=True), combination=Coupled(), kl=None, **changes)
    model = dataclasses.replace(EXPERIMENT.model, value_heads=("total",))
    return dict(stages=(first, last), effort_judge=judge, model=model)


@pytest.fixture
def open_judged(open_debug):
    @contextlib.contextmanager
    def open_judged(judge):
        with open_debug(**paid_for_effort(judge)) as run:
            yield run

    return open_judged


def rollout_of(run, texts):
    """A rollout in which each problem's response is given, on the run's mesh."""
    problems = run.experiment.problems.problems("train", 0, len(texts))
    prompts = run.responder(run.experiment.stages[-1].sampling, len(texts)).prompts(problems)
    tokens, mask = np.zeros((len(texts), TIME), np.int32), np.zeros((len(texts), TIME), bool)
    for row, text in enumerate(texts):
        ids = [*run.tokenizer.encode(text), run.tokenizer.eos_id]
        tokens[row, : len(ids)], mask[row, : len(ids)] = ids, True
    zeros = np.zeros(tokens.shape, np.float32)
    arrays = (tokens, mask, zeros, zeros, np.full(len(texts), StopReason.EOS, np.int8))
    return Rollout(prompts, *jax.device_put(arrays, row_sharding(run.mesh))), problems


def verdicts_of(rollout):
    lengths = rollout.mask.sum(axis=1)
    correct = jnp.full(len(lengths), Verdict.CORRECT, jnp.int8)
    return Verdicts(correct, lengths // 2, jnp.ones(len(lengths), bool))


def test_each_rows_question_and_response_are_judged_and_failures_become_unknown_rows(server, open_judged):
    with open_judged(http_judge(server)) as run:
        rollout, problems = rollout_of(run, TEXTS)
        filled = fill_columns(run, run.experiment.stages[-1], {}, rollout, verdicts_of(rollout))
    expected = [i / 10 if i <= 10 else math.nan for i in range(16)]
    np.testing.assert_allclose(np.asarray(filled.effort), expected, rtol=1e-6)
    assert {number_of(request) for request in server.requests} == set(range(16))
    for request in server.requests:
        assert problems[number_of(request)].question.strip() in request["messages"][1]["content"]


def test_rows_without_a_grade_teach_nothing(server, open_judged):
    with open_judged(http_judge(server)) as run:
        rollout, _ = rollout_of(run, TEXTS)
        config = run.experiment.stages[-1]
        filled = fill_columns(run, config, {}, rollout, verdicts_of(rollout))
        memory = rewards.init_memory(config.streams)
        scores, _ = make_score_fn(config.streams)(rollout, filled, run.judge.token_bytes, memory)
        values = jnp.zeros((16, 1, TIME))
        result = config.combination(config.channels, scores, values, rollout.mask, jnp.asarray(0), 1)
        metrics = make_measure_fn(config.streams)(rollout, filled, scores, run.judge.token_bytes)
    known = np.arange(16) <= 10
    assert np.asarray(result.mask).any(axis=1).tolist() == known.tolist()
    assert np.asarray(result.value_mask).any(axis=(1, 2)).tolist() == known.tolist()
    assert np.isfinite(result.advantages).all() and np.isfinite(result.returns).all()
    assert not np.asarray(result.advantages)[~known].any()
    length = np.asarray(rollout.mask).sum(axis=1) // 2
    paid = 0.8 * (1 - 20.0 / length) + 0.2 * np.arange(16) / 10
    got = np.asarray(result.returns)[:, 0, 0]
    np.testing.assert_allclose(got[known], paid[known], rtol=1e-5)
    assert float(metrics["judge/known"]) == pytest.approx(11 / 16)
    assert float(metrics["judge/effort"]) == pytest.approx(0.5)


def test_each_kind_of_failure_is_told_once(server, open_judged):
    lines = []
    with open_judged(http_judge(server)) as run:
        grader = EffortGrader(run.experiment.effort_judge, run.tokenizer, run.mesh, lines.append, run.spent)
        rollout, _ = rollout_of(run, TEXTS)
        grader.grade(rollout)
        grader.grade(rollout)
    assert lines == [
        "The effort judge has no grade for 5 of 16 responses (3 × HTTP 400, 2 × malformed reply); they are left out."
    ]


def test_the_budget_is_the_runs_and_a_step_without_any_grade_stops_it(server, open_judged):
    server.answer = lambda request, number: said('{"score": 5}')
    with open_judged(http_judge(server, max_requests=20)) as run:
        rollout, _ = rollout_of(run, TEXTS)
        config = run.experiment.stages[-1]
        known = [
            int(jnp.isfinite(fill_columns(run, config, {}, rollout, verdicts_of(rollout)).effort).sum())
            for _ in range(2)
        ]
        assert known == [16, 4]
        with pytest.raises(UserError, match=r"graded none of a step's 16 responses \(16 × budget spent\)"):
            fill_columns(run, config, {}, rollout, verdicts_of(rollout))
    assert len(server.requests) == 20


def test_a_resumed_run_goes_on_counting_what_the_judge_was_asked(server, open_judged):
    server.answer = lambda request, number: said('{"score": 5}', usage={"total_tokens": 700})
    known, saved = [], {}
    for _ in range(2):
        with open_judged(http_judge(server, max_requests=20)) as run:
            if saved:
                run.spent.add(saved)
            rollout, _ = rollout_of(run, TEXTS)
            filled = fill_columns(run, run.experiment.stages[-1], {}, rollout, verdicts_of(rollout))
            known.append(int(jnp.isfinite(filled.effort).sum()))
            saved = run.spent.dump()
    assert known == [16, 4] and len(server.requests) == 20
    assert (saved["judge_requests"], saved["judge_tokens"]) == (20, 14_000)


def test_a_judge_by_words_needs_no_network(open_judged):
    with open_judged(LexicalJudge()) as run:
        rollout, problems = rollout_of(run, TEXTS[:8])
        filled = fill_columns(run, run.experiment.stages[-1], {}, rollout, verdicts_of(rollout))
    slow = [
        effort.score
        for effort in LexicalJudge().judge([(p.question, t) for p, t in zip(problems, TEXTS[:8], strict=True)])
    ]
    np.testing.assert_allclose(np.asarray(filled.effort), slow, rtol=1e-6)
    assert min(slow) > 0


def test_nobody_is_asked_where_no_stream_pays_for_effort(run):
    rollout, _ = rollout_of(run, TEXTS[:8])
    said_of_it = verdicts_of(rollout)
    assert fill_columns(run, run.experiment.stages[-1], {}, rollout, said_of_it) is said_of_it


def test_effort_that_is_paid_for_needs_a_judge_and_a_judge_needs_to_be_listened_to():
    changes = paid_for_effort(None)
    with pytest.raises(UserError, match="Stage 'ppo' pays for effort as a judge sees it, but effort_judge is None"):
        dataclasses.replace(EXPERIMENT, **changes)
    with pytest.raises(UserError, match="no stream pays for what it says"):
        dataclasses.replace(EXPERIMENT, effort_judge=LexicalJudge())
    dataclasses.replace(EXPERIMENT, **changes | {"effort_judge": LexicalJudge()})


def test_a_missing_key_is_met_before_the_first_step(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    judge = HttpJudge(Endpoint("m", "http://127.0.0.1:9/v1", "NO_SUCH_KEY"))
    experiment = dataclasses.replace(EXPERIMENT, **paid_for_effort(judge))
    with pytest.raises(UserError, match="NO_SUCH_KEY holds no key"):
        checks.check_effort_judge(experiment)
    checks.check_effort_judge(EXPERIMENT)
