"""Small integer codes that the device writes and the host reads."""

import enum


class Verdict(enum.IntEnum):
    """What a verifier says of a response. `UNKNOWN` is masked and counted downstream, never scored 0."""

    WRONG = 0
    CORRECT = 1
    UNKNOWN = 2


class StopReason(enum.IntEnum):
    """Why a response ended: the model chose eos, it met the length limit, or it completed a stop sequence."""

    EOS = 0
    LENGTH = 1
    STOP = 2
