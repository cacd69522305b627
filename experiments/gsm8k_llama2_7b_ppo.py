"""Havrilla et al. at size: Llama-2-7B imitates GSM8K's solutions, then learns by PPO with a sparse outcome reward.

The paper's own tables of hyper-parameters were not at hand. β = 0.05 is said to be its; γ = 1, λ = 0.95, adapters of
rank 32, their rate, 4 passes over a set of rollouts, the temperature and the prompt are those of a trainer that its
first author had written before; everything else is ours.

Data:      GSM8K, which `tensorflow-datasets` downloads; or a folder with the published train.jsonl and test.jsonl:
           `--set problems.folder=… --set stages.sft.demonstrations.source.folder=…`
Paper:     Teaching Large Language Models to Reason with Reinforcement Learning (2403.04642)
Command:   rlsp train experiments/gsm8k_llama2_7b_ppo.py --workdir runs/gsm8k_llama2_7b_ppo
Hardware:  8 × A100, 80 GB each
Published: all algorithms comparable, Expert Iteration best in most settings; as others report it, RL adds about
           7 points of greedy accuracy to SFT at this size
Expect:    not yet run at this size
"""

from rlsp_jax import checkpoints, data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.algorithms.combination import Coupled
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment

SOURCE = "meta-llama/Llama-2-7b-hf"
SAMPLING = SamplingConfig(max_response=384, temperature=0.7)
SFT_STEPS = 470  # two times over the solutions, some 32 of them to a batch

SFT = sft.Config(
    demonstrations=data.GSM8KSolutions(),
    num_demonstrations=7_473,
    num_steps=SFT_STEPS,
    batch_size=8,
    row_length=1024,
    optimizer=AdamW(Cosine(1e-4, SFT_STEPS, warmup_steps=20)),
)


def get_config() -> Experiment:
    return Experiment(
        name="gsm8k_llama2_7b_ppo",
        seed=0,
        # ---- who learns ----
        model=models.llama2_7b(
            value_heads=("total",),
            value_trunk="separate",
            max_length=1024,
            remat="full",
            lora=models.Lora(rank=32, alpha=16.0),
            param_dtype="bfloat16",
        ),
        weights=checkpoints.Pretrained(SOURCE),
        tokenizer=data.PretrainedTokenizer(SOURCE),
        prompts=data.Plain(before="Q: ", after="\nA: "),
        mesh=MeshConfig(data=1, fsdp=8),
        max_prompt=512,
        # ---- on what ----
        problems=data.GSM8K(),
        checker=rewards.MathChecker(),
        verifier=verifiers.Math(),
        verifier_workers=4,
        stages=(
            SFT,
            ppo.Config(
                num_steps=240,
                prompts_per_step=64,
                samples_per_prompt=4,
                sampling=SAMPLING,
                # ---- paid how ----
                streams=(rewards.Stream("correctness", rewards.Correctness()),),
                combination=Coupled(gamma=1.0, lam=0.95, normalization=rewards.Whiten(), clip=10.0),
                kl=ppo.KLReward(weight=Constant(0.05)),
                epochs=4,
                minibatch_size=64,
                micro_batches=2,
                optimizer=AdamW(Constant(8e-6)),
                value_optimizer=AdamW(Constant(8e-6)),
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("gsm8k", problems=1319, samples=96, sampling=SAMPLING),  # maj@96, pass@96
            evaluation.Eval("progress", every=20, problems=256, samples=0, sampling=SAMPLING),
        ),
        checkpoint_every=20,
    )
