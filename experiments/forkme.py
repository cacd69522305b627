"""Copy this file and change it: every knob that most people turn, with a comment.

Paper:     On the Emergence of Thinking in LLMs I (2502.06773), in miniature
Command:   rlsp train experiments/forkme.py --workdir /tmp/forkme
Expect:    a few minutes on a laptop; it is sized to be tried, not to reach a result.

Any field can also be changed from the command line, `--set stages.ppo.clip=0.1`, and explained:
`rlsp config experiments/forkme.py --explain stages.ppo.clip`.
"""

from rlsp_jax import data, evaluation, models, rewards, verifiers
from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.algorithms.combination import Decoupled
from rlsp_jax.algorithms.references import Fixed
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.optim import AdamW
from rlsp_jax.schedules import Constant, Cosine, Linear
from rlsp_jax.sharding import MeshConfig
from rlsp_jax.training import Experiment

# How responses are drawn. Truncated sampling (top_k, top_p, min_p) is scored as truncated by the learner too.
SAMPLING = SamplingConfig(max_response=112, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)


def get_config() -> Experiment:
    return Experiment(
        name="forkme",
        seed=0,  # decides parameters, data order and every sample
        # ---- who learns ----
        model=models.tiny(
            value_heads=("correctness", "exploration", "kl"),  # one critic per stream, and one for the KL
            value_trunk="detached",  # "shared": critics train the policy's trunk; "separate": they have their own
            value_hidden=96,
            scan_layers=False,  # True compiles faster for deep models
            remat="none",  # "full" or "dots" trade compute for memory
        ),
        tokenizer=data.SentencePiece(  # trained on the demonstrations at first start
            vocab_size=320,
            symbols=data.SEARCH_SYMBOLS,  # strings that are always one token
        ),
        prompts=data.Plain(),  # the bare question; data.Chat() shows it in the turns of a checkpoint's chat template
        mesh=MeshConfig(data=None, fsdp=1, tensor=1),  # data=None takes all devices that are left
        # ---- on what ----
        problems=data.Countdown(numbers=3, max_number=12, max_target=99, heldout_share=0.15),
        checker=rewards.CountdownChecker(max_numbers=3),  # judges on the device
        verifier=verifiers.Countdown(),  # judges on the host what the checker leaves undecided
        stages=(
            sft.Config(
                demonstrations=data.SearchTraces(
                    direct=0.5,  # share of demonstrations without any search
                    keep=0.5,  # how many failing branches are written
                    budget=3,  # checks before giving up
                    largest=99,  # results beyond this are not tried
                    nearest=1,  # of the operations on the last two numbers, try only the nearest to the target
                ),
                num_steps=600,
                batch_size=6,  # rows; several demonstrations are packed into each
                row_length=136,
                num_demonstrations=10_000,
                optimizer=AdamW(Cosine(2e-3, 600, warmup_steps=50), b2=0.99, weight_decay=0.1),
            ),
            ppo.Config(
                num_steps=20,
                prompts_per_step=64,
                samples_per_prompt=4,  # more than one makes groups, for LeaveOneOut() and GroupNovelty()
                sampling=SAMPLING,
                # ---- paid how ----
                streams=(
                    rewards.Stream("correctness", rewards.Correctness(), normalization=rewards.Whiten()),
                    rewards.Stream(
                        "exploration",
                        # Kernels combine: a bounded effort, nothing for responses that were cut off, a penalty for
                        # repetition. Others: HyperbolicLength, LinearLength, SearchEffort, GroupNovelty, TokenEntropy …
                        rewards.Sum(
                            (
                                (1.0, rewards.Finished(rewards.SearchAttempts(cap=5))),
                                (0.2, rewards.RepeatedNgrams(n=8)),
                            )
                        ),
                        weight=Linear(0.5, 0.1, 20),  # a schedule over steps
                        gamma=1.0,
                        lam=0.95,
                        normalization=rewards.Whiten(),
                    ),
                ),
                combination=Decoupled(),  # Coupled() mixes the rewards first and needs value_heads=("total",)
                kl=ppo.KLReward(weight=Constant(0.01)),  # or KLLoss(…), or None
                reference=Fixed(),  # or Refreshed(every=…), MovingAverage(decay=…)
                clip=0.2,
                entropy_coef=Constant(0.0),
                epochs=1,
                minibatch_size=32,  # rows of one optimizer step
                micro_batches=1,  # parts of a minibatch, to fit memory; the result does not change
                target_kl=None,  # stop a step's updates once a minibatch has moved further than this
                value_warmup_steps=2,  # the policy waits while the critics learn
                optimizer=AdamW(Constant(2e-4)),
                value_optimizer=AdamW(Constant(3e-3)),
            ),
        ),
        # ---- watched how ----
        evals=(
            evaluation.Eval("heldout", problems=256, samples=4, budgets=(32, 64, 112), sampling=SAMPLING),
            evaluation.Eval("progress", every=5, problems=256, samples=0, sampling=SAMPLING),
        ),
        checkpoint_every=10,
    )
