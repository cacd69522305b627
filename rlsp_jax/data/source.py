"""What a run asks of its problems, wherever they come from."""

from typing import Literal, Protocol, runtime_checkable

from rlsp_jax.records import Problem

Split = Literal["demonstrations", "train", "heldout"]


@runtime_checkable
class ProblemSource(Protocol):
    """An endless row of training problems and a set of held-out ones, which are never trained on."""

    def problems(self, split: Split, start: int, count: int, /) -> list[Problem]:
        """Problems start … start + count - 1 of a split: a function of the config and the arguments."""
        ...

    def heldout(self, count: int, /) -> list[Problem]:
        """The first `count` held-out problems; a shorter list is a prefix of a longer one."""
        ...

    def epoch_size(self) -> int | None:
        """How many training problems there are before they come again; None where they never end."""
        ...

    def parse(self, text: str, /) -> Problem:
        """The problem that a person typed."""
        ...
