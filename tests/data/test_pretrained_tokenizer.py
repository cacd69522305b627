"""Published tokenizers, in the folders that checkpoints bring them in."""

import json
import re
import shutil
import sys
import unicodedata

import numpy as np
import pytest
import sentencepiece
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st

from rlsp_jax.data import PretrainedTokenizer, SentencePiece, Tokenizer, load_pretrained, token_table
from tests.data import published
from tests.data.published import FAMILIES

JSON = [name for name in FAMILIES if not name.endswith("_model")]
MODELS = [name for name in FAMILIES if name.endswith("_model")]
SPELLINGS = ["<|im_end|>", "<|eot_id|>", "</s>", "<s>", "<eos>", "<end_of_turn>", "[gMASK]", "<|user|>", "<unk>"]
PARTS = [*SPELLINGS, *published.QWEN_TEXT, *"  \n\t\0▁a1é三😀'", "<h1>", "\u0301", "ing", "\r\n", "Natalia"]
TEXT = st.text() | st.lists(st.sampled_from(PARTS)).map("".join)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    return {name: make(root / name) for name, make in FAMILIES.items()}


@pytest.fixture(scope="session")
def loaded(folders):
    return {name: PretrainedTokenizer(str(folder)).load() for name, folder in folders.items()}


def shown(name, text):
    """The text as the makers of a family normalize it."""
    if name.startswith("qwen"):
        return unicodedata.normalize("NFC", text)
    if name in ("llama3", "glm"):
        return text
    text = text.replace("▁", " ")
    return f" {text}" if text and name.startswith("llama2") else text


# ---- bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
@given(text=TEXT)
@example(text="")
@example(text=" ")
@example(text="  a  ")
@example(text="\ufeff\r\n\u2028\0\x85")
@example(text="é e\u0301 \u1e69 \u212b 漢字 😀 \U0010ffff")
@example(text="<|im_start|>system\n<|im_end|><think>")
@example(text="<0x41><0x0A>")
def test_every_text_round_trips_through_the_table(name, loaded, text):
    tokenizer = loaded[name]
    ids = tokenizer.encode(text)
    assert b"".join(tokenizer.id_to_bytes[i] for i in ids) == shown(name, text).encode()
    assert tokenizer.decode(ids) == shown(name, text)


@pytest.mark.parametrize("name", FAMILIES)
@given(text=TEXT)
def test_no_text_is_read_as_a_control_token(name, loaded, text):
    tokenizer = loaded[name]
    assert not {*tokenizer.conventions.controls.values()} & {*tokenizer.encode(text)}


@pytest.mark.parametrize("name", FAMILIES)
def test_control_tokens_have_no_bytes_and_every_byte_has_a_token(name, loaded):
    tokenizer = loaded[name]
    controls = {*tokenizer.conventions.controls.values()}
    assert controls == {i for i, piece in enumerate(tokenizer.id_to_bytes) if not piece}
    assert {bytes([byte]) for byte in range(256)} <= {*tokenizer.id_to_bytes}
    assert len(tokenizer.id_to_bytes) == tokenizer.vocab_size
    assert isinstance(tokenizer, Tokenizer)


@pytest.mark.parametrize("name", ["qwen", "llama3", "glm"])
@given(data=st.data())
def test_any_ids_decode_as_the_tokenizers_library_decodes_them(name, loaded, folders, data):
    """Byte-level BPE: also where the bytes are not UTF-8."""
    theirs = tokenizers.Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    ids = data.draw(st.lists(st.integers(0, loaded[name].vocab_size - 1), max_size=30))
    assert loaded[name].decode(ids) == theirs.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("name", ["llama2", "gemma"])
@given(text=st.text())
def test_texts_decode_as_the_tokenizers_library_decodes_them(name, loaded, folders, text):
    """Byte fallback: but for the blank that Llama-2 puts before a text, which the library takes away again."""
    theirs = tokenizers.Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    ids = loaded[name].encode(text)
    assert loaded[name].decode(ids) == " " * (name == "llama2" and text != "") + theirs.decode(ids)


def test_the_letters_of_bytes_are_those_of_the_tokenizers_library():
    """A pre-tokenizer writes each byte as a letter; the table reads it."""
    from rlsp_jax.data.token_bytes import BYTE_ALPHABET, byte_level

    writer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert {*BYTE_ALPHABET} == {*tokenizers.pre_tokenizers.ByteLevel.alphabet()}
    text = "".join(map(chr, [*range(0x20, 0x300), 0x4E09, 0x1F600]))
    ((letters, _),) = writer.pre_tokenize_str(text)
    assert byte_level(letters) == text.encode()


