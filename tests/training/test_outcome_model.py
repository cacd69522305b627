"""A whole run with an outcome model: what it leaves alone, what it is asked, and that breaking off changes nothing."""

import dataclasses
import functools
import json
import shutil
import zlib
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from rich.console import Console

from rlsp_jax import evaluation, rewards
from rlsp_jax.algorithms import outcome_model
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.override import apply_overrides
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.evaluation.estimators import area_under_curve, cross_entropy
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.models import OutcomeModel
from rlsp_jax.records import Draw, read_rows
from rlsp_jax.report.load import load_run
from rlsp_jax.rewards import PromiseSteps, Stream
from rlsp_jax.sharding import make_mesh
from rlsp_jax.training import Experiment, load_experiment, reuse, supervised, train
from rlsp_jax.training import outcome_model as loop
from rlsp_jax.training.columns import fill_columns
from rlsp_jax.training.progress import Display
from rlsp_jax.training.promise import newest_finished
from rlsp_jax.training.run import Run
from rlsp_jax.training.stage import StageRun
from rlsp_jax.types import TrainState
from tests.training.conftest import DEBUG

SAMPLING = SamplingConfig(max_response=24)
OUTCOME = outcome_model.Config(
    num_problems=24, samples_per_prompt=2, sampling=SAMPLING, draw_size=16, heldout_share=0.3, num_steps=4,
    batch_size=8, validate_every=2,
)  # fmt: skip


def experiment(**changes) -> Experiment:
    """SFT, an outcome model, PPO paid by its promises; an eval at the end of each."""
    base = load_experiment(DEBUG).experiment
    sft, ppo = base.stages
    streams = (ppo.streams[0], Stream("exploration", PromiseSteps()))
    sizes = dict(num_steps=2, prompts_per_step=8, minibatch_size=16, epochs=1, target_kl=None)
    stages = (
        dataclasses.replace(sft, num_steps=2, num_demonstrations=100),
        OUTCOME,
        dataclasses.replace(ppo, streams=streams, sampling=SAMPLING, **sizes),
    )
    evals = (evaluation.Eval("heldout", problems=16, samples=2, sampling=SAMPLING, batch_size=16),)
    return dataclasses.replace(base, stages=stages, evals=evals, checkpoint_every=1, **changes)


class Crash(Exception):
    """Stands for a power cut."""


class Watch(Display):
    """Crashes at a chosen event."""

    def __init__(self, at: str = ""):
        super().__init__(Console(), enabled=False)
        self.events: list[str] = []
        self._at = at

    def note(self, message: str) -> None:
        self.events.append(message)
        if message == self._at:
            raise Crash

    def update(self, done: int, metrics) -> None:
        self.note(f"{self._stage} {done}")


@pytest.fixture(autouse=True, scope="module")
def frequent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "TOKENIZER_TEXTS", 200)
        for module in (supervised, loop):
            patch.setattr(module, "SAVE_EVERY", 1)
            patch.setattr(module, "LOG_EVERY", 1)
        yield


def go(workdir: Path, watch: Watch | None = None, look=train.run_stages, **changes):
    """Run the experiment in a workdir, or go on with it, or look at it."""
    asked = experiment(**changes)
    mesh = make_mesh(asked.mesh)
    with jax.set_mesh(mesh), train.open_run(asked, workdir, mesh, watch or Watch()) as run:
        return look(run)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("whole")
    go(workdir)
    return workdir


def state_of(workdir: Path, stage: str, step: int) -> dict[str, np.ndarray]:
    """All that a checkpoint holds, by path."""
    state = ocp.StandardCheckpointer().restore(workdir / "checkpoints" / stage / str(step) / "state")
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def rows_of(workdir: Path, file: str) -> list[dict]:
    """The rows of a file as a reader counts them: of those written twice the last, times left out."""
    rows = {
        json.dumps([row.get(key) for key in ("stage", "step", "level", "at", "problem", "sample")]): {
            key: value for key, value in row.items() if key not in ("seconds", "speed/tokens")
        }
        for row in read_rows(workdir / file)
    }
    return [rows[key] for key in sorted(rows)]


