"""What a run is opened with."""

import importlib
import sys
from pathlib import Path

import pytest

VERIFIERS = Path(__file__).parent.parent / "verifiers"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited on Linux only")
def test_a_response_cannot_take_the_machines_memory_and_the_others_are_judged(open_debug, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(VERIFIERS), *sys.path])
    with open_debug(verifier=importlib.import_module("misbehaving").Obedient()) as run:
        before, hog, after = run.judge.pool.verify([({}, response) for response in ("a", "hog", "b")])
    assert hog.reason.startswith("error: MemoryError")
    assert (before.extracted, after.extracted) == ("a", "b")