def test_ids_that_only_the_model_has_stand_for_nothing(loaded):
    """Embeddings have more rows than tokenizers have tokens."""
    tokenizer = loaded["qwen"]
    table, lengths = token_table(tokenizer, tokenizer.vocab_size + 13)
    assert table.shape[0] == len(lengths) == tokenizer.vocab_size + 13 and not lengths[-13:].any()
    np.testing.assert_array_equal(table[:-13], token_table(tokenizer)[0])
    assert tokenizer.decode([tokenizer.vocab_size + 12, *tokenizer.encode("x"), 10**6]) == "x"


# ---- ids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JSON)
@given(text=TEXT)
def test_marked_texts_have_the_ids_of_the_files_own_pipeline(name, loaded, folders, text):
    theirs = tokenizers.Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
    assert loaded[name].encode_marked(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("name", MODELS)
@given(text=st.text())
def test_texts_have_sentencepieces_own_ids(name, loaded, folders, text):
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folders[name] / "tokenizer.model"))
    assert loaded[name].encode(text) == theirs.encode(text)


def test_a_model_and_its_tokenizer_json_agree(tmp_path, loaded):
    """SentencePiece's file, converted: pieces in their order, merges by their rank."""
    folder = tmp_path / "converted"
    model = published.llama2_model(tmp_path / "model") / "tokenizer.model"
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = [
        (rank, left, right)
        for rank, piece in enumerate(pieces)
        for left, right in ((piece[:n], piece[n:]) for n in range(1, len(piece)))
        if left in vocab and right in vocab and not processor.is_byte(rank) and not processor.is_control(rank)
    ]
    ordered = sorted(merges, key=lambda merge: (-processor.get_score(merge[0]), vocab[merge[1]], vocab[merge[2]]))
    bpe = tokenizers.models.BPE(
        vocab, [merge[1:] for merge in ordered], unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    original = json.loads((published.llama2(folder) / "tokenizer.json").read_text())
    converted = original | {"model": json.loads(tokenizers.Tokenizer(bpe).to_str())["model"]}
    (folder / "tokenizer.json").write_text(json.dumps(converted))
    ours, theirs = load_pretrained(folder), load_pretrained(tmp_path / "model")
    for text in [*published.TEXTS, " two blanks", "\n", "tabs\tand 漢字 😀", "[INST] a [/INST]", ""]:
        assert ours.encode(text) == theirs.encode(text)
    assert ours.encode_marked("<s>[INST] a [/INST] b </s>") == theirs.encode_marked("<s>[INST] a [/INST] b </s>")


def test_llama2_puts_a_blank_before_every_stretch_of_text(loaded):
    for name in ("llama2", "llama2_model"):
        tokenizer = loaded[name]
        assert tokenizer.decode(tokenizer.encode("48 clips")) == " 48 clips"
        assert tokenizer.decode(tokenizer.encode_marked("<s>[INST] a [/INST]</s>b")) == " [INST] a [/INST] b"


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_spelt_like_a_control_token_is_one_in_marked_texts_alone(name, loaded):
    tokenizer = loaded[name]
    for spelling, token in tokenizer.conventions.controls.items():
        assert tokenizer.encode_marked(spelling) == [token]
        assert tokenizer.decode(tokenizer.encode(spelling)) == shown(name, spelling)


def test_added_tokens_that_are_no_control_tokens_are_tokens_everywhere(loaded):
    (thinks,) = loaded["qwen"].encode("<think>")
    assert loaded["qwen"].id_to_bytes[thinks] == b"<think>"
    (heading,) = loaded["gemma_model"].encode("<h1>")
    assert loaded["gemma_model"].id_to_bytes[heading] == b"<h1>"


def test_added_tokens_of_a_folder_follow_those_of_the_model(tmp_path):
    folder = published.llama2_model(tmp_path)
    size = load_pretrained(folder).vocab_size
    config = json.loads((folder / "tokenizer_config.json").read_text())
    added = {size: dict(content="<|end|>", special=True), size + 1: dict(content="<step>", special=False)}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | dict(added_tokens_decoder=added)))
    (folder / "added_tokens.json").write_text(json.dumps({"<|end|>": size, "<step>": size + 1, "[PAD]": size + 2}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    tokenizer = load_pretrained(folder)
    assert tokenizer.vocab_size == size + 3 and tokenizer.pad_id == size + 2
    assert tokenizer.encode_marked("a<step><|end|>")[-2:] == [size + 1, size]
    assert tokenizer.encode("<step>") == [size + 1] and size not in tokenizer.encode("<|end|>")
    assert tokenizer.id_to_bytes[size:] == [b"", b"<step>", b""]


# ---- conventions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "start", "eos", "stops", "pad"),
    [
        ("qwen", [], "<|im_end|>", ["<|endoftext|>"], "<|endoftext|>"),
        ("llama3", ["<|begin_of_text|>"], "<|eot_id|>", ["<|end_of_text|>", "<|eom_id|>"], "<|eot_id|>"),
        ("glm", [], "<|endoftext|>", ["<|user|>", "<|observation|>"], "<|endoftext|>"),
        ("llama2", ["<s>"], "</s>", [], "</s>"),
        ("llama2_model", ["<s>"], "</s>", [], "</s>"),
        ("gemma", ["<bos>"], "<eos>", ["<end_of_turn>"], "<pad>"),
        ("gemma_model", ["<bos>"], "<eos>", ["<end_of_turn>"], "<pad>"),
    ],
)
def test_a_folder_says_how_texts_begin_and_end(name, start, eos, stops, pad, loaded):
    tokenizer = loaded[name]
    controls = tokenizer.conventions.controls
    assert tokenizer.conventions.start_ids == tuple(controls[token] for token in start)
    assert tokenizer.eos_id == controls[eos]
    assert tokenizer.conventions.stop_ids == tuple(controls[token] for token in stops)
    assert tokenizer.pad_id == controls[pad]  # eos where none is named: masks tell padding from text


def change(folder, file, **changes):
    """A file's object with changes; None takes a key away."""
    path = folder / file
    value = (json.loads(path.read_text()) if path.exists() else {}) | changes
    path.write_text(json.dumps({name: item for name, item in value.items() if item is not None}))


def test_where_no_eos_is_named_the_first_id_that_ends_a_response_is_eos(tmp_path):
    folder = published.qwen(tmp_path)
    change(folder, "tokenizer_config.json", eos_token=None, pad_token=None)
    tokenizer = load_pretrained(folder)
    controls = tokenizer.conventions.controls
    assert (tokenizer.eos_id, tokenizer.pad_id) == (controls["<|im_end|>"],) * 2
    assert tokenizer.conventions.stop_ids == (controls["<|endoftext|>"],)


def test_a_model_alone_names_its_special_tokens(tmp_path):
    folder = published.llama2_model(tmp_path)
    for file in ("tokenizer_config.json", "generation_config.json"):
        (folder / file).unlink()
    tokenizer = load_pretrained(folder)
    assert (tokenizer.eos_id, tokenizer.pad_id, tokenizer.conventions.start_ids) == (2, 2, (1,))
    assert tokenizer.conventions.special_tokens == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def test_a_folder_may_say_that_texts_begin_without_bos(tmp_path):
    folder = published.llama2_model(tmp_path)
    change(folder, "tokenizer_config.json", add_bos_token=False)
    assert load_pretrained(folder).conventions.start_ids == ()


def test_a_token_that_only_the_settings_call_special_is_a_control_token(tmp_path):
    folder = published.qwen(tmp_path)
    change(folder, "tokenizer_config.json", additional_special_tokens=["<tool_call>"])
    tokenizer = load_pretrained(folder)
    token = tokenizer.conventions.controls["<tool_call>"]
    assert tokenizer.id_to_bytes[token] == b"" and token not in tokenizer.encode("<tool_call>")


def test_limits_that_a_file_was_saved_with_cut_and_pad_nothing(tmp_path):
    folder = published.qwen(tmp_path)
    saved = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    saved.enable_truncation(4)
    saved.enable_padding(length=8)
    saved.save(str(folder / "tokenizer.json"))
    tokenizer = load_pretrained(folder)
    assert tokenizer.decode(tokenizer.encode("x" * 20)) == "x" * 20 and len(tokenizer.encode("x")) == 1


TEMPLATE_FILES = [
    ({}, "{{ 1 }}"),
    ({"chat_template.json": '{"chat_template": "{{ 2 }}"}'}, "{{ 1 }}"),
    ({"chat_template.jinja": "{{ 3 }}"}, "{{ 3 }}"),
]


@pytest.mark.parametrize(("files", "expected"), TEMPLATE_FILES)
def test_a_template_in_a_file_of_its_own_comes_first(files, expected, tmp_path):
    folder = published.qwen(tmp_path, "{{ 1 }}")
    for name, text in files.items():
        (folder / name).write_text(text)
    assert load_pretrained(folder).conventions.templates == {"default": expected}


def test_templates_may_be_several(tmp_path):
    both = [dict(name="default", template="{{ 1 }}"), dict(name="tool_use", template="{{ 2 }}")]
    folder = published.qwen(tmp_path, both)
    assert load_pretrained(folder).conventions.templates == {"default": "{{ 1 }}", "tool_use": "{{ 2 }}"}
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "brief.jinja").write_text("{{ 3 }}")
    (folder / "chat_template.jinja").write_text("{{ 4 }}")
    assert load_pretrained(folder).conventions.templates == {"default": "{{ 4 }}", "brief": "{{ 3 }}"}


