"""Run everything again that docs/results tells of Countdown and permutations: one command, three seeds, many hours.

    python launch/study.py --out runs --processes 2

Rows that docs/results lay side by side stand together here. Started again, it goes on where it was stopped; finished
runs are left alone, and stages that runs begin with alike are trained once (`launch/local_runs.py`).
"""

import itertools
import sys
from pathlib import Path

import tyro
from local_runs import make_job, run_all

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
GROUPS, SAMPLES = "stages.rloo.prompts_per_step", "stages.rloo.samples_per_prompt"
TEMPERATURE = "stages.rloo.sampling.temperature"
AGAIN, FALLING = "stages.1.num_steps", "stages.1.optimizer.learning_rate.num_steps"

# each row: an experiment, and what of it is changed
ROWS = (
    # the start that answers at once: how effort is paid
    ("countdown_rlsp",),
    ("countdown_outcome_only",),
    ("countdown_coupled",),
    ("countdown_length",),
    ("countdown_length_coupled",),
    # the start that searches
    ("countdown_searching_base",),
    ("countdown_searching_outcome_only",),
    ("countdown_searching_coupled",),
    ("countdown_searching_length",),
    ("countdown_searching_length_coupled",),
    # other algorithms from the start that answers at once
    ("countdown_expert_iteration",),
    ("countdown_return_conditioned",),
    ("countdown_dense",),
    ("countdown_rloo_outcome_only",),
    ("countdown_grpo_outcome_only",),
    ("countdown_dr_grpo_outcome_only",),
    ("countdown_rloo",),
    ("countdown_grpo",),
    ("countdown_dr_grpo",),
    # the rewards of the paper and of its code, and a judge
    ("countdown_paper_mode",),
    ("countdown_code_mode",),
    ("countdown_judge",),
    # other algorithms from the start that searches
    ("countdown_t1",),
    ("countdown_orm",),
    ("countdown_searching_expert_iteration",),
    ("countdown_searching_return_conditioned",),
    ("countdown_return_conditioned_steps",),
    # how many samples to a problem, 256 responses a step
    ("countdown_t1_samples",),
    ("countdown_t1_samples", f"{SAMPLES}=4", f"{GROUPS}=64"),
    ("countdown_t1_samples", f"{SAMPLES}=64", f"{GROUPS}=4"),
    # how hot, 1.2 elsewhere
    ("countdown_t1_samples", f"{TEMPERATURE}=0.7"),
    ("countdown_t1_samples", f"{TEMPERATURE}=1.0"),
    # without penalties
    ("countdown_t1_unpenalized",),
    # imitation again and again
    ("countdown_sft_again",),
    ("countdown_sft_again", f"{AGAIN}=41", f"{FALLING}=41"),
    ("countdown_sft_again", f"{AGAIN}=656", f"{FALLING}=656"),
    # paid more for what the outcome model says
    ("countdown_orm", "stages.2.streams.1.weight.value=0.5"),
    # a task that needs serial steps
    ("permutations_rlsp",),
    ("permutations_outcome_only",),
)


def main(out: Path, seeds: tuple[int, ...] = (0, 1, 2), processes: int = 1) -> int:
    """Run the whole study on this machine.

    Args:
        out: Where the workdirs go.
        seeds: Each row runs once with each.
        processes: Runs at a time.
    """
    rows = itertools.product(ROWS, seeds)
    return run_all([make_job(EXPERIMENTS / f"{name}.py", seed, out, set) for (name, *set), seed in rows], processes)


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
