import functools
import http.server
import json
import threading

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import GSM8K
from rlsp_jax.data.gsm8k import Row
from rlsp_jax.data.jsonl import read_rows
from tests.data.releases import REAL, gsm8k_rows, needs_real, write_gsm8k, write_lines


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The published files behind TFDS's own links, on a server of this machine."""
    from tensorflow_datasets.text.gsm8k import gsm8k

    folder = write_gsm8k(tmp_path / "published")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for part in gsm8k._URLS:
            monkeypatch.setitem(gsm8k._URLS, part, f"http://127.0.0.1:{server.server_port}/{part}.jsonl")
        yield folder
        server.shutdown()
        thread.join()


def test_the_gold_answer_follows_the_mark_and_the_level_is_the_number_of_steps(tmp_path):
    rows = GSM8K(folder=write_gsm8k(tmp_path)).read("train")
    assert len(rows) == 12
    assert rows == sorted(rows)  # of one order, whatever the files'
    assert Row("A train farmer has 2 hens and buys 1,002 more. How many?", "1,004", "2 steps", ("1004",)) in rows


def test_long_solutions_are_one_level(tmp_path):
    row = {"question": "Q?", "answer": "\n".join(["step"] * 11) + "\n#### 1"}
    write_lines(tmp_path / "test.jsonl", [row, {"question": "R?", "answer": "step\n#### 2"}])
    assert [row.level for row in GSM8K(folder=tmp_path).read("test")] == ["8+ steps", "1 step"]


def test_tfds_downloads_once_and_gives_what_the_files_give(published, tmp_path):
    kept = GSM8K(data_dir=str(tmp_path / "tfds"))
    for part in ("train", "test"):
        assert kept.read(part) == GSM8K(folder=published).read(part)
    (published / "train.jsonl").unlink()
    assert kept.read("train") == GSM8K(data_dir=str(tmp_path / "tfds"), seed=1).read("train")
    assert GSM8K(folder=published).heldout(4) == kept.heldout(4)


def test_without_a_network_one_sentence_says_what_to_do(published, tmp_path, monkeypatch):
    import requests

    def refuse(url, **_):
        raise requests.ConnectionError(url)

    monkeypatch.setattr(requests, "head", refuse)
    sentence = r"^GSM8K is not in .*1\.0\.0 and could not be downloaded \(ConnectionError\); prepare it on a machine"
    with pytest.raises(UserError, match=sentence):
        GSM8K(data_dir=str(tmp_path / "tfds")).heldout(1)


def test_a_file_that_is_gone_from_the_server_is_one_sentence(published, tmp_path):
    (published / "test.jsonl").unlink()
    with pytest.raises(UserError, match=r"could not be downloaded \(DownloadError\); prepare it on a machine"):
        GSM8K(data_dir=str(tmp_path / "tfds")).heldout(1)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"question": "Q?", "answer": "It is 5."}, "line 2 has no gold answer after ####; use the files"),
        ({"question": "Q?", "answer": "It is 5.\n#### "}, "line 2 has no gold answer"),
        ({"problem": "Q?", "answer": "#### 5"}, "line 2 lacks the text fields 'question' and 'answer'"),
    ],
)
def test_a_bad_row_is_one_sentence_naming_file_and_line(tmp_path, row, sentence):
    write_lines(tmp_path / "train.jsonl", [*gsm8k_rows("train", 1), row])
    with pytest.raises(UserError, match=f"train.jsonl, {sentence}"):
        GSM8K(folder=tmp_path).read("train")


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"^There is no file .*test\.jsonl; put it there"):
        GSM8K(folder=tmp_path).heldout(1)


@needs_real
def test_the_real_release_is_read_as_a_whole(tmp_path):
    """The real rows, written back in the layout of the release."""
    expected = {}
    for part, count in (("train", 7473), ("test", 1319)):
        with open(REAL / f"gsm8k_{part}.jsonl", "rb") as file:
            kept = [json.loads(line) for line in file]
        rows = [{"question": row["problem"], "answer": row["solution"]} for row in kept]
        write_lines(tmp_path / f"{part}.jsonl", rows)
        expected[part] = sorted((row.question, row.answer) for row in read_rows(REAL / f"gsm8k_{part}.jsonl"))
        assert len(rows) == count
    source = GSM8K(folder=tmp_path)
    for part in ("train", "test"):
        # the published text writes 1,200 where the reference has 1200
        assert [(row.question, row.answer.replace(",", "")) for row in source.read(part)] == expected[part]
    assert source.epoch_size() == 7473
    first = source.problems("train", 0, 7473)
    assert len({problem.question for problem in first}) == 7473 == source.epoch_size()
    assert not {problem.question for problem in first} & {problem.question for problem in source.heldout(1319)}


def test_the_steps_of_a_reference_are_the_calculators_results_in_order(tmp_path):
    solution = "Half: 48/2 = <<48/2=24>>24.\nAll: $72 = <<48+24= 72 >>72, <<1=2=.5>>, <<no sum>> and <<3*4=>>.\n#### 72"
    write_lines(tmp_path / "test.jsonl", [{"question": "Q?", "answer": solution}])
    assert [row.steps for row in GSM8K(folder=tmp_path).read("test")] == [("24", "72", ".5")]
    assert [problem.steps for problem in GSM8K(folder=tmp_path).heldout(1)] == [("24", "72", ".5")]
