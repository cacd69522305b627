"""Where a run happens: versions, revision, devices, the time; and how a process is set up for JAX."""

import ctypes
import datetime
import functools
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

KEPT_SIZES = (2**30, 2**25)  # bytes: freed blocks up to this size are kept; glibc before 2.35 takes no more than 2²⁵
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>


def set_up_process() -> None:
    """What every process that computes begins with, before JAX allocates or compiles anything."""
    keep_freed_memory()
    use_compilation_cache()


def use_compilation_cache() -> None:
    """Keep compiled programs in `$JAX_COMPILATION_CACHE_DIR`, else `~/.cache/rlsp_jax`: a second start is fast."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(Path.home() / ".cache" / "rlsp_jax")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def keep_freed_memory() -> bool:
    """Have glibc's malloc keep freed memory in the process; True where that took effect, which is Linux only.

    XLA on CPU frees its temporaries after each step. Given back to the system, every page of them is mapped and
    zeroed again in the next one.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(any(mallopt(option, size) for size in KEPT_SIZES) for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


def versions() -> dict[str, str]:
    """The versions that decide what a run computes."""
    names = ("rlsp_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "sentencepiece", "tokenizers", "numpy")
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return ""


def git_revision() -> str:
    """The checkout's commit, with `+changes` when files differ from it; empty outside a checkout."""
    here = Path(__file__)
    show = functools.partial(subprocess.run, cwd=here.parent, capture_output=True, text=True, check=False)
    try:
        tracked = show(["git", "ls-files", "--error-unmatch", here.name])  # not just a .venv inside a checkout
        commit = show(["git", "rev-parse", "HEAD"])
        dirty = show(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    except OSError:
        return ""
    return "" if tracked.returncode or commit.returncode else commit.stdout.strip() + ("+changes" if dirty else "")


def devices() -> str:
    kind = jax.devices()[0].device_kind
    return f"{jax.device_count()} × {kind} ({jax.default_backend()})"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
