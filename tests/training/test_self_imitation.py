"""The loop of stages that imitate their own responses, its draws and its updates scripted; and a whole small run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from rich.console import Console

from rlsp_jax.algorithms.expert_iteration import Config, Patience
from rlsp_jax.algorithms.return_conditioned import Config as Conditioned
from rlsp_jax.algorithms.return_conditioned import Outcomes, Promises
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import SearchTraces
from rlsp_jax.evaluation import Responder
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.records import read_json, read_rows
from rlsp_jax.schedules import Constant
from rlsp_jax.sharding import make_mesh
from rlsp_jax.training import load_experiment, self_imitation, stage, train
from rlsp_jax.training.progress import Display
from rlsp_jax.training.run import Run
from rlsp_jax.training.stages import init_state, train_stage
from rlsp_jax.training.summary import make_summary
from tests.algorithms.draws import make_draw
from tests.training.conftest import DEBUG
from tests.training.test_run import result

EXPERIMENT = load_experiment(DEBUG).experiment
SFT = EXPERIMENT.stages[0]
ITERATE = Config(
    rounds=3, problems_per_round=6, samples_per_prompt=2, sampling=SamplingConfig(max_response=48), draw_size=16,
    keep_per_problem=2, steps_per_round=4, batch_size=8, row_length=160, micro_batches=1,
)  # fmt: skip
CONDITION = Conditioned(
    num_problems=6, samples_per_prompt=2, sampling=SamplingConfig(max_response=48), draw_size=16,
    labels=Outcomes("-\n", "+\n"), num_steps=4, batch_size=8, row_length=160,
)  # fmt: skip


class NoSaver:
    """Forgets at once."""

    def __init__(self, folder):
        pass

    def latest_step(self):
        return None

    def save(self, step, state, progress):
        pass

    def close(self):
        pass


@pytest.fixture
def play(run: Run, monkeypatch):
    """`play(config, accuracies)`: run a stage whose draws and updates are scripted; all that it did, in order.

    Of a round's greedy responses, the share that `accuracies` says is right.
    """
    log, params = [], run.init_params()

    def draw(run, responder, policy, problems, key, file, *, samples=1, greedy=False, oracle=None, abortable=True):
        seen = (responder.rows, responder.sampling, [p.number for p in problems], samples, greedy, file.name)
        log.append((*seen, policy is None, oracle is not None))
        if greedy:
            share = play.accuracies[int(file.stem.split("_")[1])]
            right = [i < share * len(problems) for i in range(len(problems))]
            return [make_draw(p.number, -1, "correct" if r else "wrong") for p, r in zip(problems, right, strict=True)]
        return [
            make_draw(
                problem.number, k, "wrong" if problem.number % 3 == 2 else "correct",
                f"{problem.number}+{k}={problem.number + k}", question=problem.question,
            )
            for problem in problems
            for k in range(samples)
        ]  # fmt: skip

    def make_update_fn(model, config):
        log.append((config.micro_batches, config.optimizer))

        def update(state, rows):
            log.append([bytes(np.asarray(leaf)) for leaf in rows])
            metrics = {"sft/loss": jnp.zeros(())}
            return state._replace(step=state.step + 1, bad_steps=jnp.int32(1)), metrics

        return update

    def play(config, accuracies=()):
        log.clear()
        play.accuracies = accuracies
        run.experiment = dataclasses.replace(EXPERIMENT, stages=(SFT, config), evals=play.evals)
        run._ends.clear()
        before = jax.tree.map(np.asarray, init_state(config, params))
        log.append((jax.tree.structure(before), run.prompt_suffix(1)))
        train_stage(run, 1, params)
        return list(log)

    monkeypatch.setattr(self_imitation, "draw_responses", draw)
    monkeypatch.setattr(self_imitation.sft, "make_update_fn", make_update_fn)
    monkeypatch.setattr(stage, "Saver", NoSaver)
    play.evals = ()
    return play


def draws_of(log):
    return [entry for entry in log if isinstance(entry, tuple) and len(entry) == 8]


CHANGES = {
    Config: {
        "rounds": 2,
        "problems_per_round": 5,
        "samples_per_prompt": 4,
        "sampling": SamplingConfig(max_response=40),
        "draw_size": 8,
        "keep_per_problem": 1,
        "restart": False,
        "stop": Patience(1, 4),
        "steps_per_round": 3,
        "batch_size": 16,
        "row_length": 140,
        "micro_batches": 2,
        "optimizer": AdamW(Constant(1e-3)),
        "max_bad_steps": 1,
    },
    Conditioned: {
        "num_problems": 5,
        "samples_per_prompt": 4,
        "sampling": SamplingConfig(max_response=40),
        "draw_size": 8,
        "labels": Outcomes("bad\n", "good\n"),
        "demonstrations": SearchTraces(),  # without any of them: an error
        "num_demonstrations": 3,  # of nothing: an error
        "num_steps": 3,
        "batch_size": 16,
        "row_length": 140,
        "micro_batches": 2,
        "optimizer": AdamW(Constant(1e-3)),
        "max_bad_steps": 1,
    },
}


@pytest.mark.parametrize("config", [ITERATE, CONDITION], ids=lambda config: config.kind)
def test_every_field_changes_what_a_stage_does_or_is_refused(config, play):
    changes = CHANGES[type(config)]
    assert set(changes) == {field.name for field in dataclasses.fields(config)}
    as_it_is = play(config, [0.5, 0.5, 0.5])
    assert play(config, [0.5, 0.5, 0.5]) == as_it_is
    ignored, refused = [], set()
    for name, value in changes.items():
        try:
            if play(dataclasses.replace(config, **{name: value}), [0.5, 0.5, 0.5]) == as_it_is:
                ignored.append(name)
        except UserError:
            refused.add(name)
    assert ignored == []
    assert refused == {"max_bad_steps", "demonstrations", "num_demonstrations"} & set(changes)


def test_demonstrations_are_imitated_behind_the_best_label_beside_the_draws(play, run):
    config = dataclasses.replace(CONDITION, demonstrations=SearchTraces(), num_demonstrations=3)
    assert play(config) != play(CONDITION)
    shown = self_imitation.labelled_demonstrations(run, config)
    problems = run.experiment.problems.problems("demonstrations", 0, 3)
    assert [question for question, _ in shown] == [f"{problem.question}+\n" for problem in problems]
    texts = [SearchTraces().trace(problem, problem.number) for problem in problems]
    assert [run.tokenizer.decode(ids[:-1]) for _, ids in shown] == texts
    assert {ids[-1] for _, ids in shown} == {run.tokenizer.eos_id}


def test_each_round_draws_the_next_problems_once_and_imitates_all_rounds_so_far(play):
    draws = draws_of(play(ITERATE))
    drawn = [(entry[2], entry[5]) for entry in draws if not entry[6]]  # the others were read
    assert drawn == [(list(range(n * 6, n * 6 + 6)), f"{n}.jsonl") for n in range(3)]
    assert [entry[5] for entry in draws] == ["0.jsonl", "0.jsonl", "1.jsonl", "0.jsonl", "1.jsonl", "2.jsonl"]


@pytest.mark.parametrize(
    ("accuracies", "rounds"), [([0.5, 0.25, 0.5], 2), ([0.25, 0.5, 0.5], 3), ([0.25, 0.5, 0.75], 3)]
)
def test_the_stop_rule_ends_the_stage_at_its_round_everywhere(accuracies, rounds, play, run, monkeypatch):
    """The records, the closing eval, the summary and a process that comes later agree on the last step."""
    evaluated = []

    def evaluator(policy, key, *, stage, step):
        evaluated.append(step)
        return [result("all", stage, step)], []

    monkeypatch.setattr(run, "asked", lambda config, index: evaluator)
    play.evals = EXPERIMENT.evals  # one at the end of stages and one on the way
    log = play(dataclasses.replace(ITERATE, stop=Patience(1, 4)), accuracies)
    steps = rounds * ITERATE.steps_per_round
    assert sum(isinstance(entry, list) for entry in log) == steps
    ways = list(range(0, steps + 1, ITERATE.steps_per_round))
    assert evaluated == sorted([*ways, steps])  # on the way, and at the end
    rows = {row["step"]: row for row in read_rows(run.workdir / "metrics.jsonl")}
    assert max(rows) == steps - 1 and ("stage/stopped" in rows[steps - 1]) == (rounds < 3)
    seen = [rows[n * 4 + 3]["validation/accuracy"] for n in range(rounds)]
    assert seen == accuracies[:rounds]
    summary = make_summary(run)
    assert summary.stages[1].steps == steps and summary.final["step"] == steps
    run._ends.clear()  # as another process begins
    assert run.stage_end(1) == steps
    drawn = sum(row.get("rollout/tokens", 0) for row in rows.values())
    assert summary.stages[1].tokens_generated == summary.tokens_generated == drawn > 0


def test_the_stop_rule_asks_the_problems_behind_all_rounds_which_are_never_drawn_from(play):
    draws = draws_of(play(dataclasses.replace(ITERATE, stop=Patience(3, 4)), [0.5] * 3))
    greedy = [entry for entry in draws if entry[4]]
    assert all(entry[2] == [18, 19, 20, 21] and entry[3] == 1 for entry in greedy) and len(greedy) == 3 + 1 + 2 + 3
    assert all(set(entry[2]) <= set(range(18)) for entry in draws if not entry[4])


def test_labels_stand_in_the_prompts_that_are_imitated_and_asked(play, run):
    play(CONDITION)
    tokenizer = run.tokenizer
    examples = [
        (make_draw(n, 0, verdict, question="1 2 = 3\n"), label)
        for n, (verdict, label) in enumerate([("correct", "+\n"), ("wrong", "-\n")])
    ]
    labelled = CONDITION.examples([[draw for draw, _ in examples]], tokenizer, 144)
    pool = self_imitation.make_pool(tokenizer, labelled, 160, (0,))
    shown = {
        tokenizer.decode(row[(segments == n) & ~mask].tolist())
        for row, segments, mask in zip(*pool, strict=True)
        for n in range(1, segments.max() + 1)
    }
    assert shown == {"1 2 = 3\n+\n", "1 2 = 3\n-\n"}
    asked = run.evaluator(EXPERIMENT.evals[0], run.prompt_suffix(1)).problems
    plain = run.evaluator(EXPERIMENT.evals[0], run.prompt_suffix(0)).problems
    assert [problem.question for problem in asked] == [f"{problem.question}+\n" for problem in plain]
    assert [problem.truth for problem in asked] == [problem.truth for problem in plain]


def test_labels_of_promises_need_an_outcome_model_before_them():
    with pytest.raises(UserError, match="'return_conditioned' labels by what an outcome model promises, but no stage"):
        dataclasses.replace(EXPERIMENT, stages=(SFT, dataclasses.replace(CONDITION, labels=Promises())))


def test_rows_that_could_not_hold_a_response_are_refused():
    for row_length in (63, 161):
        with pytest.raises(UserError, match=rf"has row_length = {row_length}; it must hold .* 64 tokens .* = 160\."):
            dataclasses.replace(EXPERIMENT, stages=(dataclasses.replace(ITERATE, row_length=row_length),))


def test_an_example_too_long_for_a_row_is_one_clear_sentence(run):
    with pytest.raises(
        UserError, match="An example to imitate has 10 tokens with its question, more than row_length = 9"
    ):
        self_imitation.make_pool(run.tokenizer, [("\n", tuple(range(9)))], 9, (0,))


# ---- a whole run -----------------------------------------------------------------------------------


class Crash(Exception):
    """Stands for a power cut."""


def run_small(workdir) -> None:
    """Run two short stages, the second of which draws, to their end, or go on with them."""
    iterate = dataclasses.replace(ITERATE, rounds=2, problems_per_round=16, samples_per_prompt=4, stop=Patience(1, 8))
    stages = (dataclasses.replace(SFT, num_steps=6, num_demonstrations=60), iterate)
    evals = tuple(dataclasses.replace(config, problems=8, batch_size=8) for config in EXPERIMENT.evals)
    experiment = dataclasses.replace(EXPERIMENT, stages=stages, evals=evals)
    mesh, display = make_mesh(experiment.mesh), Display(Console(), enabled=False)
    with jax.set_mesh(mesh), train.open_run(experiment, workdir, mesh, display) as run:
        train.run_stages(run)
        train.write_summary(run)


def crash_at(event: int):
    """A stand-in for a function that dies at its `event`-th call."""
    calls = iter(range(event))

    def wrap(function):
        def wrapped(*arguments, **options):
            if next(calls, None) is None:
                raise Crash
            return function(*arguments, **options)

        return wrapped

    return wrap


def ended(workdir):
    """What a run has come to: its last state, and its records but for times."""
    folder = workdir / "checkpoints" / "1_expert_iteration" / "8" / "state"
    leaves = jax.tree.leaves(ocp.StandardCheckpointer().restore(folder))
    rows = {(row["stage"], row["step"]): row for row in read_rows(workdir / "metrics.jsonl")}
    for row in rows.values():
        del row["seconds"], row["speed/tokens"]
    draws = {file.name: file.read_bytes() for file in (workdir / "draws" / "expert_iteration").iterdir()}
    return (
        [np.asarray(leaf).tobytes() for leaf in leaves],
        rows,
        draws,
        read_json(workdir / "summary.json")["tokens_generated"],
    )


@pytest.fixture(scope="module")
def lenient():
    """Half of all responses are right, and those that were cut off are imitated too: the model ends hardly any."""
    verify = Responder.verify

    def judge(self, rollout, problems):
        right = (rollout.tokens * rollout.mask).sum(axis=1) % 2
        return verify(self, rollout, problems)._replace(outcome=right.astype(jnp.int8))

    def examples(self, rounds):
        return [(draw.question, draw.tokens) for drawn in rounds for draw in drawn if draw.verdict == "correct"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "TOKENIZER_TEXTS", 200)
        patch.setattr(self_imitation, "LOG_EVERY", 1)
        patch.setattr(self_imitation, "SAVE_EVERY", 3)
        patch.setattr(Responder, "verify", judge)
        patch.setattr(Config, "examples", examples)
        yield


@pytest.fixture(scope="module")
def whole(lenient, tmp_path_factory):
    """What a run that was never interrupted comes to."""
    workdir = tmp_path_factory.mktemp("whole")
    run_small(workdir)
    return ended(workdir)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "name", "event", "there"),
    [
        (Responder, "generate", 6, {"0.jsonl"}),  # while round 1 is drawn
        (Responder, "generate", 8, {"0.jsonl"}),  # while round 1 is validated
        (Responder, "generate", 12, {"0.jsonl", "validation_0.jsonl", "1.jsonl"}),  # while round 2 is drawn
        (
            Run,
            "write_metrics",
            8,
            {"0.jsonl", "validation_0.jsonl", "1.jsonl"},
        ),  # in round 2, behind a checkpoint of it
    ],
)
def test_a_stage_that_died_resumes_to_the_same_end_bit_for_bit(
    target, name, event, there, whole, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(target, name, crash_at(event)(getattr(target, name)))
        run_small(tmp_path)
    assert {file.name for file in (tmp_path / "draws" / "expert_iteration").iterdir()} == there
    run_small(tmp_path)
    assert ended(tmp_path) == whole
