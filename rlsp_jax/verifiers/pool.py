"""A pool of worker processes that judge responses, and that no response can hang, crash or empty.

Workers are new interpreters that talk over a socket. Nothing is forked, the caller's script is not imported again,
and JAX is never imported, so that a worker starts in a fraction of a second and never waits for an accelerator.
"""

import contextlib
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import connection
from typing import Any, cast

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.verifiers.outcome import Outcome, Verifier

Item = tuple[Mapping[str, Any], str]

TIMEOUT = Outcome(Verdict.UNKNOWN, None, "timeout")
WORKER_DIED = Outcome(Verdict.UNKNOWN, None, "worker died")
START_SECONDS = 60.0  # far more than a start takes, even on a machine that is swapping


class VerifierPool:
    """Judges batches of responses in `num_workers` processes, started at first use. One caller at a time.

    `deadline` is in seconds per item: a worker that is late is killed and replaced, its item is unknown, and the
    other items do not notice. `memory_limit_mb` bounds a worker's address space (Linux only).
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        num_workers: int = 1,
        deadline: float = 2.0,
        memory_limit_mb: int | None = None,
    ):
        if num_workers < 1:
            raise UserError(f"num_workers is {num_workers}; a pool needs at least 1 worker.")
        if not 0 < deadline < math.inf:
            raise UserError(f"deadline is {deadline}; it must be a positive, finite number of seconds.")
        if memory_limit_mb is not None and not sys.platform.startswith("linux"):
            raise UserError("memory_limit_mb is enforced on Linux only; leave it None here.")
        if type(verifier).__module__ == "__main__":
            raise UserError(
                f"{type(verifier).__name__} is defined in the script that runs; "
                "move it to a module of its own, so that worker processes can import it."
            )
        self._setup = (pickle.dumps(verifier), deadline, memory_limit_mb)
        self._num_workers = num_workers
        self._deadline = deadline
        self._workers: list[_Worker] = []

    def __enter__(self) -> "VerifierPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers. A later `verify` starts new ones."""
        for worker in list(self._workers):
            self._discard(worker)

    def verify(self, items: Sequence[Item]) -> list[Outcome]:
        """The outcomes of (truth, response) pairs, in order. Raises RuntimeError if workers cannot start."""
        outcomes: dict[int, Outcome] = {}
        waiting = deque(range(len(items)))
        try:
            while len(outcomes) < len(items):
                self._hire(len(items) - len(outcomes))
                self._hand_out(items, waiting)
                outcomes.update(self._collect())
        finally:  # after an error or Ctrl-C, an answer still to come belongs to no batch
            for worker in [w for w in self._workers if w.item is not None]:
                self._discard(worker)
        return [outcomes[index] for index in range(len(items))]

    def _hire(self, num_useful: int) -> None:
        while len(self._workers) < min(self._num_workers, num_useful):
            self._workers.append(_Worker(self._setup))

    def _hand_out(self, items: Sequence[Item], waiting: deque[int]) -> None:
        for worker in [w for w in self._workers if w.idle]:
            if not waiting:
                return
            message = pickle.dumps(items[waiting[0]])
            try:
                worker.connection.send_bytes(message)
            except OSError:  # it died between two items; another will take this one
                self._discard(worker)
                continue
            worker.item, worker.due = waiting.popleft(), time.monotonic() + self._deadline

    def _collect(self) -> Iterator[tuple[int, Outcome]]:
        """Wait for the first answer or deadline; the outcomes known then, by index."""
        busy = {worker.connection: worker for worker in self._workers if not worker.idle}
        if not busy:
            return
        first_due = min(worker.due for worker in busy.values())
        for ready in connection.wait(busy, max(0.0, first_due - time.monotonic())):
            yield from self._hear(busy.pop(cast(connection.Connection, ready)))
        for worker in [w for w in busy.values() if w.due <= time.monotonic()]:
            yield from self._give_up(worker, TIMEOUT)

    def _hear(self, worker: "_Worker") -> Iterator[tuple[int, Outcome]]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._give_up(worker, WORKER_DIED)
            return
        index, worker.item, worker.due = worker.item, None, math.inf
        if index is not None:
            yield index, message
        elif message is not None:
            self._discard(worker)
            raise RuntimeError(f"A verifier worker cannot load its verifier: {message}")

    def _give_up(self, worker: "_Worker", outcome: Outcome) -> Iterator[tuple[int, Outcome]]:
        self._discard(worker)
        if worker.item is None:
            raise RuntimeError(f"A verifier worker did not start ({outcome.reason}); its standard error says why.")
        yield worker.item, outcome

    def _discard(self, worker: "_Worker") -> None:
        self._workers.remove(worker)
        worker.kill()


class _Worker:
    """A process, its connection, and what it is doing: starting, idle, or judging an item of the batch."""

    def __init__(self, setup: tuple[bytes, float, int | None]):
        self.connection, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-P", "-m", "rlsp_jax.verifiers.worker", str(theirs.fileno()), str(os.getpid())]
        search_path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        self.process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # what a verifier prints is no part of a run's output
            env={**os.environ, "PYTHONPATH": search_path},  # a worker finds the modules that its parent finds
        )
        theirs.close()
        self.item: int | None = None
        self.due = time.monotonic() + START_SECONDS  # infinity: nothing is expected of it
        with contextlib.suppress(OSError):  # if it is dead already, the first `recv` will say so
            self.connection.send(setup)

    @property
    def idle(self) -> bool:
        return self.due == math.inf

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