FILES = (
    "metrics.jsonl", "evals/heldout.jsonl", "samples/heldout.jsonl", "calibration/outcome_model.jsonl",
    "draws/outcome_model/responses.jsonl",
)  # fmt: skip


# ---- the stage ----


def test_the_stage_leaves_the_policy_and_its_critics_as_they_came_bit_for_bit(whole):
    before, after = state_of(whole, "0_sft", 2), state_of(whole, "1_outcome_model", 4)
    came = {name: leaf for name, leaf in before.items() if name.startswith("['params']")}
    assert came and [name for name, leaf in came.items() if after[name].tobytes() != leaf.tobytes()] == []
    trunk = {name: leaf for name, leaf in after.items() if name.startswith("['params']['outcome']['trunk']")}
    moved = [name for name, leaf in trunk.items() if (leaf != came[name.replace("outcome']['trunk", "policy")]).any()]
    assert len(moved) == len(trunk) > 0


@pytest.mark.parametrize(
    "moment",
    [
        "drawing: 16 of 48 responses",
        pytest.param("outcome_model 3", marks=pytest.mark.slow),  # the last checkpoint is that of step 2
        pytest.param("evaluating: heldout, 16 problems", marks=pytest.mark.slow),
        "ppo 1",  # the outcome model is read back from its checkpoint
    ],
)
def test_a_run_that_died_resumes_to_the_same_end(moment, whole, tmp_path):
    with pytest.raises(Crash):
        go(tmp_path, Watch(moment))
    if moment.startswith("drawing"):
        assert len(rows_of(tmp_path, FILES[-1])) == 16
    watch = Watch()
    go(tmp_path, watch)
    for stage, step in (("1_outcome_model", 4), ("2_ppo", 2)):
        ours, theirs = state_of(tmp_path, stage, step), state_of(whole, stage, step)
        assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []
    for file in FILES:
        assert rows_of(tmp_path, file) == rows_of(whole, file), file
    if moment.startswith("drawing"):
        assert "drawing: 0 of 48 responses" not in watch.events  # what was drawn is not drawn again


def test_its_responses_are_of_training_problems_and_its_worth_is_that_on_problems_it_has_not_seen(whole):
    draws = rows_of(whole, FILES[-1])
    assert len(draws) == 48 and {row["sample"] for row in draws} == {0, 1}
    questions = {problem.question for problem in experiment().problems.problems("train", 0, 24)}
    assert {row["question"] for row in draws} == questions
    held = [row for row in draws if zlib.crc32(row["question"].encode()) / 2**32 < OUTCOME.heldout_share]
    found = {(row["step"], row["at"]): row for row in read_rows(whole / FILES[3])}
    assert set(found) == {(step, at) for step in (2, 4) for at in ("end", "all")}
    known = [row for row in held if row["verdict"] != "unknown"]
    assert found[4, "end"]["predictions"] == len(known) > 0
    assert found[4, "all"]["predictions"] == sum(row["num_tokens"] for row in known)
    assert sum(found[4, "all"]["counts"]) == found[4, "all"]["predictions"]


def test_what_was_drawn_is_recorded_and_counted_once(whole):
    metrics = {(row["stage"], row["step"]): row for row in read_rows(whole / "metrics.jsonl")}
    first, second = metrics["outcome_model", 0], metrics["outcome_model", 1]
    tokens = sum(row["num_tokens"] for row in rows_of(whole, FILES[-1]))
    assert first["rollout/tokens"] == tokens == first["tokens_generated"] == second["tokens_generated"]
    assert "rollout/tokens" not in second and {"draws/accuracy", "outcome_model/loss"} <= set(first)


# ---- whoever asks the outcome model ----


