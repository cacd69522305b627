"""RLSP on MATH from Llama-3.1-8B-Instruct, paid for length beside the outcome: R = base − C/L with C = 1000.

The reward is the one that the released code computes for this run (`rlsp.code`): 1, 0, or −0.5 without a box, less
1000/L for the L tokens before the first box. `math_llama31_8b_paper_mode.py` pays by the paper's Eq. 1. The policy
begins as the instruct model, without SFT.

Steps are sets of 512 rollouts with 4 updates each: 350 of them are the 1,400 or so updates of the paper's Figure 6.
Problems that the policy solves at its first greedy try are left out before, as in the paper.

Data:      data/math/train.jsonl, MATH's training part, an object a line with problem, solution and level;
           data/math500.jsonl, MATH-500, with problem, answer and level
Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §3 and App. B; the repository's run with C = 1000
Command:   rlsp train experiments/math_llama31_8b_rlsp_length.py --workdir runs/math_llama31_8b_rlsp_length
Hardware:  32 × H100, 80 GB each
Published: response length ≈ 900 → ≈ 3,700 by 100 updates → ≈ 2,000 → ≈ 2,400; no accuracy of this run by itself
Expect:    not yet run at this size
"""

from pathlib import Path

from rlsp_jax import checkpoints, data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import ppo
from rlsp_jax.algorithms.combination import Coupled
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.rewards import rlsp
from rlsp_jax.schedules import Constant, Cosine
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment

SOURCE = "meta-llama/Llama-3.1-8B-Instruct"
SAMPLING = SamplingConfig(max_response=4096, temperature=0.7)
TESTING = SamplingConfig(max_response=8192, temperature=0.7)
STEPS = 350


def get_config() -> Experiment:
    return Experiment(
        name="math_llama31_8b_rlsp_length",
        seed=0,
        # ---- who learns ----
        model=models.llama31_8b(
            value_heads=("total",),
            value_trunk="separate",  # a whole critic, which begins as the policy
            max_length=10_240,  # a prompt and the longest response of the evaluation
            remat="full",
        ),
        weights=checkpoints.Pretrained(SOURCE),
        tokenizer=data.PretrainedTokenizer(SOURCE),
        prompts=data.Chat(before="Problem: "),  # no system message, no request to think
        mesh=MeshConfig(data=1, fsdp=8, tensor=4),
        max_prompt=2048,
        # ---- on what ----
        problems=data.JSONL(train=Path("data/math/train.jsonl"), test=Path("data/math500.jsonl"), max_characters=4000),
        checker=rewards.MathChecker(),
        verifier=verifiers.Math(),
        verifier_workers=8,
        stages=(
            ppo.Config(
                num_steps=STEPS,
                prompts_per_step=512,
                samples_per_prompt=1,
                sampling=SAMPLING,
                select=data.Unsolved(candidates=7_000),
                # ---- paid how ----
                streams=rlsp.code(scale=1000.0),
                combination=Coupled(gamma=1.0, lam=0.95, normalization=rewards.Whiten(), clip=10.0),
                kl=ppo.KLReward(weight=Constant(0.05)),
                clip=0.2,
                value_clip=0.2,
                epochs=1,
                minibatch_size=128,
                micro_batches=8,
                value_warmup_steps=4,
                optimizer=AdamW(Cosine(2e-7, STEPS, warmup_steps=10)),
                value_optimizer=AdamW(Cosine(2e-6, STEPS, warmup_steps=10)),
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("math500", problems=500, samples=1, sampling=TESTING),
            evaluation.Eval("progress", every=25, problems=128, samples=0, sampling=SAMPLING, batch_size=128),
        ),
        checkpoint_every=25,
    )
