"""T1 from Qwen2.5-32B-Instruct: SFT on trial and error, then 64 samples a problem at temperature 1.2 and penalties.

What the paper does not print is marked below: the weight of the entropy bonus, the decay of the moving reference, the
limits of the detectors. Answers are checked by rules here, where the paper asks a language model.

Data:      data/t1_sft.jsonl, about 12,000 merged and rewritten traces (App. A.1), an object a line with question and
           response, none longer than 16,384 tokens (12,288 for the smaller models); data/t1_rl.jsonl, problems of
           MATH's training part and NuminaMath that are not among them, with problem and answer; data/math500.jsonl
Paper:     Advancing Language Model Reasoning through RL and Inference Scaling (2501.11651), T1
Command:   rlsp train experiments/t1_qwen25_32b.py --workdir runs/t1_qwen25_32b
Hardware:  64 × H100, 80 GB each
Published: MATH-500 82.8 → 83.4 (SFT) → 92.4; AIME 2024 13.6 → 24.9 → 50.6
Expect:    not yet run at this size
"""

from pathlib import Path

from rlsp_jax import checkpoints, data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import rloo, sft
from rlsp_jax.algorithms.references import MovingAverage
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment

SOURCE = "Qwen/Qwen2.5-32B-Instruct"
SAMPLING = SamplingConfig(max_response=16_384, temperature=1.2, top_p=0.95)
SFT_STEPS = 560  # three times over 12,000 traces, if 64 of them are a batch; the paper's batch is not printed

# The paper names the four kinds of bad pattern and no limits.
PENALTIES = (
    rewards.Truncation(),
    rewards.RepeatedNgrams(n=16, allowed=0.2),
    rewards.GarbledBytes(),
    rewards.HighPerplexity(limit=6.0),
)


def get_config() -> Experiment:
    return Experiment(
        name="t1_qwen25_32b",
        seed=0,
        # ---- who learns ----
        model=models.qwen25_32b(max_length=18_432, remat="full"),
        weights=checkpoints.Pretrained(SOURCE),
        tokenizer=data.PretrainedTokenizer(SOURCE),
        prompts=data.Chat(),
        mesh=MeshConfig(data=1, fsdp=8, tensor=8),
        max_prompt=2048,
        # ---- on what ----
        problems=data.JSONL(train=Path("data/t1_rl.jsonl"), test=Path("data/math500.jsonl"), max_characters=4000),
        checker=rewards.MathChecker(),
        verifier=verifiers.Math(),
        verifier_workers=8,
        stages=(
            sft.Config(
                demonstrations=data.JSONLDemonstrations(Path("data/t1_sft.jsonl")),
                num_demonstrations=12_000,
                num_steps=SFT_STEPS,
                batch_size=32,
                row_length=16_384,
                micro_batches=4,
                optimizer=AdamW(Cosine(1e-5, SFT_STEPS, warmup_steps=20)),
            ),
            rloo.Config(
                num_steps=300,
                prompts_per_step=32,
                samples_per_prompt=64,
                sampling=SAMPLING,
                select=data.Difficulty(candidates=100_000, samples=16, highest=0.3),  # the paper keeps 30,000
                chunk_prompts=4,  # 256 responses at once: the cache of twice as many does not fit
                # ---- paid how ----
                streams=(rewards.Stream("correctness", rewards.Penalized(rewards.Correctness(), PENALTIES)),),
                kl=rloo.SequenceKL(2e-4),
                reference=MovingAverage(decay=0.995),  # not printed
                entropy_coef=Constant(1e-3),  # of a mean over tokens; not printed
                micro_batches=256,
                optimizer=AdamW(Constant(1.5e-6)),
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("math500", problems=500, samples=0, sampling=SAMPLING, batch_size=128),
            evaluation.Eval("progress", every=20, problems=128, samples=0, sampling=SAMPLING, batch_size=128),
        ),
        checkpoint_every=10,
    )
