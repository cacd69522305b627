"""RLSP on permutations: a model that can compose swaps in writing but answers at once is paid for writing more.

The task is one in which serial steps are needed (`data.Permutations`), and its difficulty is the number of swaps. The
first stage teaches to write the arrangement after every swap; the second tunes the model to answer directly (98 of 100
demonstrations are only an answer), which works for one swap and fails from three on; the third pays for being right
and, by the paper's −C/|o|, for length. A whole chain for n swaps is 6n + 1 tokens with its end.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), §1.2: longer responses add the serial computation that
           harder problems need; §2.2: the length form of the exploration reward
Command:   rlsp train experiments/permutations_rlsp.py --workdir runs/permutations_rlsp
Hardware:  1 CPU core; 14 minutes on one that several other programs shared
Expect:    greedy 0.199 → 0.988, pass@1 0.155 → 0.969; by swaps 1 … 6: 1.00 0.29 0.09 0.05 0.01 0.00 → 1.00 0.99 0.99
           0.98 0.98 1.00; length 7.3 → 22.3 tokens, 7.0 13.0 19.2 25.0 30.9 36.9 by swaps. Responses that end within
           7, 13, …, 37 tokens are right for 0.20 0.20 0.20 0.20 0.20 0.20 → 0.11 0.31 0.49 0.67 0.84 0.99 of all
           problems (one seed, 512 held-out problems, 2026-11-21)
"""

import dataclasses

from rlsp_jax import data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine, Linear
from rlsp_jax.training import Experiment

CHAINS = data.ArrangementTraces()
SAMPLING = SamplingConfig(max_response=44, temperature=1.0)
# −C/|o| is −0.86 at the 7 tokens of a direct answer; a response that is cut off is paid as one of 6 tokens.
LENGTH = rewards.Finished(rewards.HyperbolicLength(scale=6.0), truncated=-1.0)


def get_config() -> Experiment:
    return Experiment(
        name="permutations_rlsp",
        seed=0,
        # ---- who learns ----
        model=models.tiny(
            embed_dim=64,
            head_dim=16,
            mlp_dim=192,
            value_heads=("correctness", "exploration"),
            value_trunk="detached",
            value_hidden=64,
        ),
        tokenizer=data.SentencePiece(vocab_size=320, symbols=data.permutation_symbols(5, 6)),
        # ---- on what ----
        problems=data.Permutations(symbols=5, moves=(1, 6)),
        checker=rewards.ExactTextChecker(answer_bytes=16),
        verifier=verifiers.ExactText(),
        stages=(
            sft.Config(
                demonstrations=CHAINS,
                num_steps=3000,
                batch_size=8,
                row_length=108,
                num_demonstrations=60_000,
                optimizer=AdamW(Cosine(4e-3, 3000, warmup_steps=50), b2=0.99, weight_decay=0.1),
            ),
            sft.Config(
                demonstrations=dataclasses.replace(CHAINS, direct=0.98),
                num_steps=300,
                batch_size=8,
                row_length=108,
                num_demonstrations=20_000,
                optimizer=AdamW(Cosine(1e-3, 300, warmup_steps=20), b2=0.99, weight_decay=0.1),
            ),
            ppo.Config(
                num_steps=40,
                prompts_per_step=256,
                samples_per_prompt=1,
                sampling=SAMPLING,
                # ---- paid how ----
                streams=(
                    rewards.Stream("correctness", rewards.Correctness(), normalization=rewards.Whiten()),
                    rewards.Stream(
                        "exploration",
                        LENGTH,
                        weight=Constant(0.5),
                        normalization=rewards.Whiten(),
                    ),
                ),
                kl=None,  # the reference would be the model that answers at once
                minibatch_size=32,
                entropy_coef=Constant(0.01),
                value_warmup_steps=2,
                optimizer=AdamW(Linear(4e-4, 1e-4, 40)),
                value_optimizer=AdamW(Constant(3e-3)),
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("heldout", problems=512, samples=4, budgets=tuple(range(7, 44, 6)), sampling=SAMPLING),
            evaluation.Eval("progress", every=10, problems=512, samples=1, sampling=SAMPLING),
        ),
        max_prompt=18,
    )
