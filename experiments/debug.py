"""Every loop in seconds: the smallest model, a few steps of SFT, a few of PPO, both kinds of eval.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), its stages and nothing of its results
Command:   rlsp train experiments/debug.py --workdir /tmp/debug
Expect:    nothing learned, everything exercised.
"""

from rlsp_jax import data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine, Linear
from rlsp_jax.training import Experiment

SAMPLING = SamplingConfig(max_response=48)


def get_config() -> Experiment:
    return Experiment(
        name="debug",
        seed=0,
        # ---- who learns ----
        model=models.nano(value_heads=("correctness", "exploration", "kl"), max_length=160),
        tokenizer=data.SentencePiece(vocab_size=320),
        # ---- on what ----
        problems=data.Countdown(numbers=3, max_number=12, heldout_share=0.2),
        checker=rewards.CountdownChecker(max_numbers=3),
        verifier=verifiers.Countdown(),
        stages=(
            sft.Config(
                demonstrations=data.SearchTraces(direct=0.5, budget=2),
                num_steps=40,
                batch_size=8,
                row_length=160,
                num_demonstrations=500,
                optimizer=AdamW(Cosine(3e-3, 40, warmup_steps=5)),
            ),
            ppo.Config(
                num_steps=6,
                prompts_per_step=16,
                samples_per_prompt=2,
                sampling=SAMPLING,
                # ---- paid how ----
                streams=(
                    rewards.Stream("correctness", rewards.Correctness(), normalization=rewards.Whiten()),
                    rewards.Stream(
                        "exploration",
                        rewards.SearchAttempts(cap=5),
                        weight=Linear(0.5, 0.1, 6),
                        normalization=rewards.Whiten(),
                    ),
                ),
                minibatch_size=16,
                epochs=2,
                value_warmup_steps=1,
                entropy_coef=Constant(0.001),
                target_kl=0.5,
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("heldout", problems=32, samples=2, budgets=(16, 32, 48), sampling=SAMPLING, batch_size=32),
            evaluation.Eval("progress", every=3, problems=32, samples=0, sampling=SAMPLING, batch_size=32),
        ),
        checkpoint_every=2,
    )
