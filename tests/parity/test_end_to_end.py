"""A checkpoint of transformers goes in, learns from GSM8K by SFT and PPO, and comes out as one that transformers loads.

`RLSP_GSM8K` names the folder with `gsm8k_train.jsonl` and `gsm8k_test.jsonl`; without it they are looked for beside the
repository.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from rlsp_jax.records import read_json, read_rows
from tests.data import published

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's

ROOT = Path(__file__).parent.parent.parent
DATA = Path(os.environ.get("RLSP_GSM8K", ROOT.parent / "shared" / "data"))
EXPERIMENT = Path(__file__).parent / "gsm8k_small.py"
VOCAB = 1536  # rows of the embedding; the tokenizer has fewer tokens, as with published ones

CONFIG = dict(
    vocab_size=VOCAB,
    hidden_size=48,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=1024,
    rms_norm_eps=1e-6,
    rope_theta=1_000_000.0,
    tie_word_embeddings=True,
)


@pytest.fixture(scope="module")
def gsm8k(tmp_path_factory) -> Path:
    if not (DATA / "gsm8k_train.jsonl").is_file():
        pytest.skip(f"there is no {DATA / 'gsm8k_train.jsonl'}; name its folder in RLSP_GSM8K")
    folder = tmp_path_factory.mktemp("gsm8k")
    for part in ("train", "test"):
        rows = map(json.loads, (DATA / f"gsm8k_{part}.jsonl").read_text().split("\n")[:-1])
        published_rows = ({"question": row["problem"], "answer": row["solution"]} for row in rows)
        (folder / f"{part}.jsonl").write_text("\n".join(map(json.dumps, published_rows)))
    return folder


@pytest.fixture(scope="module")
def checkpoint(gsm8k, tmp_path_factory) -> Path:
    """Qwen2.5's layout with weights drawn at random, and a tokenizer of its kind that has read GSM8K."""
    folder = tmp_path_factory.mktemp("checkpoint")
    lines = (gsm8k / "train.jsonl").read_text().splitlines()[:1000]
    texts = [text for line in lines for text in json.loads(line).values() if isinstance(text, str)]
    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(**CONFIG, bos_token_id=None, eos_token_id=None)).save_pretrained(folder)
    return published.qwen(folder, size=1500, learned_from=texts)


def run(*command: object) -> None:
    """With the devices that there are, and not those that the tests make believe."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rlsp(*arguments: object) -> None:
    run("-m", "rlsp_jax", *arguments)


def test_a_checkpoint_learns_and_is_one_that_transformers_loads(checkpoint, gsm8k, tmp_path):
    imported, workdir, exported = tmp_path / "imported", tmp_path / "run", tmp_path / "exported"
    rlsp("convert", "import", checkpoint, "--out", imported)
    changes = [
        f"weights.source={imported}",
        f"tokenizer.source={checkpoint}",
        f"problems.folder={gsm8k}",
        f"stages.sft.demonstrations.source.folder={gsm8k}",
    ]
    rlsp("train", EXPERIMENT, "--workdir", workdir, *(word for change in changes for word in ("--set", change)))
    summary = read_json(workdir / "summary.json")
    assert [stage["stage"] for stage in summary["stages"]] == ["sft", "ppo"]
    assert [stage["steps"] for stage in summary["stages"]] == [20, 5]
    rows = list(read_rows(workdir / "metrics.jsonl"))
    losses = [row["sft/loss"] for row in rows if "sft/loss" in row]
    assert losses[-1] < losses[0] - 0.5  # nats: something was learned
    gaps = [row["policy/logp_gap"] for row in rows if "policy/logp_gap" in row]
    assert len(gaps) == 5 and max(gaps) < 1e-4  # sampler and learner agree on what was drawn
    assert rows[-1]["policy/kl_reference"] > 1e-3  # PPO has moved the policy from where SFT left it
    evaluated = [row["stage"] for row in read_rows(workdir / "evals" / "gsm8k.jsonl") if row["level"] == "all"]
    assert evaluated == ["sft", "ppo"]

    rlsp("convert", "export", workdir, "--out", exported)
    theirs = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32)
    before = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(exported)
    assert theirs.config.model_type == "qwen2"
    messages = [{"role": "user", "content": "Natalia sold clips to 48 of her friends. How many?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits, old = theirs(ids).logits.numpy(), before(ids).logits.numpy()
    assert np.abs(logits - old).max() > 1e-3 * np.abs(old).max()  # what comes out is not what went in
    np.save(tmp_path / "ids.npy", ids.numpy())
    run(Path(__file__).parent / "policy_logits.py", workdir, tmp_path / "ids.npy", tmp_path / "ours.npy")
    ours = np.load(tmp_path / "ours.npy")
    np.testing.assert_allclose(ours, logits, atol=2e-5 * np.abs(logits).max(), rtol=0)
