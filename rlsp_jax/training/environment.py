"""Where a run happens: versions, revision, devices, the time; and how JAX is set up before it starts."""

import datetime
import functools
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import jax


def use_compilation_cache() -> None:
    """Keep compiled programs in `~/.cache/rlsp_jax` (or `$RLSP_CACHE`), so that a second start is fast."""
    folder = os.environ.get("RLSP_CACHE") or str(Path.home() / ".cache" / "rlsp_jax")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def versions() -> dict[str, str]:
    """The versions that decide what a run computes."""
    names = ("rlsp_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "sentencepiece", "numpy")
    return {name: version(name) for name in names}


def git_revision() -> str:
    """The checkout's commit, with `+changes` when files differ from it; empty outside a checkout."""
    here = Path(__file__).parent
    show = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True, check=False)
    try:
        commit = show(["git", "rev-parse", "HEAD"])
        dirty = show(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    except OSError:
        return ""
    return "" if commit.returncode else commit.stdout.strip() + ("+changes" if dirty else "")


def devices() -> str:
    kind = jax.devices()[0].device_kind
    return f"{jax.device_count()} × {kind} ({jax.default_backend()})"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
