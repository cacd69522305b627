"""The contracts of pyproject.toml hold, and each of them would notice a breach."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def lint_imports(folder: Path, *contracts: str) -> subprocess.CompletedProcess:
    """Run import-linter on the package in `folder`, whatever is installed."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    chosen = [word for contract in contracts for word in ("--contract", contract)]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "default"}
    return subprocess.run([*command, *chosen], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository's package that may be spoiled."""
    shutil.copytree(ROOT / "rlsp_jax", tmp_path / "rlsp_jax", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_is_kept():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_room_is_a_package():
    folders = [path for path in (ROOT / "rlsp_jax").rglob("*") if path.is_dir() and any(path.glob("*.py"))]
    assert folders and [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_rooms_without_jax_really_start_without_it():
    rooms = next(contract["source_modules"] for contract in CONTRACTS if contract["id"] == "no-jax")
    script = f"""
import importlib, pkgutil, sys
for room in {rooms!r}:
    module = importlib.import_module(room)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), room + "."):
        importlib.import_module(found.name)
sys.exit(", ".join(sorted({{"jax", "jaxlib", "flax", "optax"}} & set(sys.modules))) or 0)
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, f"loaded: {result.stderr}"


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        ("floors", "common/words.py", "import rlsp_jax.records"),  # up
        ("floors", "rl/sideways.py", "import rlsp_jax.models"),  # sideways
        ("floors", "newroom/__init__.py", ""),  # no floor decided
        ("floors", "newfile.py", ""),
        ("no-jax", "verifiers/sympy_math.py", "import jax"),
        ("no-jax", "behaviors/device.py", "from rlsp_jax.types import Rollout"),  # indirectly, through jaxtyping
        ("no-jax", "records.py", "from rlsp_jax.common import masked"),  # indirectly
        ("no-jax", "report/curves.py", "import optax"),
        ("flax", "rl/module.py", "from flax import linen"),
        ("optax", "rl/clipping.py", "import optax"),
    ],
)
def test_a_breach_is_noticed(copy, contract, file, line):
    path = copy / "rlsp_jax" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{line}\n" + (path.read_text() if path.exists() else ""))
    result = lint_imports(copy, contract)
    assert result.returncode == 1 and "BROKEN" in result.stdout, result.stdout + result.stderr


def test_every_contract_has_a_breach_above():
    breaches = {mark.args[1][i][0] for mark in test_a_breach_is_noticed.pytestmark for i in range(len(mark.args[1]))}
    assert breaches == {contract["id"] for contract in CONTRACTS}
