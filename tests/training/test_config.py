"""An experiment that cannot work is refused when it is made."""

import dataclasses
from pathlib import Path

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.override import apply_overrides
from rlsp_jax.models import ModelConfig
from rlsp_jax.training import load_experiment

DEBUG = load_experiment(Path(__file__).parent.parent.parent / "experiments" / "debug.py").experiment


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["max_prompt=120"], r"stage 'ppo' may reach 120 \+ 48 tokens .* context of model.max_length = 160"),
        (["evals.0.sampling.max_response=150"], r"eval 'heldout' may reach 16 \+ 150 tokens"),
        (["stages.0.row_length=161"], "'sft' has row_length = 161, more than the model's context of .* = 160"),
        (["model.value_heads=('kl', 'correctness')"], "needs the value heads .*: add 'exploration'"),
        (["evals.1.name=heldout"], "Two evals share a name: heldout, heldout"),
        (["seed=-1"], "seed is -1; it must be 0 or more"),
        (["checkpoint_every=0"], "checkpoint_every is 0; it must be at least 1"),
        (["verifier_workers=0"], "verifier_workers is 0; it must be at least 1"),
        (["max_prompt=0"], "max_prompt is 0; it must be at least 1"),
        (["evals.0.problems=0"], "the problem set is empty"),
        (["stages.0.num_demonstrations=0"], "there is nothing to imitate"),
        (["stages.0.max_bad_steps=0"], "max_bad_steps is 0; it must be at least 1"),
    ],
)
def test_a_contradiction_is_one_sentence(overrides, message):
    with pytest.raises(UserError, match=message) as raised:
        apply_overrides(DEBUG, overrides)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("remat", "ful", "'none', 'full', 'dots'"),
        ("value_trunk", "seperate", "'shared', 'detached', 'separate'"),
        ("dtype", "foo", "'float32', 'bfloat16', 'float16'"),
    ],
)
def test_a_misspelt_choice_of_the_model_is_met_with_those_there_are(field, value, allowed):
    config = ModelConfig()
    object.__setattr__(config, field, value)  # handed to the class, it would meet the type checks of the tests first
    with pytest.raises(UserError, match=f"model.{field} is '{value}'; it must be one of {allowed}"):
        config.__post_init__()


def test_an_experiment_without_stages_is_refused():
    with pytest.raises(UserError, match="has no stages"):
        dataclasses.replace(DEBUG, stages=())


def test_stages_are_named_by_kind_and_numbered_when_a_kind_returns():
    sft, ppo = DEBUG.stages
    assert dataclasses.replace(DEBUG, stages=(sft, ppo, ppo, sft)).stage_names == ("sft", "ppo", "ppo_2", "sft_2")
