"""The loop of stages that imitate their own responses: draw → select or label → imitate, round by round."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rlsp_jax.algorithms import expert_iteration, return_conditioned, sft
from rlsp_jax.algorithms.expert_iteration import Patience, is_enough
from rlsp_jax.algorithms.self_imitation import Example, in_rounds, measure, right_share
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import PromptFormat, Tokenizer, pack_ids
from rlsp_jax.data.prompts import PLAIN
from rlsp_jax.records import Draw
from rlsp_jax.sharding import place_rows
from rlsp_jax.training.draws import draw_responses, draws_folder
from rlsp_jax.training.problems import problems_before
from rlsp_jax.training.promise import Oracle
from rlsp_jax.training.run import Run
from rlsp_jax.training.stage import StageRun
from rlsp_jax.training.supervised import LOG_EVERY, SAVE_EVERY, batch_rows, demonstration_texts, take_rows
from rlsp_jax.types import Demonstrations, Params, TrainState

Config = expert_iteration.Config | return_conditioned.Config


class Recipe(NamedTuple):
    """What tells one such stage from another, beside the examples that its config makes of the draws."""

    init_state: Callable[[Params], TrainState]
    begin_round: Callable[[TrainState], TrainState]
    examples: Callable[[Sequence[Sequence[Draw]]], list[Example]]  # what is imitated after these rounds' draws
    stop: Patience | None = None
    oracle: Oracle | None = None  # adds what it promises to the draws
    mixed_in: tuple[Example, ...] = ()  # imitated beside what the draws give


def train_self_imitation(run: Run, index: int, config: Config, recipe: Recipe, params: Params) -> Params:
    """Draw, imitate, and again; return the parameters after the last step."""
    with run.spent.phase("setup"):
        update = sft.make_update_fn(run.model, in_rounds(config))
        state = run.place(recipe.init_state(params))
        rounds = Rounds(run, index, config, recipe)
    every, last = min(SAVE_EVERY, config.steps_per_round), config.steps_per_round - 1
    with StageRun(run, index, config, state, log_every=LOG_EVERY, save_every=every) as stage:
        for step in stage.steps():
            number, place = divmod(step, config.steps_per_round)
            figures = rounds.begin(number, stage.state.params["policy"] if place == 0 else None)
            if place == 0:
                stage.state = run.place(recipe.begin_round(stage.state))
            rows = rounds.batch(place)
            stage.state, metrics = update(stage.state, place_rows(run.mesh, rows))
            told = {"sft/tokens": float(rows.mask.sum())} | (figures if place == 0 else {})
            if place == last and rounds.end(stage.state.params["policy"], told):
                stage.stop_after(step)
            if stage.due(step) or place in (0, last):
                values = metrics | {name: np.asarray(value) for name, value in told.items()}
                stage.record(step, values, tokens="sft/tokens", about=f"responses of its own, round {number + 1}")
    return stage.state.params


class Rounds:
    """The rounds of a stage one after another: what is drawn, which the workdir keeps, and what is made of it."""

    def __init__(self, run: Run, index: int, config: Config, recipe: Recipe):
        self._run, self._config, self._recipe = run, config, recipe
        self._key, self._seed = key_of(run.key, "stage", index), (run.experiment.seed, index)
        self._folder = draws_folder(run.workdir, run.experiment, index)
        self._responder = run.responder(config.sampling, config.draw_size)
        self._first, self._number = problems_before(run.experiment, index), -1
        held = 0 if recipe.stop is None else recipe.stop.problems
        beyond = self._first + config.rounds * config.problems_per_round
        self._held = run.experiment.problems.problems("train", beyond, held)
        self._pool: Demonstrations
        self._figures: dict[str, float]

    def begin(self, number: int, policy: Params | None) -> dict[str, float]:
        """Draw the round's responses with `policy`, or find them in the workdir; figures of them."""
        if number != self._number:
            drawn = [self._draw(earlier, None) for earlier in range(number)] + [self._draw(number, policy)]
            examples = self._recipe.examples(drawn)
            self._pool = make_pool(
                self._run.tokenizer,
                [*examples, *self._recipe.mixed_in],
                self._config.row_length,
                self._at(number),
                self._run.experiment.prompts,
            )
            self._figures = measure(drawn[-1]) | {
                "draws/kept": len(examples),
                "draws/samples": sum(map(len, drawn)) + number * len(self._held),
                "rollout/tokens": sum(draw.num_tokens for draw in drawn[-1]),
            }
            self._number = number
        return self._figures

    def batch(self, place: int) -> Demonstrations:
        """The rows of a step, by its place in the round."""
        at = batch_rows(len(self._pool.tokens), self._config.batch_size, place, self._at(self._number))
        return take_rows(self._pool, at)

    def end(self, policy: Params, told: dict[str, float]) -> bool:
        """Add what the stop rule sees to the figures of a round's last step; whether it is the stage's last round."""
        stop = self._recipe.stop
        if stop is None:
            return False
        answers = self._answer(self._number, policy)
        told["validation/accuracy"] = right_share(answers)
        told["draws/samples"] = self._figures["draws/samples"] + len(answers)
        told["rollout/tokens"] = told.get("rollout/tokens", 0) + sum(answer.num_tokens for answer in answers)
        accuracies = [right_share(self._answer(number, None)) for number in range(self._number + 1)]
        enough = self._number + 1 < self._config.rounds and is_enough(stop, accuracies)
        if enough:
            shown = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
            self._run.display.say(f"Round {self._number + 1} is the last one: rounds do not help any more ({shown}).")
        return enough

    def _draw(self, number: int, policy: Params | None) -> list[Draw]:
        """The responses of a round, to no problem that the stop rule is to ask."""
        config, held = self._config, {problem.question for problem in self._held}
        start = self._first + number * config.problems_per_round
        problems = self._run.experiment.problems.problems("train", start, config.problems_per_round)
        return draw_responses(
            self._run,
            self._responder,
            policy,
            [problem for problem in problems if problem.question not in held],
            key_of(self._key, "draw", number),
            self._folder / f"{number}.jsonl",
            samples=config.samples_per_prompt,
            oracle=self._recipe.oracle,
        )

    def _answer(self, number: int, policy: Params | None) -> list[Draw]:
        """The greedy responses by which the stop rule judges a round."""
        file = self._folder / f"validation_{number}.jsonl"
        # Not broken off by Ctrl-C: the round's last update is made, and would be made again.
        arguments = (self._run, self._responder, policy, self._held, self._key, file)
        return draw_responses(*arguments, greedy=True, abortable=False)

    def _at(self, number: int) -> tuple[int, ...]:
        return (*self._seed, number)