def test_evaluations_rerank_from_the_stages_end_on_and_the_best_is_the_highest_score(whole):
    samples = rows_of(whole, "samples/heldout.jsonl")
    overall = {row["stage"]: row for row in read_rows(whole / "evals/heldout.jsonl") if row["level"] == "all"}
    assert overall["sft"]["rerank_at"] == {}
    for stage in ("outcome_model", "ppo"):
        drawn = [s for s in samples if s["stage"] == stage and s["sample"] >= 0 and s["verdict"] != "unknown"]
        right = []
        for problem in {s["problem"] for s in drawn}:
            own = sorted((s for s in drawn if s["problem"] == problem), key=lambda s: s["sample"])
            best = max(s["score"] for s in own)
            right.append(next(s["verdict"] == "correct" for s in own if s["score"] == best))
        assert overall[stage]["rerank_at"] == {"2": pytest.approx(np.mean(right))}
    assert all((s["score"] is None) == (s["stage"] == "sft") for s in samples)
    same = {(s["problem"], s["sample"]): s["response"] for s in samples if s["stage"] == "sft"}
    assert same == {(s["problem"], s["sample"]): s["response"] for s in samples if s["stage"] == "outcome_model"}


def test_a_promise_is_what_the_trained_model_says_after_each_token(whole):
    def look(run: Run):
        responder = run.responder(SAMPLING, 16)
        problems = run.experiment.problems.problems("train", 0, 8)
        policy = jax.jit(run.model.init)(jax.random.key(3))["policy"]
        rollout = responder.generate(policy, responder.prompts(problems, samples=2), key_of(run.key, "look", 0))
        verdicts = responder.verify(rollout, [p for p in problems for _ in range(2)])
        ppo = run.experiment.stages[2]
        filled = fill_columns(run, ppo, {}, rollout, verdicts)
        unpaid = fill_columns(run, dataclasses.replace(ppo, streams=ppo.streams[:1]), {}, rollout, verdicts)
        assert run.outcome_model is not None and unpaid.promise is None
        return jax.device_get((rollout, filled.promise, run.outcome_model.rank(rollout), run.outcome_model.params))

    rollout, promise, rank, params = go(whole, look=look)
    saved = state_of(whole, "1_outcome_model", 4)
    kernel = saved["['params']['outcome']['heads']['out']['kernel']"]
    np.testing.assert_array_equal(params["heads"]["out"]["kernel"], kernel)
    model = OutcomeModel(experiment().model, len(params["trunk"]["embed"]["embedding"]))
    logits = jax.jit(model.logits)
    for row in range(len(rollout.tokens)):
        shown, chosen = rollout.prompts.mask[row], rollout.mask[row]
        tokens = np.concatenate([rollout.prompts.tokens[row][shown], rollout.tokens[row][chosen]])
        padded = np.zeros((1, 40), np.int32)
        padded[0, : len(tokens)] = tokens
        said = np.asarray(logits(params, padded, np.arange(40)[None] < len(tokens)))[0]
        expected = 1 / (1 + np.exp(-said[shown.sum() : len(tokens)]))
        np.testing.assert_allclose(promise[row][chosen], expected, rtol=1e-4)
        assert not promise[row][~chosen].any()
        np.testing.assert_allclose(rank[row], expected[-1], rtol=1e-4)


def test_an_outcome_model_counts_only_once_it_is_finished(whole, tmp_path):
    unfinished = shutil.copytree(whole, tmp_path / "run")
    assert newest_finished(experiment(), unfinished) == 1
    shutil.rmtree(unfinished / "checkpoints" / "1_outcome_model" / "4")
    assert newest_finished(experiment(), unfinished) is None
    assert go(unfinished, look=lambda run: run.outcome_model) is None


def test_a_stage_that_is_taken_over_brings_its_outcome_model(whole, tmp_path, monkeypatch):
    for last in (2, 1):  # PPO is common too, or only what comes before it
        if last == 1:
            changed = experiment().stages[2]
            monkeypatch.setitem(globals(), "experiment", functools.partial(_with_last, experiment, changed))
        workdir = tmp_path / str(last)
        (workdir / "checkpoints").mkdir(parents=True)
        shutil.copy(whole / train.TOKENIZER, workdir / train.TOKENIZER)
        shutil.copytree(whole / "checkpoints", tmp_path / f"theirs {last}" / "checkpoints")
        theirs = tmp_path / f"theirs {last}"
        for file in FILES:
            (theirs / file).parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(whole / file, theirs / file)
        loaded = dataclasses.make_dataclass("Loaded", ["experiment"])(_original())
        monkeypatch.setattr(reuse, "load_from_workdir", lambda folder, loaded=loaded: loaded)

        def look(run: Run, theirs=theirs):
            reuse.adopt(run, theirs)
            assert run.outcome_model is not None
            return jax.device_get(run.outcome_model.params)

        params = go(workdir, look=look)
        saved = state_of(whole, "1_outcome_model", 4)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            np.testing.assert_array_equal(leaf, saved["['params']['outcome']" + jax.tree_util.keystr(path)])
        assert rows_of(workdir, FILES[3]) == rows_of(whole, FILES[3])
        if last == 2:
            ours, trained = (learned(state_of(folder, "2_ppo", 2)) for folder in (workdir, whole))
            assert ours.keys() == trained.keys() and any("'value'" in path for path in ours)
            for path, leaf in trained.items():
                np.testing.assert_array_equal(ours[path], leaf, err_msg=path)


