"""A pool of worker processes that judge responses, and that no response can hang, crash or empty.

Workers are new interpreters that talk over a socket. Nothing is forked, the caller's script is not imported again,
and JAX is never imported, so that a worker starts in a fraction of a second and never waits for an accelerator.

A worker is handed a few items in one message and answers each as soon as it is judged: what a round trip costs is
shared, while a worker that hangs or dies is charged with the one item that it had begun.
"""

import contextlib
import hashlib
import math
import multiprocessing
import os
import pickle
import socket
import struct
import subprocess
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import islice
from multiprocessing import connection
from typing import Any, cast

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.verifiers.outcome import Outcome, Verifier

Item = tuple[Mapping[str, Any], str]

TIMEOUT = Outcome(Verdict.UNKNOWN, None, "timeout")
WORKER_DIED = Outcome(Verdict.UNKNOWN, None, "worker died")
ERROR = "error: "  # and what the verifier raised
MEGABYTES = 2048 if sys.platform.startswith("linux") else None  # of address space: far more than a judge needs
START_SECONDS = 60.0  # far more than a start takes, even on a machine that is swapping
MAX_DEAD_STARTS = 10  # in a row: whatever kills workers from outside may meet some that start
MAX_DEATHS = 2  # an item whose worker died may have had bad luck, once
MAX_CHUNK = 16  # items a message: beyond, a round trip's share of an item's cost is small
WINDOW = 1024  # items read ahead of the first that is not judged yet