def labelled_demonstrations(run: Run, config: return_conditioned.Config) -> tuple[Example, ...]:
    """The stage's demonstrations with the best label."""
    if config.demonstrations is None:
        return ()
    pairs = demonstration_texts(run.experiment.problems, config.demonstrations, range(config.num_demonstrations))
    write = functools.partial(run.experiment.prompts.response, run.tokenizer)
    label = functools.partial(config.demonstration, tokenizer=run.tokenizer, room=room_for_response(run, config))
    return tuple(label(question, tuple(write(text))) for question, text in zip(*pairs, strict=True))


def room_for_response(run: Run, config: return_conditioned.Config) -> int:
    """The tokens of a row that are there for a response whatever its question."""
    return config.row_length - run.experiment.max_prompt


def make_pool(
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    length: int,
    seed: tuple[int, ...],
    prompts: PromptFormat = PLAIN,
) -> Demonstrations:
    """Examples packed into rows in a random order, so that a problem's responses do not share a row."""
    order = np.random.default_rng(seed).permutation(len(examples)).tolist()
    pairs = [(prompts.prompt(tokenizer, question), response) for question, response in (examples[i] for i in order)]
    longest = max(len(question) + len(response) for question, response in pairs)
    if longest > length:
        raise UserError(
            f"An example to imitate has {longest} tokens with its question, more than row_length = {length}; raise "
            "row_length."
        )
    return pack_ids(pairs, length=length, pad_id=tokenizer.pad_id)
