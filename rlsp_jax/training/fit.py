"""Whether an experiment fits the memory of its devices; where it does not, one sentence with a way out."""

import re

import jax

from rlsp_jax.common.errors import UserError
from rlsp_jax.training.config import Experiment
from rlsp_jax.training.plan import SPARE, Plan, make_plan, spelled_bytes
from rlsp_jax.training.suggest import suggest

SURE = 0.85  # of what a plan says is what a compiler needs at least: no run is refused that might fit
UNITS = {"GB": 10**9, "GiB": 2**30, "MB": 10**6, "MiB": 2**20}


def check_memory(experiment: Experiment) -> None:
    """Raise `UserError` where a device is known and surely cannot hold what the experiment needs."""
    room = device_room()
    if room is not None:
        plan = make_plan(experiment, jax.device_count())
        if SURE * plan.total > room:
            raise UserError(refusal(experiment, jax.device_count(), plan, room))


def device_room() -> int | None:
    """Bytes that JAX may use of a device here; None where it does not say, as on CPUs."""
    stats = jax.local_devices()[0].memory_stats()
    return stats.get("bytes_limit") if stats else None


def room_of(memory: str) -> int:
    """Bytes that can be used of a device with so much memory, such as 80GB or 16GiB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(GB|GiB|MB|MiB)", memory)
    if found is None or not float(found[1]):
        raise UserError(f"--memory is {memory!r}; it is that of one device, such as 80GB or 16GiB.")
    return int(SPARE * float(found[1]) * UNITS[found[2]])


def refusal(experiment: Experiment, devices: int | None, plan: Plan, room: int) -> str:
    """What does not fit `room` bytes, and the mildest change that was found to make all fit."""
    stage, moment = plan.fullest
    change = suggest(experiment, devices, plan, room)
    advice = f"it would fit with {change}" if change else "nothing that was tried would make it fit"
    return (
        f"The {moment.name} of stage {stage!r} needs {spelled_bytes(moment.total)} of each device, of which "
        f"{spelled_bytes(room)} can be used; {advice}."
    )
