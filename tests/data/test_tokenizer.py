import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlsp_jax.data import SEARCH_SYMBOLS, SentencePiece, load_sentencepiece, token_table


@settings(max_examples=200, deadline=None)
@given(st.text())
@example("")
@example("▁")
@example("a▁ ▁▁b \u2581")
@example("\0")
@example("a\0b\n\n\t  x   ")
@example("\r\n\ufeff\u2028\u0085")
@example("<s></s><unk><pad><0x41>")
@example(" \u2047 ⁇ \ufffd")
@example("é漢字😀e\u0301")
@example("3 7 12 = 33\ntry 3*12=36\ntry 36+7=43 check 33 no back\nback\nanswer: none")
def test_every_string_round_trips(tokenizer, worded, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert worded.decode(worded.encode(text)) == text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*" \n\0\t▁a1-é=(", "try", "answer:", *SEARCH_SYMBOLS])).map("".join))
def test_every_string_of_awkward_parts_round_trips_without_control_tokens(tokenizer, worded, text):
    for each in (tokenizer, worded):
        ids = each.encode(text)
        assert each.decode(ids) == text
        assert not {each.eos_id, each.pad_id} & set(ids)
        assert b"".join(each.id_to_bytes[i] for i in ids) == text.encode()


def test_bytes_that_are_not_utf8_become_replacement_characters(tokenizer):
    assert tokenizer.decode([tokenizer.id_to_bytes.index(b"\xff")]) == "\ufffd"


def test_control_tokens_have_no_bytes_and_all_256_bytes_have_a_token(tokenizer):
    assert (tokenizer.pad_id, tokenizer.eos_id) == (0, 1)
    assert [i for i, piece in enumerate(tokenizer.id_to_bytes) if piece == b""] == [0, 1, 2]
    assert {bytes([b]) for b in range(256)} <= set(tokenizer.id_to_bytes)
    assert len(tokenizer.id_to_bytes) == tokenizer.vocab_size == 320


def test_digits_newlines_and_common_words_are_single_tokens(tokenizer):
    line = "try 36+7=43 check 33 no back\n"
    pieces = [tokenizer.id_to_bytes[i].decode() for i in tokenizer.encode(line)]
    assert pieces == ["try", " ", *"36+7=43", " check", " ", *"33", " no", " back", "\n"]
    for word in ("answer:", "back", " yes", *"0123456789"):
        assert len(tokenizer.encode(word)) == 1


def test_a_symbol_is_one_token_with_its_blanks_and_its_newline(worded):
    text = "try 36+7=43 check 33 no back\nback\ntry 3*7=21\ntry 21+12=33 check 33 yes\nanswer: (3*7)+12"
    pieces = [worded.id_to_bytes[i].decode() for i in worded.encode(text)]
    found = [piece for piece in pieces if piece in SEARCH_SYMBOLS]
    assert found == ["try ", " check ", " no back\n", "back\n", "try ", "try ", " check ", " yes\n", "answer: "]
    assert set(pieces) - set(SEARCH_SYMBOLS) <= {*"0123456789+*=()\n", ")+"}
    assert worded.vocab_size == 320


@pytest.mark.parametrize("symbols", [("a", "a"), ("",), ("a▁b",)])
def test_impossible_symbols_are_refused(symbols):
    with pytest.raises(ValueError, match="^symbols is .*; they must be distinct, not empty, and without U\\+2581"):
        SentencePiece(320, symbols)


def test_training_twice_writes_the_same_bytes(traces, tmp_path):
    first, second = tmp_path / "a" / "tokenizer.model", tmp_path / "elsewhere" / "t.model"
    SentencePiece(330).train(traces[:1000], first)
    SentencePiece(330).train(iter(traces[:1000]), second)
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == ["tokenizer.model"]


def test_a_saved_tokenizer_loads_as_the_same_one(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "new" / "tokenizer.model")
    loaded = load_sentencepiece(tmp_path / "new" / "tokenizer.model")
    assert loaded.id_to_bytes == tokenizer.id_to_bytes
    assert loaded.encode("try 3*7=21") == tokenizer.encode("try 3*7=21")


def test_training_is_quiet(traces, tmp_path, capfd):
    SentencePiece().train(traces[:200], tmp_path / "tokenizer.model")
    assert capfd.readouterr() == ("", "")


def test_training_on_awkward_texts_keeps_the_round_trip(tmp_path):
    texts = ["a\0b\tc\u2047 d", "x▁y  z", "x▁y  z\n\n", "\n", ""]
    tokenizer = SentencePiece(400).train(texts, tmp_path / "tokenizer.model")
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts)


def test_a_vocabulary_larger_than_its_text_comes_out_smaller(tmp_path):
    tokenizer = SentencePiece(4000).train(["try 1+2=3"], tmp_path / "tokenizer.model")
    assert 268 < tokenizer.vocab_size == len(tokenizer.id_to_bytes) < 300


def test_a_vocabulary_without_room_for_the_characters_is_one_clear_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"^vocab_size is 259; it must exceed 259, the 256 byte tokens and 3 special"):
        SentencePiece(259)
    with pytest.raises(ValueError, match=r"^vocab_size is 263; it must exceed 263: .* and the 4 characters of the"):
        SentencePiece(263).train(["ab c\nab"], tmp_path / "tokenizer.model")
    assert SentencePiece(264).train(["ab c\nab"], tmp_path / "tokenizer.model").vocab_size == 264


@pytest.mark.parametrize("texts", [[], [""], ["\n\n"]])
def test_training_on_nothing_is_one_clear_sentence(texts, tmp_path):
    with pytest.raises(ValueError, match=r"^There is no text to train a tokenizer on\.$"):
        SentencePiece().train(texts, tmp_path / "tokenizer.model")


def test_the_token_table_holds_the_bytes_of_every_token(tokenizer):
    table, lengths = token_table(tokenizer)
    assert table.dtype == np.uint8 and lengths.dtype == np.int32
    assert table.shape == (tokenizer.vocab_size, max(map(len, tokenizer.id_to_bytes)))
    for row, length, piece in zip(table, lengths, tokenizer.id_to_bytes, strict=True):
        assert row.tobytes() == piece.ljust(table.shape[1], b"\0") and length == len(piece)
