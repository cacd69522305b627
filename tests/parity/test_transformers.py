"""What transformers saves, we compute alike and write back the same; what we write, it loads and computes alike."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import torch
import transformers

from rlsp_jax.checkpoints import export_policy
from rlsp_jax.checkpoints.model_json import family_of, read_model, to_json
from rlsp_jax.models import LinearScaling, Llama3Scaling, nano
from tests.checkpoints.published import close, identical, measure, one_device, opened, tensors
from tests.fixtures.make_fixtures import draw_tokens, load, save
from tests.fixtures.make_fixtures import measure as measure_theirs
from tests.models.builders import VOCAB, build
from tests.models.test_presets import PUBLISHED
from tests.parity.conftest import SEED
from tests.parity.draws import FAMILIES, draw

DRAWS = 2  # models of each family, others in every run


@pytest.fixture(scope="module", params=[(family, i) for family in FAMILIES for i in range(DRAWS)], ids=str)
def drawn(request, tmp_path_factory):
    """A model drawn at random: the folder it was saved in, the model, and how it is to be read."""
    family, number = request.param
    drawn = draw(family, number, SEED)
    folder = tmp_path_factory.mktemp("drawn")
    print(drawn.config)
    save(drawn.config, folder, SEED + number, drawn.max_shard_size)
    assert read_model(folder)[0].name == family
    return folder, load(folder), drawn


def test_logits_continuations_and_gradients_are_alike(drawn, tmp_path):
    folder, theirs, how = drawn
    tokens, prompts = draw_tokens(SEED, how.config.vocab_size)
    expected = measure_theirs(theirs, tokens, prompts)
    model, policy = opened(folder, one_device(), scan_layers=how.scan_layers)
    actual = measure(model, policy, tokens, prompts, tmp_path, folder)
    assert close(actual["logits"], expected["logits"], 2e-5)
    gradients = [name for name in expected if name.startswith("gradient/")]
    assert [name for name in gradients if not close(actual[name], expected[name], 1e-4)] == []
    assert set(tensors(tmp_path)) == {name.removeprefix("gradient/") for name in gradients}
    for prompt, ours, wanted in zip(prompts, actual["continued"], expected["continued"], strict=True):
        assert_alike_up_to_a_tie(theirs, prompt, ours, wanted)


def assert_alike_up_to_a_tie(model, prompt, ours, theirs) -> None:
    """The same tokens, or the same up to a place where two are as likely but for rounding, so that either is right."""
    if (ours == theirs).all():
        return
    place = int(np.argmax(ours != theirs))
    before = torch.from_numpy(np.concatenate([prompt, theirs[:place]]))[None].long()
    with torch.no_grad():
        logits = model(before).logits[0, -1]
    assert abs(float(logits[ours[place]] - logits.max())) < 2e-5 * float(logits.abs().max())


def test_what_is_read_and_written_back_is_the_same_for_transformers(drawn, tmp_path):
    folder, theirs, how = drawn
    model, policy = opened(folder, one_device(), scan_layers=how.scan_layers)
    export_policy(tmp_path, model.config, policy, like=folder)
    assert identical(tensors(tmp_path), tensors(folder))
    loaded = load(tmp_path)
    assert type(loaded) is type(theirs)
    ours, wanted = loaded.state_dict(), theirs.state_dict()
    assert ours.keys() == wanted.keys() and all(torch.equal(ours[name], wanted[name]) for name in wanted)
    tokens = torch.from_numpy(draw_tokens(SEED, how.config.vocab_size)[0]).long()
    assert torch.equal(loaded(tokens).logits, theirs(tokens).logits)


OWN = {
    "Llama": nano(rope_scaling=Llama3Scaling(original_length=16), rope_theta=300.0, tie_embeddings=False),
    "Llama, slowed down": nano(rope_scaling=LinearScaling(3.0), norm_eps=1e-5),
    "Qwen2.5": nano(qkv_bias=True, rope_theta=1e6),
    "Qwen3": nano(qk_norm=True, head_dim=12, scan_layers=True, tie_embeddings=False),
    "GLM-4": nano(qkv_bias=True, rope_fraction=0.5, num_kv_heads=1),
}


@pytest.mark.parametrize("name", OWN)
def test_a_model_of_our_own_is_read_by_transformers(name, tmp_path):
    model, params = build(OWN[name], seed=SEED % 2**31)
    export_policy(tmp_path, model.config, params["policy"])
    tokens, _ = draw_tokens(SEED, VOCAB)
    hidden = jax.jit(model.hidden)(params["policy"], jax.numpy.asarray(tokens), jax.numpy.ones(tokens.shape, int))
    logits = np.asarray(hidden @ model.head(params["policy"]))
    with torch.no_grad():
        expected = load(tmp_path)(torch.from_numpy(tokens).long()).logits.numpy()
    assert close(logits, expected, 2e-5)


@pytest.mark.parametrize("preset", PUBLISHED, ids=lambda preset: preset.__name__)
def test_the_published_numbers_of_parameters_are_those_of_transformers(preset):
    """Its model of the same config.json, without memory; a tied head counts once."""
    config = preset()
    values = json.loads(json.dumps(to_json(family_of(config), config)))
    kind = transformers.CONFIG_MAPPING[values["model_type"]]
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(kind.from_dict(values))
    model.tie_weights()
    assert sum(weight.numel() for weight in model.parameters()) == PUBLISHED[preset]
    rope = getattr(config.rope_scaling, "factor", None)
    assert model.config.rope_parameters["rope_theta"] == config.rope_theta
    assert model.config.rope_parameters.get("factor") == rope
    assert dataclasses.replace(config, scan_layers=False).num_layers == len(model.model.layers)
