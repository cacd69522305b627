"""Checkpoints are found in folders, and on a Hub that is asked over a real connection."""

import json
import os
import subprocess
import sys

import pytest

from rlsp_jax.common.sources import resolve
from tests.common import hub

FILES = {
    "tokenizer.json": b"{}",
    "config.json": b'{"a": 1}',
    "templates/more.jinja": b"x",
    "model.safetensors": b"w" * 99,
}
ASK = """
import json, sys
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.sources import resolve

for source, revision, files in json.load(sys.stdin):
    try:
        folder = resolve(source, revision, files)
        there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        print(json.dumps([folder.name, there]))
    except UserError as error:
        print(json.dumps(str(error)))
"""


def ask(home, endpoint, *asked):
    """What `resolve` answers in a process of its own, since the Hub's client reads its settings when it is loaded."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "2"}
    done = subprocess.run(
        [sys.executable, "-c", ASK], input=json.dumps(asked), env=os.environ | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    assert resolve(str(tmp_path), None, ("*",)) == tmp_path
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("own", None, ("*",)).samefile(tmp_path / "own")


@pytest.mark.parametrize(
    ("source", "revision", "sentence"),
    [
        ("{}", "main", r"is a folder, which has no revision 'main'; leave the revision out\.$"),
        ("{}/file", None, r"is a file; name the folder of the checkpoint that it lies in\.$"),
        ("{}/nowhere", None, r"^There is no folder .*/nowhere; put the checkpoint there, or give a Hub id such as"),
        ("./nowhere", None, r"^There is no folder ./nowhere; put the checkpoint there"),
        ("a/b/c", None, r"^There is no folder a/b/c; put the checkpoint there"),
    ],
)
def test_what_is_no_folder_is_one_clear_sentence(source, revision, sentence, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=sentence):
        resolve(source.format(tmp_path), revision, ("*",))


def test_without_the_hubs_client_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"^There is no folder owner/model; .*: pip install 'rlsp_jax\[hf\]'\.$"):
        resolve("owner/model", None, ("*",))


def test_of_a_release_the_files_asked_for_are_fetched_and_the_rest_is_told_in_one_sentence(tmp_path):
    wanted = ["tokenizer.json", "config.json", "templates/*.jinja", "absent.json"]
    with hub.serving(FILES) as server:
        got, again, gated, unknown, lost = ask(
            tmp_path,
            server.url,
            (hub.NAME, None, wanted),
            (hub.NAME, hub.REVISION, wanted),
            (hub.GATED, None, wanted),
            ("owner/other", None, wanted),
            (hub.NAME, "v9", wanted),
        )
        assert {*server.sent} == {"tokenizer.json", "config.json", "templates/more.jinja"}
    assert got == again == [hub.COMMIT, ["config.json", "templates/more.jinja", "tokenizer.json"]]
    assert gated.startswith("owner/gated is gated: accept its terms on its page of the Hub, then log in")
    assert unknown.startswith(
        "There is no folder owner/other, and no release of that name on the Hub that you may read"
    )
    assert lost == "owner/model has no revision 'v9' on the Hub; name a branch, a tag or a commit."
    without = ask(
        tmp_path, "http://127.0.0.1:9", (hub.NAME, None, wanted), (hub.NAME, None, ["*"]), ("a/b", None, wanted)
    )
    assert without[0] == got, "what was fetched before needs no network"
    for sentence, name in zip(without[1:], (hub.NAME, "a/b"), strict=True):
        assert sentence.startswith(f"There is no folder {name}, and the Hub cannot be reached; without a network, copy")
