"""What supervised learning asks of its demonstrations, whatever they show."""

from typing import Protocol, runtime_checkable

from rlsp_jax.data.lessons import Message
from rlsp_jax.records import Problem


@runtime_checkable
class DemonstrationSource(Protocol):
    """Worked responses to problems; a frozen dataclass."""

    def trace(self, problem: Problem, number: int, /) -> str:
        """Demonstration `number` of a problem: a pure function of the source, the problem and the number."""
        ...


@runtime_checkable
class OwnProblems(Protocol):
    """A source of demonstrations that brings the problems they are about, instead of taking the experiment's."""

    def problems(self, start: int, count: int, /) -> list[Problem]:
        """The problems of demonstrations start … start + count - 1."""
        ...


@runtime_checkable
class Conversations(Protocol):
    """A source of whole conversations, of which every turn of the assistant is to be learned."""

    def conversations(self, start: int, count: int, /) -> list[tuple[Message, ...]]:
        """Conversations start … start + count - 1."""
        ...
