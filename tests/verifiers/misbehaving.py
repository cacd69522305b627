"""Verifiers that do what their response says; worker processes import this file by its name."""

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import Outcome


@dataclass(frozen=True)
class Obedient:
    """Obeys a few words, and echoes all others."""

    def verify(self, truth, response):
        return Outcome(Verdict.CORRECT, response, str(obey(response)))

    def compare(self, truth, answer):
        return Outcome(Verdict.CORRECT, answer, "compared")

    def equivalence(self, answer):
        return answer


class Unloadable(Obedient):
    """Pickles here, and cannot be unpickled anywhere."""

    def __reduce__(self):
        return _refuse, ()


@dataclass(frozen=True)
class ShortLived(Obedient):
    """Ends the process that loads it, as often as the folder `marks` has room for."""

    marks: Path
    times: int

    def __reduce__(self):
        return _load_short_lived, (self.marks, self.times)


@dataclass(frozen=True)
class Patient(Obedient):
    """Loads in a worker once the file `mark` is there."""

    mark: Path

    def __reduce__(self):
        return _load_patient, (self.mark,)


def _load_patient(mark):
    obey(f"sleep until {mark}")
    return Patient(mark)


def _load_short_lived(marks, times):
    if (deaths := len(list(marks.iterdir()))) < times:
        (marks / str(deaths)).touch()
        os._exit(3)
    return ShortLived(marks, times)


def _refuse():
    raise ValueError("no such model")


def obey(response):
    match response:
        case "sleep":
            time.sleep(60)
        case "spin":
            return len(str(7 ** (10**8)))  # minutes in C, with the interpreter's lock held
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "raise":
            raise ValueError("this answer is odd")
        case "hog":
            return len(bytearray(2**32))
        case "modules":
            return " ".join(sys.modules)
        case "pid":
            return os.getpid()
        case "print":
            print("noise")
        case "warn and sleep":
            print("busy", file=sys.stderr, flush=True)
            time.sleep(60)
        case "warn and spin":
            print("busy", file=sys.stderr, flush=True)
            return 7 ** (10**9)
        case _ if response.startswith("sleep until"):
            while not Path(response.split()[-1]).exists():
                time.sleep(0.01)
        case _ if response.startswith("nap"):
            time.sleep(0.001)
        case _ if response.startswith("die at first"):
            _die_at_first(Path(response.split()[-1]))
    return response


def _die_at_first(mark):
    """As if the worker were killed from outside, the first time that the file `mark` is not there."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