class VerifierPool:
    """Judges responses in `num_workers` processes, started at first use or by `start`. One caller at a time.

    `deadline` is in seconds per item: a worker that is late is killed and replaced, its item is unknown, and the
    other items do not notice. An item whose worker dies is tried once more. `memory_limit_mb` bounds a worker's
    address space (Linux only). The `cache_size` latest items found correct or wrong are not judged again: a verifier
    gives equal items equal verdicts. What is unknown is, since a timeout may be the machine's fault.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        num_workers: int = 1,
        deadline: float = 2.0,
        memory_limit_mb: int | None = MEGABYTES,
        cache_size: int = 10_000,
    ):
        if num_workers < 1:
            raise UserError(f"num_workers is {num_workers}; a pool needs at least 1 worker.")
        if not 0 < deadline < math.inf:
            raise UserError(f"deadline is {deadline}; it must be a positive, finite number of seconds.")
        if memory_limit_mb is not None and not sys.platform.startswith("linux"):
            raise UserError("memory_limit_mb is enforced on Linux only; leave it None here.")
        if cache_size < 0:
            raise UserError(f"cache_size is {cache_size}; it must be 0 or more.")
        if type(verifier).__module__ == "__main__":
            raise UserError(
                f"{type(verifier).__name__} is defined in the script that runs; "
                "move it to a module of its own, so that worker processes can import it."
            )
        self._setup = (pickle.dumps(verifier), deadline, memory_limit_mb)
        self._num_workers = num_workers
        self._deadline = deadline
        self._workers: list[_Worker] = []
        self._dead_starts = 0
        self._cache = _Cache(cache_size)

    def __enter__(self) -> "VerifierPool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers. A later `verify` starts new ones."""
        for worker in list(self._workers):
            self._discard(worker)

    def start(self) -> None:
        """Start all workers, and wait until each has imported its verifier. Raises RuntimeError if they cannot."""
        while self.num_ready < self._num_workers:
            self._hire(self._num_workers)
            self._collect()

    @property
    def num_ready(self) -> int:
        """How many workers have loaded their verifier and wait for items."""
        return sum(worker.idle for worker in self._workers)

    def verify(self, items: Sequence[Item]) -> list[Outcome]:
        """The outcomes of (truth, response) pairs, in order. Raises RuntimeError if workers cannot start."""
        return list(self.stream(items))

    def stream(self, items: Iterable[Item]) -> Generator[Outcome, None, None]:
        """`verify` for any number of items: each outcome as soon as it and all before it are known."""
        messages = (pickle.dumps(item) for item in items)
        jobs: deque[_Job] = deque()  # in the order of the items; equal ones share a job
        waiting: deque[_Job] = deque()
        try:
            while True:
                for message in islice(messages, WINDOW - len(jobs)):
                    job, is_new = self._cache.job(message)
                    jobs.append(job)
                    if is_new:
                        waiting.append(job)
                if not jobs:  # after reading ahead: an empty queue alone may mean that all of a window was known
                    return
                while jobs and (outcome := jobs[0].outcome) is not None:
                    jobs.popleft()
                    yield outcome
                if jobs:
                    self._hire(len(waiting) + sum(len(worker.jobs) for worker in self._workers))
                    self._hand_out(waiting)
                    waiting.extendleft(reversed(self._collect()))
        finally:  # after an error or Ctrl-C, an answer still to come belongs to no one
            for worker in [worker for worker in self._workers if worker.jobs]:
                self._discard(worker)
            self._cache.forget(jobs)

    def _hire(self, num_useful: int) -> None:
        while len(self._workers) < min(self._num_workers, num_useful):
            self._workers.append(_Worker(self._setup))

    def _hand_out(self, waiting: "deque[_Job]") -> None:
        for worker in [w for w in self._workers if w.idle]:
            if not waiting:
                return
            size = min(MAX_CHUNK, math.ceil(len(waiting) / (2 * self._num_workers)))  # smaller towards the end
            chunk = list(islice(waiting, size))
            try:
                worker.connection.send([job.message for job in chunk])
            except OSError:  # it died between two items; another will take these
                self._discard(worker)
                continue
            for _ in chunk:
                worker.jobs.append(waiting.popleft())
            worker.due = time.monotonic() + self._deadline

    def _collect(self) -> "list[_Job]":
        """Wait for the first answer or deadline, and note the outcomes known then; the jobs to hand out again."""
        busy = {worker.connection: worker for worker in self._workers if not worker.idle}
        if not busy:
            return []
        left = min(worker.due for worker in busy.values()) - time.monotonic()
        again: list[_Job] = []
        for ready in connection.wait(busy, max(0.0, left)):
            again += self._hear(busy.pop(cast(connection.Connection, ready)))
        for worker in [w for w in busy.values() if w.due <= time.monotonic()]:
            self._discard(worker)
            if not worker.ready:
                raise RuntimeError("A verifier worker did not start in time; its standard error may say why.")
            worker.jobs.popleft().finish(TIMEOUT)
            again += worker.jobs
        return again

    def _hear(self, worker: "_Worker") -> "list[_Job]":
        """Take a worker's answer; the jobs to hand out again if it died."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if worker.ready:
            worker.jobs.popleft().finish(message)
        elif message is not None:
            self._discard(worker)
            raise RuntimeError(f"A verifier worker cannot load its verifier: {message}")
        worker.ready, self._dead_starts = True, 0
        worker.due = time.monotonic() + self._deadline if worker.jobs else math.inf
        return []

    def _bury(self, worker: "_Worker") -> "list[_Job]":
        """Discard a dead worker; the jobs that it leaves."""
        self._discard(worker)
        if not worker.ready:
            self._dead_starts += 1
            if self._dead_starts == MAX_DEAD_STARTS:
                self._dead_starts = 0
                raise RuntimeError("Verifier workers die before they have started; their standard error says why.")
        elif worker.jobs:
            worker.jobs[0].deaths += 1
            if worker.jobs[0].deaths == MAX_DEATHS:
                worker.jobs.popleft().finish(WORKER_DIED)
        return list(worker.jobs)

    def _discard(self, worker: "_Worker") -> None:
        self._workers.remove(worker)
        worker.kill()


class _Job:
    """An item to judge: the digest of its pickle, the pickle until it is judged, and how many workers died of it."""

    __slots__ = ("key", "message", "outcome", "deaths")

    def __init__(self, key: bytes, message: bytes):
        self.key, self.message, self.deaths = key, message, 0
        self.outcome: Outcome | None = None

    def finish(self, outcome: Outcome) -> None:
        self.outcome, self.message = outcome, b""  # what is kept is small, however long the response was


class _Cache:
    """The latest jobs, the one used last at the end."""

    def __init__(self, size: int):
        self._size = size
        self._jobs: OrderedDict[bytes, _Job] = OrderedDict()

    def job(self, message: bytes) -> tuple[_Job, bool]:
        """The job of an item, and whether it is new: no equal item is being judged, or was found correct or wrong."""
        key = hashlib.blake2b(message, digest_size=16).digest()
        job = self._jobs.get(key)
        is_new = job is None or (job.outcome is not None and job.outcome.verdict == Verdict.UNKNOWN)
        if job is None or is_new:
            job = self._jobs[key] = _Job(key, message)
            if len(self._jobs) > self._size:
                self._jobs.popitem(last=False)
        else:
            self._jobs.move_to_end(key)
        return job, is_new

    def forget(self, jobs: Iterable[_Job]) -> None:
        """Drop the jobs that were not finished."""
        for job in jobs:
            if job.outcome is None:
                self._jobs.pop(job.key, None)


def _limit_sending(to: connection.Connection, seconds: float) -> None:
    """Have a send fail (OSError) that waits longer than this for a worker that is stopped and reads nothing."""
    with socket.socket(fileno=os.dup(to.fileno())) as end:
        whole = int(seconds)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", whole, int((seconds - whole) * 1e6)))


class _Worker:
    """A process, its connection, and its jobs, the first of which it judges now."""

    def __init__(self, setup: tuple[bytes, float, int | None]):
        self.connection, theirs = multiprocessing.Pipe()
        _limit_sending(self.connection, setup[1])
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
        self.ready = False
        self.jobs: deque[_Job] = deque()
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
