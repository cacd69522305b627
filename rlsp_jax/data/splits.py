"""Which split a generated problem belongs to: decided by its identity alone, so that no problem is in two."""

import zlib

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.source import Split


def check_shares(heldout: float, demonstrated: float) -> None:
    """Raise `UserError` unless these shares of all problems leave some to train on."""
    for name, share in (("heldout_share", heldout), ("demonstrated_share", demonstrated)):
        if not 0 <= share < 1:
            raise UserError(f"{name} is {share}; it must be at least 0 and less than 1.")
    if heldout + demonstrated >= 1:
        raise UserError(
            f"heldout_share = {heldout} and demonstrated_share = {demonstrated} leave nothing to train on; their sum "
            "must be less than 1."
        )


def split_of(identity: str, heldout: float, demonstrated: float) -> Split:
    """By a hash that is the same in every process, unlike `hash`."""
    place = zlib.crc32(identity.encode()) / 2**32
    if place < heldout:
        return "heldout"
    return "demonstrations" if place < heldout + demonstrated else "train"
