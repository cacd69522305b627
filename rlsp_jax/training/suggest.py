"""What would make an experiment fit its devices: changes tried from the mildest on, each by planning anew."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rlsp_jax.algorithms import ppo, rloo, sft
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.override import apply_overrides
from rlsp_jax.models import Lora
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.plan import Moment, Plan, at_rest, make_setting, spelled_bytes, stage_moments

REMAT = ("model.remat=full", "model.scan_layers=True")


class Change(NamedTuple):
    """A changed experiment, how a user would make it, and on how many devices it runs."""

    words: str
    experiment: Experiment
    devices: int | None


def suggest(experiment: Experiment, devices: int | None, plan: Plan, room: int) -> str | None:
    """The mildest of some changes with which all fits `room` bytes, and what it needs then; None: none of them does.

    Each is first tried with as few rows at a time as can be; if that fits, with the most rows that do.
    """
    for base in bases(experiment, devices):
        options = [base, *fewer_rows(base, plan, room)]
        low, high = 0, len(options) - 1
        found = total(options[high], room) if options[high].words else math.inf
        if found > room:
            continue
        while low < high:
            middle = (low + high) // 2
            if (tried := total(options[middle], room)) <= room:
                high, found = middle, tried
            else:
                low = middle + 1
        return f"{options[high].words} ({spelled_bytes(found)})"
    return None


def total(change: Change, room: int) -> float:
    """Bytes of each device; without end where they are more than there is room for, or batches do not divide."""
    try:
        setting = make_setting(change.experiment, change.devices)
    except UserError:
        return math.inf
    most = 0
    for index in range(len(change.experiment.stages)):
        if sum(at_rest(setting, index).values()) > room:
            return math.inf
        for moment in stage_moments(setting, index):
            if (most := max(most, moment.total)) > room:
                return math.inf
    return most


# ---- changes ---------------------------------------------------------------------------------------


def bases(experiment: Experiment, devices: int | None) -> Iterator[Change]:
    """As it is; activations computed again; the model split over all devices; adapters; more devices."""
    mesh = experiment.mesh
    data = devices // (mesh.fsdp * mesh.tensor) if devices is not None else mesh.data or 1
    remat = () if experiment.model.remat == "full" else REMAT
    yield Change("", experiment, devices)
    if remat:
        yield with_settings(experiment, remat, devices)
    if data > 1:
        yield with_settings(experiment, (f"mesh.fsdp={data * mesh.fsdp}", "mesh.data=1", *remat), devices)
    if experiment.model.lora is None and (experiment.weights is None or not experiment.weights.critic):
        yield with_adapters(experiment, devices)
    for factor in (2, 4, 8):
        fsdp = data * mesh.fsdp * factor
        more = with_settings(experiment, (f"mesh.fsdp={fsdp}", "mesh.data=1", *remat), fsdp * mesh.tensor)
        yield more._replace(words=f"{more.devices} devices and {more.words}")


def with_settings(experiment: Experiment, settings: Sequence[str], devices: int | None) -> Change:
    """As `--set` makes it."""
    return Change(spelled(settings), apply_overrides(experiment, settings), devices)


def spelled(settings: Sequence[str]) -> str:
    return " ".join(f"--set {setting}" for setting in settings)


def with_adapters(experiment: Experiment, devices: int | None) -> Change:
    """Adapters of a frozen base in bfloat16."""
    narrow = dict(lora=Lora(), param_dtype="bfloat16", dtype="bfloat16", remat="full", scan_layers=True)
    model = dataclasses.replace(experiment.model, **narrow)
    words = "adapters, model.lora=models.Lora() and model.param_dtype='bfloat16', with model.remat='full'"
    return Change(words, dataclasses.replace(experiment, model=model), devices)


def fewer_rows(base: Change, plan: Plan, room: int) -> list[Change]:
    """Half the rows at a time wherever there was no room, a quarter, …, down to one row of a device."""
    full = [(index, moment) for index, stage in enumerate(plan.stages) for moment in stage.moments]
    full = [(index, moment) for index, moment in full if moment.total > room]
    changes: list[Change] = []
    factor, before = 2, ()
    while True:
        settings = (setting for index, moment in full for setting in fewer(base.experiment, index, moment, factor))
        if (now := tuple(dict.fromkeys(settings))) == before:
            return changes
        changed = apply_overrides(base.experiment, now)
        changes.append(Change(f"{base.words} {spelled(now)}".strip(), changed, base.devices))
        factor, before = 2 * factor, now


def fewer(experiment: Experiment, index: int, moment: Moment, factor: int) -> list[str]:
    """The settings that divide the rows of a moment by `factor`, or by as much as can be."""
    stage, rows = experiment.stages[index], (experiment.mesh.data or 1) * experiment.mesh.fsdp
    match moment.name, stage:
        case "update", _:
            most = divisor(update_rows(stage) // rows, stage.micro_batches * factor)
            return [f"stages.{index}.micro_batches={most}"] if most > stage.micro_batches else []
        case "evaluation", _:
            asked = {f"evals.{config.name}": config.batch_size for config in experiment.evals}
            asked |= {f"scalings.{config.name}": config.batch_size for config in experiment.scalings}
            sizes = {path: (size, multiple(size // factor, rows)) for path, size in asked.items()}
            return [f"{path}.batch_size={new}" for path, (size, new) in sizes.items() if new < size]
        case "rollout", rloo.Config():
            whole = stage.chunk_prompts or stage.prompts_per_step
            fits = [n for n in range(1, max(whole // factor, 1) + 1) if stage.prompts_per_step % n == 0]
            fits = [n for n in fits if n * stage.samples_per_prompt % rows == 0 and n < whole]
            return [f"stages.{index}.chunk_prompts={max(fits)}"] if fits else []
        case "rollout", ppo.Config():
            return []  # all rows of a step are drawn at once
    assert not isinstance(stage, sft.Config | ppo.Config | rloo.Config)  # the other kinds draw a number at a time
    new = multiple(stage.draw_size // factor, math.lcm(rows, stage.samples_per_prompt))
    return [f"stages.{index}.draw_size={new}"] if new < stage.draw_size else []


def update_rows(stage) -> int:
    """Rows of one step of the optimizer."""
    match stage:
        case ppo.Config():
            return stage.minibatch_size
        case rloo.Config():
            return stage.update_rows
    return stage.batch_size


def divisor(number: int, most: int) -> int:
    """The largest divisor of a number up to `most`."""
    return max((n for n in range(1, min(most, number) + 1) if number % n == 0), default=1)


def multiple(most: int, of: int) -> int:
    """The largest multiple up to `most`, or the smallest there is."""
    return max(most // of, 1) * of
