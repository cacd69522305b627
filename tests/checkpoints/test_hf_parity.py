"""Checkpoints that transformers has made are read, computed and written back exactly; tests/fixtures holds them."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from rlsp_jax.checkpoints import export_policy
from rlsp_jax.checkpoints.families import FAMILIES
from rlsp_jax.checkpoints.model_json import read_model
from tests.checkpoints.published import all_devices, close, identical, measure, one_device, opened, tensors

FIXTURES = Path(__file__).parent.parent / "fixtures"
CASES = sorted(path.parent.name for path in FIXTURES.glob("*/expected.safetensors"))


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A checkpoint's folder and what transformers makes of it."""
    folder = FIXTURES / request.param
    return folder, load_file(folder / "expected.safetensors")


def prompts(expected) -> list[np.ndarray]:
    return [expected[name] for name in sorted(expected) if name.startswith("prompt/")]


def test_every_family_has_a_checkpoint_and_it_is_said_what_made_it():
    assert {read_model(FIXTURES / name)[0].name for name in CASES} == {family.name for family in FAMILIES}
    assert {"torch", "transformers"} <= set(json.loads((FIXTURES / "made_with.json").read_text()))
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) < 3e6


@pytest.mark.slow
def test_logits_continuations_and_gradients_are_those_of_transformers(case, tmp_path):
    folder, expected = case
    model, policy = opened(folder, one_device())
    actual = measure(model, policy, expected["tokens"], prompts(expected), tmp_path, folder)
    assert close(actual["logits"], expected["logits"], 2e-5)
    np.testing.assert_array_equal(actual["continued"], expected["continued"])
    gradients = [name for name in expected if name.startswith("gradient/")]
    assert len(gradients) > 10 and {f"gradient/{name}" for name in tensors(tmp_path)} == set(gradients)
    assert [name for name in gradients if not close(actual[name], expected[name], 1e-4)] == []


@pytest.mark.parametrize("scan_layers", [False, True])
def test_what_is_read_and_written_back_is_the_same_bit_for_bit(case, scan_layers, tmp_path):
    folder, _ = case
    model, policy = opened(folder, all_devices(), scan_layers=scan_layers)
    export_policy(tmp_path, model.config, policy, like=folder)
    assert identical(tensors(tmp_path), tensors(folder))
    assert read_model(tmp_path) == read_model(folder)


def test_stacked_layers_are_the_layers(case):
    folder, _ = case
    _, apart = opened(folder, all_devices())
    _, stacked = opened(folder, all_devices(), scan_layers=True)
    for i in range(2):
        layer = jax.tree.map(lambda x, i=i: x[i], stacked["blocks"])
        jax.tree.map(np.testing.assert_array_equal, layer, apart[f"block_{i}"])
