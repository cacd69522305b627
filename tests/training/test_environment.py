"""Where a run happens, and how its process is set up."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rlsp_jax.training import environment

ROOT = Path(__file__).parent.parent.parent


def run(script: str, **extra: str) -> str:
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | extra
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is Linux's")
def test_freed_memory_stays_in_the_process():
    script = """
        import resource
        import numpy as np
        from rlsp_jax.training.environment import keep_freed_memory
        assert {before}
        np.ones(2**21)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            np.ones(2**21)  # 16 MiB each time
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    given_back, kept = (int(run(script.format(before=before))) for before in ("True", "keep_freed_memory()"))
    assert kept < given_back / 4


def test_the_compilation_cache_is_where_it_is_said_to_be(tmp_path):
    script = """
        import jax
        from rlsp_jax.training.environment import use_compilation_cache
        use_compilation_cache()
        print(jax.config.jax_compilation_cache_dir)
    """
    default = run(script, HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR="")
    assert default == str(tmp_path / ".cache" / "rlsp_jax")
    assert run(script, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "elsewhere")) == str(tmp_path / "elsewhere")


def test_versions_and_devices_are_named():
    versions = environment.versions()
    assert versions["python"].count(".") == 2 and all(versions[name] for name in ("jax", "flax", "numpy"))
    assert environment.devices() == "8 × cpu (cpu)"
    assert environment.now().endswith("+00:00")


def test_the_revision_is_that_of_this_checkout_and_not_of_one_around_it(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "tracked.py").write_text("1")
    subprocess.run([*git, "add", "tracked.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "installed.py"))
    assert environment.git_revision() == ""
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "tracked.py"))
    assert len(environment.git_revision()) == 40
    (tmp_path / "tracked.py").write_text("2")
    assert environment.git_revision().endswith("+changes")
