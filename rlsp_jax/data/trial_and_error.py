"""Demonstrations of trial, error and self-verification from any language models: T1's recipe (2501.11651, §2.2.1).

    attempts of several models → right or wrong → critique of each → merged into one trace → rewritten → right?

A trace goes from flawed attempts to the correct solution. It is kept when its own final answer is judged correct.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.data.trace_prompts import Prompts, check_template

Verify = Callable[[Sequence[tuple[Mapping[str, Any], str]]], Sequence[Verdict]]
"""The verdicts on (truth, response) pairs, in order."""


@runtime_checkable
class Generator(Protocol):
    """Whatever answers prompts with text: an endpoint, or a policy of one's own."""

    def generate(self, prompts: Sequence[str], samples: int, /) -> list[list[str]]:
        """Up to `samples` texts for each prompt, in order; those that failed are missing."""
        ...


class Author(NamedTuple):
    """A generator and its name, which rows tell. `template` replaces the recipe's prompt where it makes attempts."""

    name: str
    generator: Generator
    template: str | None = None


class Authors(NamedTuple):
    """Who writes what. T1 draws attempts from several models."""

    attempts: tuple[Author, ...]
    critique: Author
    merge: Author
    rewrite: Author


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How many attempts are drawn and shown, and what the authors are told."""

    samples: int = 4  # attempts of each author
    wrong: int = 2  # wrong attempts that a trace goes through, at most; its right one comes last
    needs_wrong: bool = False  # problems that nobody got wrong are dropped; else their trace solves and verifies
    prompts: Prompts = Prompts()

    def __post_init__(self):
        if self.samples < 1:
            raise UserError(f"samples is {self.samples}; each author makes at least 1 attempt.")
        if self.wrong < 1:
            raise UserError(f"wrong is {self.wrong}; a trace of trial and error shows at least 1 wrong attempt.")


class Task(NamedTuple):
    """A problem to write a trace for; `fault` says what is bad about a row that is none."""

    id: Any
    question: str
    truth: Mapping[str, Any]
    fault: str = ""


@dataclasses.dataclass
class Attempt:
    """One attempt, who made it and what was made of it. The critique is empty where the trace does not show it."""

    by: str
    sample: int
    text: str
    verdict: Verdict = Verdict.UNKNOWN
    critique: str = ""


@dataclasses.dataclass
class Draft:
    """A task on its way through the stages; `end` says how its way ended, and `reason` why, where it is no trace."""

    task: Task
    attempts: list[Attempt] = dataclasses.field(default_factory=list)
    shown: list[Attempt] = dataclasses.field(default_factory=list)  # wrong ones, then a right one
    merged: str = ""
    trace: str = ""
    end: Literal["", "kept", "dropped", "failed"] = ""
    reason: str = ""

    def drop(self, reason: str) -> None:
        self.end, self.reason = "dropped", reason

    def fail(self, reason: str) -> None:
        """An author gave nothing; asked another time, it may."""
        self.end, self.reason = "failed", reason


def fingerprint(recipe: Recipe, authors: Authors) -> str:
    """What decides what is written, in twelve letters: the recipe, and the authors' names and templates."""
    names = [[author.name, author.template] for author in (*authors.attempts, *authors[1:])]
    text = json.dumps([dataclasses.asdict(recipe), names], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_authors(authors: Authors) -> None:
    """Raise `UserError` unless there are authors of attempts, whose templates show the question."""
    if not authors.attempts:
        raise UserError("There is nobody to attempt the problems; give at least one author.")
    for author in authors.attempts:
        if author.template is not None:
            check_template(f"The template of {author.name!r}", author.template, {"question"})


def write_drafts(tasks: Sequence[Task], recipe: Recipe, authors: Authors, verify: Verify) -> list[Draft]:
    """A draft for each task, all of them a stage further at a time, each ended in one way or another."""
    drafts = [Draft(task) for task in tasks]
    attempt(drafts, recipe, authors.attempts, verify)
    for draft in drafts:
        choose(draft, recipe)
    criticize(_open(drafts), recipe, authors.critique.generator)
    merge(_open(drafts), recipe, authors.merge.generator)
    rewrite(_open(drafts), recipe, authors.rewrite.generator)
    judge(_open(drafts), verify)
    return drafts


def attempt(drafts: Sequence[Draft], recipe: Recipe, authors: Sequence[Author], verify: Verify) -> None:
    """Draw attempts of every author, and have them judged. Equal texts are one attempt."""
    for author in authors:
        template = author.template or recipe.prompts.attempt
        prompts = [recipe.prompts.fill(template, question=draft.task.question) for draft in drafts]
        for draft, texts in zip(drafts, author.generator.generate(prompts, recipe.samples), strict=True):
            seen = {attempt.text for attempt in draft.attempts}
            fresh = [(i, text) for i, text in enumerate(texts) if text not in {*seen, *texts[:i]}]
            draft.attempts += [Attempt(author.name, i, text) for i, text in fresh]
    made = [(draft.task.truth, attempt) for draft in drafts for attempt in draft.attempts]
    verdicts = verify([(truth, attempt.text) for truth, attempt in made])
    for (_, judged), verdict in zip(made, verdicts, strict=True):
        judged.verdict = verdict


def choose(draft: Draft, recipe: Recipe) -> None:
    """The attempts that a trace will show: the authors take turns. Unknown ones are not shown."""
    in_turn = sorted(draft.attempts, key=lambda attempt: attempt.sample)
    wrong = [attempt for attempt in in_turn if attempt.verdict == Verdict.WRONG][: recipe.wrong]
    right = [attempt for attempt in in_turn if attempt.verdict == Verdict.CORRECT][:1]
    draft.shown = wrong + right
    if not draft.attempts:
        draft.fail("no author made an attempt")
    elif not right:
        draft.drop("no attempt is right")
    elif not wrong and recipe.needs_wrong:
        draft.drop("no attempt is wrong")


def criticize(drafts: Sequence[Draft], recipe: Recipe, critic: Generator) -> None:
    """Have the error of each wrong attempt named with its cause, and each right one verified."""
    shown = [(draft, attempt) for draft in drafts for attempt in draft.shown]
    templates = {Verdict.WRONG: recipe.prompts.criticize, Verdict.CORRECT: recipe.prompts.verify}
    prompts = [
        recipe.prompts.fill(templates[attempt.verdict], question=draft.task.question, attempt=attempt.text)
        for draft, attempt in shown
    ]
    for (draft, about), text in zip(shown, _write(critic, prompts), strict=True):
        about.critique = text
        if not text:
            draft.fail("an attempt has no critique")


def merge(drafts: Sequence[Draft], recipe: Recipe, author: Generator) -> None:
    """Have attempts and critiques merged into one trace."""
    prompts = [
        recipe.prompts.fill(recipe.prompts.merge, question=draft.task.question, attempts=listed(draft.shown))
        for draft in drafts
    ]
    for draft, text in zip(drafts, _write(author, prompts), strict=True):
        draft.merged = text
        if not text:
            draft.fail("the attempts were not merged")


def rewrite(drafts: Sequence[Draft], recipe: Recipe, author: Generator) -> None:
    """Have the merged traces written anew, for some only list their approaches."""
    prompts = [
        recipe.prompts.fill(recipe.prompts.rewrite, question=draft.task.question, trace=draft.merged)
        for draft in drafts
    ]
    for draft, text in zip(drafts, _write(author, prompts), strict=True):
        draft.trace = text
        if not text:
            draft.fail("the trace was not rewritten")


def judge(drafts: Sequence[Draft], verify: Verify) -> None:
    """Keep the traces whose final answer is correct."""
    verdicts = verify([(draft.task.truth, draft.trace) for draft in drafts])
    for draft, verdict in zip(drafts, verdicts, strict=True):
        draft.end = "kept" if verdict == Verdict.CORRECT else "dropped"
        draft.reason = "" if verdict == Verdict.CORRECT else f"the trace is {verdict.name.lower()}"


def listed(attempts: Sequence[Attempt]) -> str:
    """Attempts and their critiques, as whoever merges them reads it."""
    names = {Verdict.WRONG: "wrong", Verdict.CORRECT: "right"}
    return "\n\n".join(
        f"Attempt {i} ({names[attempt.verdict]}):\n{attempt.text}\n\nThe critic on attempt {i}:\n{attempt.critique}"
        for i, attempt in enumerate(attempts, start=1)
    )


def to_row(draft: Draft, authors: Authors, recipe: str) -> dict[str, Any]:
    """A draft with all of its provenance; `recipe` is the fingerprint of what it was made with."""
    return dict(
        id=draft.task.id,
        question=draft.task.question,
        response=draft.trace,
        end=draft.end,
        reason=draft.reason,
        truth=dict(draft.task.truth),
        attempts=[dataclasses.asdict(one) | {"verdict": one.verdict.name.lower()} for one in draft.attempts],
        merged=draft.merged,
        by={"critique": authors.critique.name, "merge": authors.merge.name, "rewrite": authors.rewrite.name},
        recipe=recipe,
    )


def _open(drafts: Sequence[Draft]) -> list[Draft]:
    return [draft for draft in drafts if not draft.end]


def _write(author: Generator, prompts: Sequence[str]) -> list[str]:
    """One text for each prompt, without what a model thought aloud before it; empty where there is none."""
    replies = author.generate(prompts, 1) if prompts else []
    return [texts[0].rpartition("</think>")[2].strip() if texts else "" for texts in replies]
