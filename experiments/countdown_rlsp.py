"""RLSP on Countdown: a model that does not think is paid for searching and for being right."""

from rlsp_jax import data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine
from rlsp_jax.training import Experiment

SAMPLING = SamplingConfig(max_response=112, temperature=1.0)


def get_config() -> Experiment:
    return Experiment(
        name="countdown_rlsp",
        seed=0,
        # ---- who learns ----
        model=models.tiny(value_heads=("correctness", "exploration", "kl"), value_trunk="shared"),
        tokenizer=data.SentencePiece(vocab_size=320),
        # ---- on what ----
        problems=data.Countdown(numbers=3, max_number=20, max_target=99),
        checker=rewards.CountdownChecker(max_numbers=3),
        verifier=verifiers.Countdown(),
        stages=(
            sft.Config(
                demonstrations=data.SearchTraces(direct=0.9, keep=0.5, budget=4),
                num_steps=2000,
                batch_size=4,
                row_length=200,
                num_demonstrations=20_000,
                optimizer=AdamW(Cosine(3e-3, 2000, warmup_steps=50)),
            ),
            ppo.Config(
                num_steps=80,
                prompts_per_step=256,
                samples_per_prompt=1,
                sampling=SAMPLING,
                # ---- paid how ----
                streams=(
                    rewards.Stream("correctness", rewards.Correctness()),
                    rewards.Stream("exploration", rewards.SearchAttempts(cap=5), weight=Constant(0.5)),
                ),
                minibatch_size=32,
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("heldout", problems=512, samples=8, budgets=(16, 32, 48, 64, 80, 96, 112), sampling=SAMPLING),
            evaluation.Eval("progress", every=10, problems=256, samples=0, sampling=SAMPLING),
        ),
    )
