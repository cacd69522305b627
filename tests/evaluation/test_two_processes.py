import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rlsp_jax.common.codes import Verdict
from tests.evaluation.two_processes import TEXTS

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_each_process_has_its_own_rows_judged_and_all_get_their_verdicts():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.evaluation.two_processes", address, str(number)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    asked = [re.search(r"asked\|(.*)", text)[1].split("|") for text in printed]
    assert asked == [[text for text in half if text != "none"] for half in (TEXTS[:4], TEXTS[4:])]
    outcomes = {}
    for text in printed:
        for start, *verdicts in (map(int, line.split()) for line in re.findall(r"verdicts (.*)", text)):
            outcomes |= dict(enumerate(verdicts, start))
    right = {"answer: 1+2", "answer: 2+1", "answer: (1+2)"}
    assert outcomes == {i: Verdict.CORRECT if text in right else Verdict.WRONG for i, text in enumerate(TEXTS)}
