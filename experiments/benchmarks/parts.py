"""What each part of a step of an experiment costs: one JSON line a part, on random parameters and fixed work.

Random parameters hardly ever end a response, so every response is as long as it may be; with `--mean-length` scoring
and learning see them cut to lengths as a trained policy's are spread.

Command:   python experiments/benchmarks/parts.py [EXPERIMENT] [--repeats 5] [--mean-length 72] [--set PATH=VALUE]
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from timing import timed

from rlsp_jax.algorithms import ppo, sft
from rlsp_jax.data import pack
from rlsp_jax.evaluation import Responder, make_judge
from rlsp_jax.models import AXES, ActorCritic
from rlsp_jax.sharding import make_mesh, place_rows, tree_shardings
from rlsp_jax.training import load_experiment
from rlsp_jax.training.environment import devices, set_up_process
from rlsp_jax.training.rl import make_score_fn
from rlsp_jax.training.supervised import demonstration_texts
from rlsp_jax.types import Rollout
from rlsp_jax.verifiers import VerifierPool


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the parts of a step.")
    parser.add_argument("experiment", nargs="?", default="experiments/countdown_rlsp.py", type=Path)
    parser.add_argument("--repeats", default=5, type=int)
    parser.add_argument(
        "--mean-length", type=int, help="of responses, in tokens; about as long as they may be if left out"
    )
    parser.add_argument("--set", default=[], action="append", metavar="PATH=VALUE")
    arguments = parser.parse_args()
    set_up_process()
    experiment = load_experiment(arguments.experiment, arguments.set).experiment
    imitation = next(stage for stage in experiment.stages if isinstance(stage, sft.Config))
    exploration = next(stage for stage in experiment.stages if isinstance(stage, ppo.Config))
    with jax.set_mesh(mesh := make_mesh(experiment.mesh)), VerifierPool(experiment.verifier) as pool:
        parts = Parts(experiment, imitation, exploration, mesh, pool, arguments.mean_length)
        for name in ("sft", "generate", "verify", "score", "experience", "update"):
            work = getattr(parts, name)
            jax.block_until_ready(work())  # compile
            seconds = [timed(work) for _ in range(arguments.repeats)]
            median = statistics.median(seconds)
            tokens = parts.tokens(name)
            row = dict(name=name, experiment=experiment.name, seconds=median, least=min(seconds), tokens=tokens)
            row |= dict(tokens_per_s=tokens / median, jax=jax.__version__, devices=devices())
            print(json.dumps(row), flush=True)


def cut_short(rollout: Rollout, mean_length: int) -> Rollout:
    """The rollout with responses cut to lengths drawn from a gamma distribution of shape 3."""
    rows, time = rollout.mask.shape
    lengths = np.random.default_rng(0).gamma(3.0, mean_length / 3, rows).clip(1, time).astype(int)
    mask = rollout.mask & jax.device_put(np.arange(time) < lengths[:, None], rollout.mask.sharding)
    return rollout._replace(mask=mask)


def place(mesh, tree):
    """As training lays it out."""
    return jax.device_put(tree, tree_shardings(mesh, tree, AXES))


class Parts:
    """An experiment's jitted functions with arguments that fit; a method a part."""

    def __init__(self, experiment, imitation: sft.Config, exploration: ppo.Config, mesh, pool, mean_length: int | None):
        self.imitation, self.exploration = imitation, exploration
        questions, responses = demonstration_texts(experiment.problems, imitation.demonstrations, range(2000))
        texts = [question + response for question, response in zip(questions, responses, strict=True)]
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = experiment.tokenizer.train(texts, Path(folder) / "tokenizer.model")
        model = ActorCritic(experiment.model, tokenizer.vocab_size)
        params = place(mesh, model.init(jax.random.key(0)))
        packed = pack(tokenizer, questions, responses, length=imitation.row_length)
        self.rows = place_rows(mesh, jax.tree.map(lambda x: x[: imitation.batch_size], packed))
        self.learner = place(mesh, sft.init_state(imitation, jax.tree.map(jnp.copy, params)))
        self.imitate = sft.make_update_fn(model, imitation)

        count, samples = exploration.prompts_per_step, exploration.samples_per_prompt
        problems = experiment.problems.problems("train", 0, count)
        self.problems = [problem for problem in problems for _ in range(samples)]
        self.judge = make_judge(mesh, experiment.checker, pool, tokenizer)
        sampling, rows = exploration.sampling, exploration.rows
        self.responder = Responder(mesh, model, self.judge, sampling, rows, experiment.max_prompt)
        self.prompts = self.responder.prompts(problems, samples=samples)
        self.state = place(mesh, ppo.init_state(exploration, params))
        heads = tuple(experiment.model.value_heads.index(name) for name in exploration.value_heads)
        self.pay = make_score_fn(exploration.streams)
        self.make_experience = ppo.make_experience_fn(model, exploration, heads)
        self.learn = ppo.make_update_fn(model, exploration, heads)
        self.rollout = self.generate()
        if mean_length is not None:
            self.rollout = cut_short(self.rollout, mean_length)
        self.verdicts = self.verify()
        self.scores = self.score()[0]
        self.made = self.experience()[0]

    def tokens(self, part: str) -> int:
        """How many the part reads or writes, padding left out."""
        if part == "sft":
            return int((self.rows.segments > 0).sum())
        return int(self.rollout.mask.sum())

    def sft(self):
        self.learner, metrics = self.imitate(self.learner, self.rows)
        return metrics

    def generate(self):
        return self.responder.generate(self.state.params["policy"], self.prompts, jax.random.key(0))

    def verify(self):
        return self.responder.verify(self.rollout, self.problems)

    def score(self):
        return self.pay(self.rollout, self.verdicts, self.judge.token_bytes, self.state.memory)

    def experience(self):
        return self.make_experience(self.state, self.rollout, self.scores)

    def update(self):
        self.state, metrics = self.learn(self.state, self.made, jax.random.key(0))
        return metrics


if __name__ == "__main__":
    main()
