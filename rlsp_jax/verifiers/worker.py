"""One worker process of a `VerifierPool`: reads items from its connection and answers them until it ends.

    python -m rlsp_jax.verifiers.worker FD PARENT_PID

The first message is (pickled verifier, seconds an item may compute, megabytes or None), answered by None once all is
imported, or by a sentence if the verifier cannot be loaded. Each further one is a list of pickled (truth, response),
answered by one `Outcome` after the other, each sent as soon as it is known.
"""

import os
import pickle
import resource
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers.outcome import Outcome, Verifier
from rlsp_jax.verifiers.pool import ERROR

MAX_REASON = 200  # characters


def main(connection: Connection, parent: int) -> None:
    """Serve until the parent closes its end, dies, or kills this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    try:
        verifier, cpu_seconds = _set_up(connection)
        while True:
            for message in connection.recv():
                _limit_cpu(cpu_seconds)
                connection.send_bytes(_answer(verifier, message))
    except (EOFError, OSError):  # the parent is gone or has no more use for this worker
        return


def _set_up(connection: Connection) -> tuple[Verifier, float]:
    """Load the verifier, and report how that went."""
    pickled_verifier, cpu_seconds, memory_limit_mb = connection.recv()
    try:
        if memory_limit_mb is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (memory_limit_mb * 2**20, hard))
        verifier = pickle.loads(pickled_verifier)
    except Exception as error:
        connection.send(_describe(error))
        raise SystemExit(1) from error
    connection.send(None)
    return verifier, cpu_seconds


def _answer(verifier: Verifier, message: bytes) -> bytes:
    """The pickled outcome of one item; an exception is an unknown outcome, never a wrong one."""
    try:
        truth, response = pickle.loads(message)
        return pickle.dumps(verifier.verify(truth, response))
    except Exception as error:
        return pickle.dumps(Outcome(Verdict.UNKNOWN, None, ERROR + _describe(error)))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_REASON]


def _limit_cpu(seconds: float) -> None:
    """Have the kernel end this process if the next item computes for longer than `seconds`.

    The parent kills a late worker well before. This is for a parent that died meanwhile: the thread that notices
    cannot run while a long computation in C holds the interpreter's lock.
    """
    soft = int(time.process_time() + seconds) + 2
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])), int(sys.argv[2]))
