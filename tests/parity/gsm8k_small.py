"""What `test_end_to_end.py` trains: `experiments/gsm8k_qwen25_05b_sft_ppo.py` on a model of two layers."""

import dataclasses
from pathlib import Path

import rlsp_jax
from rlsp_jax import checkpoints, data, evaluation, models, rewards
from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.rewards import rlsp
from rlsp_jax.schedules import Constant, Cosine
from rlsp_jax.training import Experiment, load_experiment

# Not by the place of this file: a workdir holds a copy of it.
LARGE = Path(rlsp_jax.__file__).parent.parent / "experiments" / "gsm8k_qwen25_05b_sft_ppo.py"
SAMPLING = SamplingConfig(max_response=48)
MODEL = models.ModelConfig(
    num_layers=2,
    embed_dim=48,
    num_heads=6,
    num_kv_heads=2,
    head_dim=8,
    mlp_dim=96,
    vocab_size=1536,
    max_length=640,
    rope_theta=1_000_000.0,
    qkv_bias=True,
    scan_layers=True,  # as the presets
    value_heads=("total",),
    value_trunk="separate",
)


def get_config() -> Experiment:
    base = load_experiment(LARGE).experiment
    imitate, learn = base.stages
    assert isinstance(imitate, sft.Config) and isinstance(learn, ppo.Config)
    return dataclasses.replace(
        base,
        name="gsm8k_small",
        model=MODEL,
        prompts=data.Chat(),
        weights=checkpoints.Pretrained("given by --set"),
        tokenizer=data.PretrainedTokenizer("given by --set"),
        max_prompt=512,
        stages=(
            dataclasses.replace(
                imitate,
                num_demonstrations=200,
                num_steps=20,
                row_length=640,
                optimizer=AdamW(Cosine(1e-2, 20, warmup_steps=2)),
            ),
            dataclasses.replace(
                learn,
                num_steps=5,
                prompts_per_step=8,
                sampling=SAMPLING,
                streams=rlsp.paper(exploration=rewards.HyperbolicLength(scale=20.0)),  # right answers are too rare
                minibatch_size=8,
                micro_batches=1,
                value_warmup_steps=1,
                optimizer=AdamW(Constant(1e-3)),
                value_optimizer=AdamW(Constant(1e-3)),
            ),
        ),
        evals=(evaluation.Eval("gsm8k", problems=16, samples=1, sampling=SAMPLING, batch_size=16),),
    )
