"""A run to look at, without the seconds that a whole one takes."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from rich.console import Console

from rlsp_jax.sharding import make_mesh
from rlsp_jax.training import load_experiment, train
from rlsp_jax.training.progress import Display
from rlsp_jax.training.run import Run

DEBUG = Path(__file__).parent.parent.parent / "experiments" / "debug.py"


@pytest.fixture
def open_debug(tmp_path, monkeypatch):
    """Open the debug experiment, with changes, in a workdir."""
    monkeypatch.setattr(train, "TOKENIZER_TEXTS", 200)

    @contextlib.contextmanager
    def open_debug(**changes) -> Iterator[Run]:
        experiment = dataclasses.replace(load_experiment(DEBUG).experiment, **changes)
        mesh = make_mesh(experiment.mesh)
        display = Display(Console(), enabled=False)
        with jax.set_mesh(mesh), train.open_run(experiment, tmp_path, mesh, display) as run:
            yield run

    return open_debug


@pytest.fixture
def run(open_debug):
    """A run before its first step."""
    with open_debug() as run:
        yield run
