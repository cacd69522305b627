"""Parity with transformers, on models drawn anew each time: `make parity` runs it where torch is installed."""

import importlib.util
import os
import random

import pytest

SEED = int(os.environ.setdefault("RLSP_PARITY_SEED", str(random.SystemRandom().randrange(2**31))))

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str:
    return f"parity: these models are drawn again with RLSP_PARITY_SEED={SEED}"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Torch's threads and XLA's would fight over the cores."""
    import torch

    torch.set_num_threads(1)
