"""A whole run whose last policy writes a label before each of its steps: how it is drawn, asked and ranked."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from rlsp_jax import evaluation
from rlsp_jax.algorithms import outcome_model
from rlsp_jax.algorithms.return_conditioned import Config, StepPromises
from rlsp_jax.common.errors import UserError
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.records import read_rows
from rlsp_jax.sharding import make_mesh
from rlsp_jax.training import Experiment, load_experiment, train
from rlsp_jax.training.checks import check_labels
from rlsp_jax.training.evaluate import evaluate_run
from rlsp_jax.training.progress import Display
from rlsp_jax.training.promise import without
from tests.training.conftest import DEBUG

SAMPLING = SamplingConfig(max_response=24)
LABELS = StepPromises(bad="answer:", good="!")  # a piece that a policy which has hardly learned anything often writes


def experiment() -> Experiment:
    """SFT, an outcome model, return-conditioned learning by its promises; an eval at the end of each."""
    base = load_experiment(DEBUG).experiment
    small = {"num_problems": 24, "samples_per_prompt": 2, "sampling": SAMPLING, "draw_size": 16, "batch_size": 8}
    stages = (
        dataclasses.replace(base.stages[0], num_steps=2, num_demonstrations=100),
        outcome_model.Config(**small, heldout_share=0.3, num_steps=2),
        Config(**small, labels=LABELS, num_steps=2, row_length=64),
    )
    evals = (evaluation.Eval("heldout", problems=16, samples=2, sampling=SAMPLING, batch_size=16),)
    return dataclasses.replace(base, stages=stages, evals=evals)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run at its end."""
    asked = experiment()
    mesh, folder = make_mesh(asked.mesh), tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "TOKENIZER_TEXTS", 200)
        display = Display(Console(), enabled=False)
        with jax.set_mesh(mesh), train.open_run(asked, folder, mesh, display) as run:
            train.run_stages(run)
            yield run


def responses(run, stage) -> list[str]:
    rows = read_rows(run.workdir / "samples" / "heldout.jsonl")
    return [row["response"] for row in rows if row["stage"] == stage]


def test_what_is_labelled_was_drawn_by_the_policy_before_and_read_by_the_outcome_model(run):
    draws = list(read_rows(run.workdir / "draws" / "return_conditioned" / "0.jsonl"))
    assert len(draws) == 48 and all(len(draw["promise"]) == len(draw["tokens"]) for draw in draws)
    assert LABELS.bad in "".join(draw["response"] for draw in draws)  # it was kept from nothing
    (first, *_) = [r for r in read_rows(run.workdir / "metrics.jsonl") if r["stage"] == "return_conditioned"]
    assert first["draws/kept"] == 48


def test_the_policy_is_asked_without_the_bad_label_and_policies_before_it_are_not(run):
    assert run.sampling(0, SAMPLING) == run.sampling(1, SAMPLING) == SAMPLING
    (bad,) = run.sampling(2, SAMPLING).suppress
    assert run.tokenizer.encode(LABELS.bad) == [bad] and run.prompt_suffix(2) == ""
    for stage, kept_from in [("sft", False), ("outcome_model", False), ("return_conditioned", True)]:
        said = "".join(responses(run, stage))
        assert len(said) > 200 and (LABELS.bad not in said) == kept_from


def test_rlsp_evaluate_asks_as_the_run_did(run):
    recorded = [row for row in read_rows(run.workdir / "evals" / "heldout.jsonl") if row["level"] == "all"][-1]
    found = evaluate_run(run, run.experiment.evals[0])["final"]
    assert recorded["stage"] == found["stage"] == "return_conditioned" and "2" in found["rerank_at"]
    spent = ("seconds", "training_tokens")  # by this process too
    one, other = ({k: v for k, v in row.items() if k not in spent} for row in (found, recorded))
    assert one == other


def test_the_outcome_model_ranks_a_labelled_response_as_it_does_without_labels(run):
    asked = run.responder(SAMPLING, 16)
    problems = run.experiment.problems.heldout(16)
    plain = asked.generate(run.init_params()["policy"], asked.prompts(problems), run.key)
    mark = run.marks(2)[-1]
    plain = plain._replace(mask=plain.mask & (plain.tokens != mark) & (jnp.arange(24) < 12))  # room for labels
    plain = without(plain, (mark,))
    spread = lambda x: jnp.repeat(x, 2, axis=1)[:, :24]  # noqa: E731
    even = jnp.arange(24) % 2 == 0
    labelled = plain._replace(tokens=jnp.where(even, mark, spread(plain.tokens)), mask=spread(plain.mask))
    ranks = [np.asarray(run.outcome_model.rank(plain)), np.asarray(run.outcome_model.rank(labelled, unread=(mark,)))]
    np.testing.assert_allclose(ranks[1], ranks[0], atol=1e-6)
    assert np.abs(np.asarray(run.outcome_model.rank(labelled)) - ranks[0]).max() > 1e-4


def test_without_some_tokens_the_others_move_up(run):
    tokens = jnp.asarray([[5, 7, 6, 7, 9, 0], [7, 7, 0, 0, 0, 0]], jnp.int32)
    mask = jnp.asarray([[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]], bool)
    asked = run.responder(SAMPLING, 16)
    like = asked.generate(run.init_params()["policy"], asked.prompts(run.experiment.problems.heldout(16)), run.key)
    kept = without(like._replace(tokens=tokens, mask=mask, logprobs=-1.0 * tokens, entropies=2.0 * tokens), (7,))
    rows = [np.asarray(row)[np.asarray(real)] for row, real in zip(kept.tokens, kept.mask, strict=True)]
    assert [row.tolist() for row in rows] == [[5, 6, 9], []] and kept.mask[0].tolist() == [True] * 3 + [False] * 3
    np.testing.assert_array_equal(kept.logprobs, -1.0 * kept.tokens)
    np.testing.assert_array_equal(kept.entropies, 2.0 * kept.tokens)


def test_a_label_of_several_tokens_is_one_clear_sentence(run):
    *before, last = run.experiment.stages
    check_labels(run.experiment, run.tokenizer)
    longer = dataclasses.replace(last, labels=StepPromises(bad="no good!", good="!"))
    with pytest.raises(UserError, match=r"^The label 'no good!' of stage 'return_conditioned' is \d tokens of this"):
        check_labels(dataclasses.replace(run.experiment, stages=(*before, longer)), run.tokenizer)


def test_labels_of_steps_need_an_outcome_model_before_them():
    with pytest.raises(UserError, match="'return_conditioned' labels by what an outcome model promises, but no stage"):
        dataclasses.replace(experiment(), stages=experiment().stages[::2])
