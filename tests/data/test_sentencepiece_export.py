"""A tokenizer that was trained here, written as `transformers` loads it; that it does is told by `make parity`."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlsp_jax.data import SEARCH_SYMBOLS, load_pretrained, load_sentencepiece
from rlsp_jax.data.sentencepiece_export import export_sentencepiece

PARTS = [*" \n\0\t▁a1-é=(", "  ", "try", "answer:", "</s>", "<pad>", "<0x41>", "111", *SEARCH_SYMBOLS]


@pytest.fixture(scope="module")
def pairs(tokenizer, worded, tmp_path_factory):
    """Each tokenizer, and what its export is read as."""
    found = []
    for each in (tokenizer, worded):
        folder = tmp_path_factory.mktemp("exported")
        export_sentencepiece(folder, each)
        found.append((each, load_pretrained(folder), folder))
    return found


@settings(max_examples=200, deadline=None)
@given(st.text() | st.lists(st.sampled_from(PARTS)).map("".join))
@example("try 36+7=43 check 33 no back\nback\ntry 3*7=21\ntry 21+12=33 check 33 yes\nanswer: (3*7)+12")
@example("a▁ ▁▁b \u2581\r\n\ufeff漢字😀")
def test_every_text_has_the_same_ids(pairs, text):
    for ours, written, _ in pairs:
        assert written.encode(text) == ours.encode(text)


def test_every_id_has_the_same_bytes_and_the_same_part(pairs):
    for ours, written, folder in pairs:
        assert written.id_to_bytes == ours.id_to_bytes
        assert (written.eos_id, written.pad_id) == (ours.eos_id, ours.pad_id)
        assert load_sentencepiece(folder / "tokenizer.model").id_to_bytes == ours.id_to_bytes
        config = json.loads((folder / "tokenizer_config.json").read_text())
        assert [config[name] for name in ("pad_token", "eos_token", "unk_token")] == ["<pad>", "</s>", "<unk>"]