def learned(state):
    """The parameters of a state: policy and critics."""
    return {path: leaf for path, leaf in state.items() if path.startswith("['params']")}


_original = experiment


def _with_last(make, last, **changes):
    made = make(**changes)
    return dataclasses.replace(made, stages=(*made.stages[:2], dataclasses.replace(last, clip=0.1)))


# ---- refusals ----


def test_what_an_outcome_model_promises_is_paid_for_only_after_a_stage_that_trains_one():
    asked = experiment()
    sft, outcome, ppo = asked.stages
    for stages in ((sft, ppo), (sft, ppo, outcome)):
        with pytest.raises(UserError, match="Stage 'ppo' pays for what an outcome model promises, but no stage before"):
            dataclasses.replace(asked, stages=stages)
    inside = Stream("exploration", rewards.Finished(PromiseSteps()))
    with pytest.raises(UserError, match="'ppo' pays for what an outcome model promises"):
        dataclasses.replace(asked, stages=(sft, dataclasses.replace(ppo, streams=(ppo.streams[0], inside))))


def test_responses_that_outgrow_the_context_are_refused():
    with pytest.raises(UserError, match=r"stage 'outcome_model' may reach 16 \+ 150 tokens"):
        apply_overrides(experiment(), ["stages.1.sampling.max_response=150"])


# ---- parts ----


def draw(question: str, verdict: str, sample: int = 0) -> Draw:
    return Draw(0, sample, question, (5, 6), "text", 2, "eos", verdict)


def test_it_asks_problems_that_no_stage_before_it_has_asked(open_debug, monkeypatch):
    """Else the policy would answer what it has learned, and the model would be judged by that."""
    asked = []
    monkeypatch.setattr(loop, "draw_responses", lambda *arguments, **options: asked.extend(arguments[3]) or 1 / 0)
    sft, _, ppo = experiment().stages
    ppo = dataclasses.replace(ppo, streams=ppo.streams[:1])
    with open_debug(stages=(sft, ppo, OUTCOME), evals=()) as run:
        state = TrainState(np.asarray(0), {"policy": ()}, (), (), (), np.asarray(0), np.asarray(0))
        stage = StageRun(run, 2, OUTCOME, state, log_every=1, save_every=1)
        with pytest.raises(ZeroDivisionError):
            loop.write_lessons(stage, OUTCOME)
    first = ppo.num_steps * ppo.prompts_per_step
    assert [problem.number for problem in asked] == list(range(first, first + OUTCOME.num_problems))


def test_no_question_is_on_both_sides_and_unknown_verdicts_are_on_neither():
    draws = [
        draw(f"{i % 40} 2 = 3\n", verdict, sample)
        for i in range(80)
        for sample, verdict in enumerate(("correct", "wrong", "unknown"))
    ]
    learned, heldout = loop.split(draws, 0.3)
    assert len(learned) + len(heldout) == 160
    assert not {d.question for d in learned} & {d.question for d in heldout}
    assert {d.verdict for d in (*learned, *heldout)} == {"correct", "wrong"}
    assert loop.split(draws, 0.3) == (learned, heldout)
    assert 0.1 < len(heldout) / 160 < 0.5


