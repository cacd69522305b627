"""Adapters of ours, loaded by PEFT onto transformers' model, compute what they do here; and PEFT's do here."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch

from rlsp_jax.checkpoints import export_adapter, export_policy, import_adapter
from rlsp_jax.models import Lora, nano
from tests.checkpoints.published import close, one_device
from tests.fixtures.make_fixtures import draw_tokens, load
from tests.models.builders import VOCAB, build
from tests.parity.conftest import SEED

# PEFT asks transformers by an old name
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

RANK = 3
EVERYWHERE = Lora(RANK, alpha=7.0)
HEADS = Lora(RANK, alpha=2.0, targets=("query", "key", "value", "out"), rank_stabilized=True)
MODELS = {
    "Llama": nano(lora=EVERYWHERE, tie_embeddings=False, head_dim=6),
    "Qwen2.5": nano(lora=dataclasses.replace(EVERYWHERE, targets=("query", "down")), qkv_bias=True),
    "Qwen3": nano(lora=EVERYWHERE, qk_norm=True, head_dim=12, scan_layers=True),
    "GLM-4": nano(lora=HEADS, qkv_bias=True, rope_fraction=0.5, num_kv_heads=1),
}


def logits(model, policy, tokens):
    segments = jnp.ones(tokens.shape, jnp.int32)
    return np.asarray(jax.jit(lambda p: model.hidden(p, jnp.asarray(tokens), segments) @ model.head(p))(policy))


def theirs(model, tokens):
    with torch.no_grad():
        return model(torch.from_numpy(tokens).long()).logits.numpy()


@pytest.fixture(params=MODELS)
def made(request, tmp_path):
    """A model of ours with random adapters, and the folder of its base as transformers reads it."""
    model, params = build(MODELS[request.param], seed=SEED)
    export_policy(tmp_path, model.bare.config, params["policy"]["base"])
    return model, params["policy"], tmp_path


def test_peft_computes_what_our_adapters_do(made, tmp_path_factory):
    model, policy, base = made
    folder = tmp_path_factory.mktemp("adapter")
    export_adapter(folder, model.config, policy["lora"], base=str(base))
    adapted = peft.PeftModel.from_pretrained(load(base), folder)
    tokens, _ = draw_tokens(SEED, VOCAB)
    expected = theirs(adapted, tokens)
    assert close(logits(model, policy, tokens), expected, 2e-5)
    assert not close(logits(model.bare, policy["base"], tokens), expected, 1e-2)


def test_adapters_that_peft_saves_compute_the_same_here(made, tmp_path_factory):
    model, policy, base = made
    folder = tmp_path_factory.mktemp("adapter")
    lora = model.config.lora
    export_adapter(folder, model.config, policy["lora"], base=str(base))
    names = peft.PeftConfig.from_pretrained(folder).target_modules
    how = peft.LoraConfig(
        r=RANK, lora_alpha=lora.alpha, use_rslora=lora.rank_stabilized, target_modules=list(names),
        task_type="CAUSAL_LM", init_lora_weights=False,
    )  # fmt: skip
    torch.manual_seed(SEED)
    adapted = peft.get_peft_model(load(base), how)
    saved = tmp_path_factory.mktemp("saved")
    adapted.save_pretrained(saved)
    tokens, _ = draw_tokens(SEED, VOCAB)
    adapters = import_adapter(saved, model, one_device())
    assert close(
        logits(model, {"base": policy["base"], "lora": adapters}, tokens), theirs(adapted.eval(), tokens), 2e-5
    )
