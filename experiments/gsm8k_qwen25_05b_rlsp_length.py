"""RLSP on GSM8K with Qwen2.5-0.5B-Instruct on one GPU: adapters, and pay for length beside the outcome (Eq. 1).

R = 0.8 · 1[correct] − 0.2 · C/|o|. The paper's C of 1000 meets responses of about 900 tokens; responses here have some
200, and C = 250 begins near the same place. A response that is cut off earns as little as one of 250 tokens does.
Nothing here was tuned yet.

Data:      GSM8K, which `tensorflow-datasets` downloads; or `--set problems.folder=…`, a folder with the published
           train.jsonl and test.jsonl
Paper:     On the Emergence of Thinking in LLMs I (2502.06773), on one GPU
Command:   rlsp train experiments/gsm8k_qwen25_05b_rlsp_length.py --workdir runs/gsm8k_qwen25_05b_rlsp_length
Hardware:  1 × L4, 24 GB each
Published: nothing at this size
Expect:    not yet run at this size
"""

from rlsp_jax import checkpoints, data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import ppo
from rlsp_jax.algorithms.combination import Coupled
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.rewards import rlsp
from rlsp_jax.schedules import Constant
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment

SOURCE = "Qwen/Qwen2.5-0.5B-Instruct"
SAMPLING = SamplingConfig(max_response=640, temperature=1.0)
LENGTH = rewards.Finished(rewards.HyperbolicLength(scale=250.0), truncated=-1.0)


def get_config() -> Experiment:
    return Experiment(
        name="gsm8k_qwen25_05b_rlsp_length",
        seed=0,
        # ---- who learns ----
        model=models.qwen25_05b(
            value_heads=("total",),
            value_trunk="separate",  # adapters of the policy's own base
            max_length=1024,
            remat="full",
            lora=models.Lora(rank=32, alpha=64.0),
            param_dtype="bfloat16",
        ),
        weights=checkpoints.Pretrained(SOURCE),
        tokenizer=data.PretrainedTokenizer(SOURCE),
        prompts=data.Chat(after="\nPut the final answer in \\boxed{}."),
        mesh=MeshConfig(data=1),
        max_prompt=384,
        # ---- on what ----
        problems=data.GSM8K(),
        checker=rewards.MathChecker(),
        verifier=verifiers.Math(),
        stages=(
            ppo.Config(
                num_steps=200,
                prompts_per_step=64,
                samples_per_prompt=2,
                sampling=SAMPLING,
                # ---- paid how ----
                streams=rlsp.paper(exploration=LENGTH),
                combination=Coupled(lam=0.95, normalization=rewards.Whiten(), clip=10.0),
                kl=ppo.KLReward(weight=Constant(0.01)),
                minibatch_size=32,
                micro_batches=8,
                value_warmup_steps=4,
                optimizer=AdamW(Constant(2e-5)),
                value_optimizer=AdamW(Constant(1e-4)),
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("gsm8k", problems=512, samples=4, sampling=SAMPLING, batch_size=64),
            evaluation.Eval("progress", every=20, problems=128, samples=0, sampling=SAMPLING, batch_size=64),
        ),
    )
