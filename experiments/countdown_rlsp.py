"""RLSP on Countdown: a model that has seen search but answers at once is paid for searching and for being right.

The first stage teaches arithmetic and what a written search looks like; the second tunes the model to answer directly
(995 of 1,000 demonstrations have no search), so that it does not think; the third pays two streams, kept apart.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), in miniature: exploration beside the outcome
Command:   rlsp train experiments/countdown_rlsp.py --workdir runs/countdown_rlsp
Hardware:  2 CPU cores, 10 minutes
Expect:    greedy 0.23 → 0.57, pass@1 0.17 → 0.47, backtracks 0.02 → 6.5 a response (means of 3 seeds, 512 problems,
           2026-11-21; docs/results/countdown.md)
"""

import dataclasses

from rlsp_jax import data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine, Linear
from rlsp_jax.training import Experiment

SEARCH = data.SearchTraces(keep=0.6, budget=7, largest=99, nearest=1)
SAMPLING = SamplingConfig(max_response=160, temperature=1.0)


def get_config() -> Experiment:
    return Experiment(
        name="countdown_rlsp",
        seed=0,
        # ---- who learns ----
        model=models.tiny(value_heads=("correctness", "exploration"), value_trunk="detached", value_hidden=96),
        tokenizer=data.SentencePiece(vocab_size=320, symbols=data.SEARCH_SYMBOLS),
        # ---- on what ----
        problems=data.Countdown(numbers=3, max_number=12, max_target=99, heldout_share=0.15),
        checker=rewards.CountdownChecker(max_numbers=3),
        verifier=verifiers.Countdown(),
        stages=(
            sft.Config(
                demonstrations=SEARCH,
                num_steps=4000,
                batch_size=5,
                row_length=184,
                num_demonstrations=30_000,
                optimizer=AdamW(Cosine(2e-3, 4000, warmup_steps=50), b2=0.99, weight_decay=0.1),
            ),
            sft.Config(
                demonstrations=dataclasses.replace(SEARCH, direct=0.995),
                num_steps=250,
                batch_size=5,
                row_length=184,
                num_demonstrations=30_000,
                optimizer=AdamW(Cosine(1e-3, 250, warmup_steps=20), b2=0.99, weight_decay=0.1),
            ),
            ppo.Config(
                num_steps=60,
                prompts_per_step=256,
                samples_per_prompt=1,
                sampling=SAMPLING,
                # ---- paid how ----
                streams=(
                    rewards.Stream("correctness", rewards.Correctness(), normalization=rewards.Whiten()),
                    rewards.Stream(
                        "exploration",
                        rewards.Finished(rewards.SearchAttempts(cap=7)),
                        weight=Constant(0.5),
                        normalization=rewards.Whiten(),
                    ),
                ),
                kl=None,  # the reference would be the model that does not think
                minibatch_size=32,
                micro_batches=8,  # by length: a row of 20 tokens does not wait for one of 160
                entropy_coef=Constant(0.02),
                value_warmup_steps=2,
                optimizer=AdamW(Linear(3e-4, 1e-4, 60)),
                value_optimizer=AdamW(Constant(3e-3)),
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("heldout", problems=512, samples=8, budgets=tuple(range(16, 161, 16)), sampling=SAMPLING),
            evaluation.Eval("progress", every=10, problems=512, samples=1, sampling=SAMPLING),
        ),
    )
