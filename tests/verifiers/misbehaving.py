"""Verifiers that do what their response says; worker processes import this file by its name."""

import ctypes
import os
import sys
import time
from dataclasses import dataclass

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import Outcome


@dataclass(frozen=True)
class Obedient:
    """Obeys a few words, and echoes all others."""

    def verify(self, truth, response):
        return Outcome(Verdict.CORRECT, response, str(obey(response)))

    def equivalence(self, answer):
        return answer


class Unloadable(Obedient):
    """Pickles here, and cannot be unpickled anywhere."""

    def __reduce__(self):
        return _refuse, ()


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
    return response