@pytest.mark.parametrize(
    ("draws", "share", "missing"),
    [
        ([draw("1 2 = 3\n", "correct")], 1e-9, "to judge the outcome model by"),
        ([draw("1 2 = 3\n", "correct")], 1 - 1e-9, "to learn from"),
        ([draw("1 2 = 3\n", "unknown")] * 4, 0.5, "to learn from"),
    ],
)
def test_a_side_without_responses_is_one_clear_sentence(draws, share, missing):
    with pytest.raises(UserError, match=f"none is left {missing}; raise num_problems, or move heldout_share"):
        loop.split(draws, share)


def test_every_token_is_labelled_by_its_own_response(run):
    rng = np.random.default_rng(0)
    draws = [
        Draw(
            i, 0, f"{i} 2 = 3\n", tuple(rng.integers(3, 90, size=rng.integers(1, 20)).tolist()), "", 0, "eos",
            "correct" if i % 3 else "wrong",
        )
        for i in range(20)
    ]  # fmt: skip
    batch = loop.pack_judged(run, OUTCOME, draws)
    assert batch.tokens.shape[1] == run.experiment.max_prompt + SAMPLING.max_response
    found = []
    for tokens, segments, mask, correct in zip(*batch, strict=True):
        for number in range(1, segments.max() + 1):
            own = segments == number
            assert len(set(correct[own].tolist())) == 1
            found.append((tuple(tokens[own & mask].tolist()), bool(correct[own][0])))
    assert found == [(d.tokens, d.verdict == "correct") for d in draws]
    assert len(batch.tokens) < len(draws)


def test_a_calibration_is_made_of_the_predictions_it_is_given():
    rng = np.random.default_rng(1)
    said, true = rng.uniform(size=50), rng.uniform(size=50) < 0.4
    record = loop.calibrate("outcome_model", 3, "end", said, true, 5)
    assert (record.predictions, record.correct) == (50, pytest.approx(true.mean()))
    assert record.cross_entropy == cross_entropy(said, true) and record.auc == area_under_curve(said, true)
    assert len(record.counts) == 5 and sum(record.counts) == 50


def test_the_report_shows_the_outcome_models_worth(whole):
    assert {(c.stage, c.at) for c in load_run(whole).calibrations} == {
        ("outcome_model", "end"),
        ("outcome_model", "all"),
    }


# ---- every field of the config counts ----


def observed(run: Run, config: outcome_model.Config) -> dict[str, object]:
    """What a config decides, as values that can be compared."""
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((config.batch_size, *x.shape[1:]), x.dtype), _batch(run))
    state = jax.eval_shape(functools.partial(outcome_model.init_state, config), run.init_params())
    model = OutcomeModel(run.model.config, run.model.vocab_size)
    update = outcome_model.make_update_fn(model, config).lower(state, batch).as_text()
    places = [(p.number, k) for p in run.experiment.problems.problems("train", 0, config.num_problems)
              for k in range(config.samples_per_prompt)]  # fmt: skip
    split = zlib.crc32(b"x") / 2**32 < config.heldout_share
    return {
        "update": update, "places": places, "responder": (config.sampling, config.draw_size), "held": split,
        "steps": config.num_steps, "looks": [s for s in range(1, 401) if s % config.validate_every == 0],
        "bins": len(loop.calibrate("s", 0, "end", np.ones(1), np.ones(1, bool), config.bins).counts),
        "patience": config.max_bad_steps,
    }  # fmt: skip


def _batch(run: Run):
    return loop.pack_judged(run, OUTCOME, [draw("1 2 = 3\n", "correct")])


def test_no_field_of_the_config_is_ignored(run):
    changes = {
        "num_problems": 32, "samples_per_prompt": 4, "sampling": SamplingConfig(max_response=32), "draw_size": 32,
        "heldout_share": 0.99, "num_steps": 8, "batch_size": 16, "micro_batches": 2,
        "optimizer": dataclasses.replace(OUTCOME.optimizer, weight_decay=0.5), "validate_every": 3, "bins": 4,
        "max_bad_steps": 2,
    }  # fmt: skip
    assert set(changes) == {field.name for field in dataclasses.fields(OUTCOME)}
    before = observed(run, OUTCOME)
    for name, value in changes.items():
        assert observed(run, dataclasses.replace(OUTCOME, **{name: value})) != before, name