def test_a_template_of_older_releases_lies_in_a_json_file(tmp_path):
    folder = published.qwen(tmp_path, "")
    (folder / "chat_template.json").write_text('{"chat_template": "{{ 2 }}"}')
    assert load_pretrained(folder).conventions.templates == {"default": "{{ 2 }}"}


# ---- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_tokenizer_is_the_same_one_without_the_place_that_it_came_from(name, tmp_path):
    source, target = FAMILIES[name](tmp_path / "source"), tmp_path / "run" / "tokenizer"
    (source / "model.safetensors").write_text("weights")
    (source / "chat_template.jinja").write_text("{{ messages }}")
    before = load_pretrained(source)
    before.save(target)
    assert {path.name for path in target.parent.iterdir()} == {"tokenizer"}
    assert not (target / "model.safetensors").exists()
    shutil.rmtree(source)
    after = load_pretrained(target)
    assert after.id_to_bytes == before.id_to_bytes
    assert after.encode("48 clips, 三") == before.encode("48 clips, 三")
    assert after.conventions == before.conventions._replace(source=str(target))


def test_saving_into_a_folder_adds_to_what_lies_there(tmp_path):
    target = tmp_path / "export"
    target.mkdir()
    (target / "config.json").write_text("{}")
    load_pretrained(published.glm(tmp_path / "source")).save(target)
    assert {path.name for path in target.iterdir()} == {
        *("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
    }


# ---- what is wrong with a folder -----------------------------------------------------------------


def refused(folder):
    with pytest.raises(ValueError) as error:
        load_pretrained(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_without_a_tokenizer_is_one_clear_sentence(tmp_path):
    assert re.fullmatch(r".* has neither tokenizer.json nor tokenizer.model, so .*", refused(tmp_path))


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_a_file_that_was_cut_short_is_one_clear_sentence(file, tmp_path):
    folder = published.llama3(tmp_path)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    assert refused(folder) == f"{folder / file} is not whole: it holds no JSON object; copy or fetch it again."


def test_json_that_is_no_tokenizer_is_one_clear_sentence(tmp_path):
    (path := tmp_path / "tokenizer.json").write_text('{"model": {}}')
    assert refused(tmp_path).startswith(f"{path} is no tokenizer that the tokenizers library reads (")


def test_a_model_that_is_none_is_one_clear_sentence(tmp_path):
    """Such as the vocabularies of tiktoken, which some releases give that name, and a model that was cut short."""
    path = published.llama2_model(tmp_path) / "tokenizer.model"
    for content in (b"YWJj 1\nZGVm 2\n", path.read_bytes()[:5000]):
        path.write_bytes(content)
        assert refused(tmp_path).startswith(f"{path} is no SentencePiece model: it was cut short, or holds")


def test_a_model_without_byte_fallback_is_refused(tmp_path):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a few words to learn", "and some more of them"] * 9),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    assert "has no byte fallback, so that texts would lose characters" in refused(tmp_path)


def test_a_tokenizer_that_is_not_exact_in_bytes_is_refused(tmp_path):
    words = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    words.decoder = tokenizers.decoders.WordPiece()
    words.save(str(tmp_path / "tokenizer.json"))
    assert "decodes tokens by WordPiece, which does not say what bytes each token stands for" in refused(tmp_path)


def test_an_eos_that_is_no_token_is_one_clear_sentence(tmp_path):
    folder = published.qwen(tmp_path)
    change(folder, "tokenizer_config.json", eos_token="<|done|>")
    assert "names '<|done|>' as eos_token, which is no token of its vocabulary." in refused(folder)


def test_a_folder_that_does_not_say_what_ends_a_response_is_one_clear_sentence(tmp_path):
    folder = published.qwen(tmp_path)
    (folder / "generation_config.json").unlink()
    change(folder, "tokenizer_config.json", eos_token=None)
    assert refused(folder).startswith(f"Nothing in {folder} says what ends a response; add eos_token to its")


def test_without_the_library_it_is_said_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.delitem(sys.modules, "rlsp_jax.data.hf_tokenizer", raising=False)
    assert refused(published.qwen(tmp_path)).endswith("install it: pip install 'rlsp_jax[hf]'.")


def test_a_source_is_named():
    with pytest.raises(ValueError, match=r"^source is empty; name the folder of a checkpoint, or a Hub id"):
        PretrainedTokenizer("")


def test_a_trained_tokenizer_has_no_conventions(tmp_path):
    tokenizer = SentencePiece(300).train(["a b c"], tmp_path / "tokenizer.model")
    assert not any(tokenizer.conventions[1:]) and isinstance(tokenizer, Tokenizer)
    assert tokenizer.encode_marked("</s> a") == tokenizer.encode("</s> a")
