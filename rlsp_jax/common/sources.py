"""Where other people's checkpoints lie: a folder of this machine, or a name on the Hugging Face Hub. No JAX."""

import re
from collections.abc import Sequence
from pathlib import Path

from rlsp_jax.common.errors import UserError

HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")  # owner/name, or the bare name that a few old releases have


def resolve(source: str, revision: str | None, files: Sequence[str]) -> Path:
    """The folder of a checkpoint; `files` are the names, or patterns such as `*.safetensors`, that are wanted of it.

    A folder that exists is taken as it is. Otherwise the source is a Hub id: the files are fetched into the Hub's cache
    on this machine, or found there; which of them exist is the caller's to see. Raises `UserError`.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UserError(f"{source} is a folder, which has no revision {revision!r}; leave the revision out.")
        return folder
    if folder.exists():
        raise UserError(f"{source} is a file; name the folder of the checkpoint that it lies in.")
    if not HUB_ID.fullmatch(source):
        raise UserError(f"There is no folder {source}; put the checkpoint there, or give a Hub id such as owner/name.")
    return _fetch(source, revision, files)


def _fetch(name: str, revision: str | None, files: Sequence[str]) -> Path:
    """The files of a release, in the Hub's cache. What goes wrong on the way is told in one sentence."""
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError:
        raise UserError(
            f"There is no folder {name}; to fetch it from the Hub, install huggingface_hub: pip install 'rlsp_jax[hf]'."
        ) from None
    what = name if revision is None else f"{name} at {revision!r}"
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(files)))
    except errors.GatedRepoError:
        raise UserError(
            f"{name} is gated: accept its terms on its page of the Hub, then log in (hf auth login) or set HF_TOKEN."
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{name} has no revision {revision!r} on the Hub; name a branch, a tag or a commit.") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"There is no folder {name}, and no release of that name on the Hub that you may read; see to its spelling."
        ) from None
    except errors.LocalEntryNotFoundError:  # nobody answers, and the cache does not have all of it
        raise UserError(
            f"There is no folder {name}, and the Hub cannot be reached; without a network, copy the checkpoint of "
            f"{what} into a folder and name that."
        ) from None
    except Exception as error:  # of whichever HTTP library the Hub's client is built on
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UserError(f"{what} could not be fetched from the Hub ({reason}); try again, or copy it here.") from None
