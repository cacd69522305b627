"""Tokenizers and chat templates against `transformers`: the same ids, the same texts, the same masks.

The texts are drawn anew in each run; a failure names the seed that draws the same ones again.
"""

import datetime
import json
import os
import random

import pytest

from rlsp_jax.data import Chat, SentencePiece, load_pretrained
from rlsp_jax.data.sentencepiece_export import export_sentencepiece
from tests.data import published, templates

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # other people's

SEED = int(os.environ["RLSP_PARITY_SEED"])
JSON = [name for name in published.FAMILIES if not name.endswith("_model")]
SPELLINGS = [*published.QWEN, *published.LLAMA3, *published.GLM, "<s>", "</s>", "<eos>", "<bos>", "<end_of_turn>"]
PARTS = [
    *" \n\t▁é三😀'",
    "  ",
    "\n\n",
    "\r\n",
    "e\u0301",
    "48",
    "123456",
    " the",
    "Natalia sold",
    "I've",
    "\\boxed{72}",
]
TODAY = datetime.date.today().isoformat()


def texts(*parts: str, count: int = 300) -> list[str]:
    """Texts of these parts, of stretches of what was learned from, and of any characters."""
    rng = random.Random(SEED)
    learned = [text[i:j] for text in published.TEXTS[:5] for i, j in [sorted(rng.sample(range(len(text)), 2))]]
    strange = [chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)])) for _ in range(20)]
    drawn = ("".join(rng.choices([*PARTS, *learned, *strange, *parts], k=rng.randrange(1, 9))) for _ in range(count))
    return ["", " ", "▁", *drawn]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Ours and theirs of each family.

    Llama-2's is read as its file has it. The class that transformers 5 has for it makes a pipeline of its own, which
    differs from SentencePiece's where a text begins with a blank, and behind control tokens.
    """
    root, found = tmp_path_factory.mktemp("parity"), {}
    for name in JSON:
        folder = published.FAMILIES[name](root / name)
        generic = transformers.PreTrainedTokenizerFast if name == "llama2" else transformers.AutoTokenizer
        found[name] = load_pretrained(folder), generic.from_pretrained(folder)
    return found


def same(ours, theirs, text):
    assert ours == theirs, f"of {text!r}, with RLSP_PARITY_SEED={SEED}"


@pytest.mark.parametrize("name", JSON)
def test_marked_texts_have_the_ids_that_transformers_gives_by_default(name, pairs):
    ours, theirs = pairs[name]
    for text in texts(*SPELLINGS, *published.QWEN_TEXT):
        same(ours.encode_marked(text), theirs(text, add_special_tokens=False)["input_ids"], text)


@pytest.mark.parametrize("name", JSON)
def test_texts_have_the_ids_that_transformers_gives_where_nothing_in_them_is_special(name, pairs):
    ours, theirs = pairs[name]
    for text in texts(*SPELLINGS, *published.QWEN_TEXT):
        ids = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        same(ours.encode(text), ids, text)
    for text in texts():
        same(ours.encode(text), theirs(text, add_special_tokens=False)["input_ids"], text)


@pytest.mark.parametrize("name", JSON)
def test_texts_begin_and_responses_end_as_with_transformers(name, pairs):
    ours, theirs = pairs[name]
    for text in texts(count=20):
        same([*ours.conventions.start_ids, *ours.encode(text)], theirs(text)["input_ids"], text)
    assert ours.eos_id == theirs.eos_token_id
    assert ours.pad_id == (theirs.eos_token_id if theirs.pad_token_id is None else theirs.pad_token_id)
    assert ours.vocab_size == len(theirs)
    assert {*theirs.all_special_ids} <= {*ours.conventions.controls.values()}


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "glm"])
def test_a_tokenizer_of_our_own_has_the_same_ids_and_texts_beside_every_model(model_type, tmp_path):
    symbols = ("Natalia sold ", " clips", "answer:\n")
    ours = SentencePiece(600, symbols).train(published.TEXTS, tmp_path / "ours.model")
    export_sentencepiece(tmp_path, ours)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    # Beside Qwen2.5's config.json transformers 5 makes a tokenizer of Qwen's kind, whatever the files say.
    kind = transformers.PreTrainedTokenizerFast if model_type == "qwen2" else transformers.AutoTokenizer
    theirs = kind.from_pretrained(tmp_path)
    for text in texts(*symbols):
        ids = theirs(text)["input_ids"]
        same(ours.encode(text), ids, text)
        same(text, theirs.decode(ids), text)
    assert (ours.eos_id, ours.pad_id, ours.vocab_size) == (theirs.eos_token_id, theirs.pad_token_id, len(theirs))
    assert theirs.decode([*ours.encode("72"), ours.eos_id], skip_special_tokens=True) == "72"


@pytest.mark.parametrize("name", ["qwen", "llama3", "glm"])
def test_ids_decode_as_with_transformers(name, pairs):
    ours, theirs = pairs[name]
    rng = random.Random(SEED)
    for _ in range(300):
        ids = [rng.randrange(ours.vocab_size) for _ in range(rng.randrange(12))]
        decoded = theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        # transformers leaves the tokens out that it knows by name, the library those that are marked: both do here.
        kept = [i for i in ids if i not in theirs.all_special_ids and i not in ours.conventions.controls.values()]
        same(ours.decode(ids), decoded if len(kept) == len(ids) else theirs.decode(kept), ids)


def conversations(system: bool):
    """Conversations of one to three turns, the last one unanswered or not."""
    rng, drawn = random.Random(SEED), texts(count=90)
    for _ in range(60):
        roles = ["user", "assistant"] * 3
        said = [{"role": role, "content": f"x{rng.choice(drawn)}y"} for role in roles[: rng.randrange(1, 7)]]
        yield [{"role": "system", "content": "Think."}, *said] if system and rng.random() < 0.5 else said


@pytest.mark.parametrize("name", JSON)
def test_questions_are_shown_as_transformers_shows_them(name, pairs):
    ours, theirs = pairs[name]
    for text in texts(count=60):
        for system in (None, "Think.") if name != "gemma" else (None,):
            told = [] if system is None else [{"role": "system", "content": system}]
            asked = [*told, {"role": "user", "content": f"Problem: {text}"}]
            shown = theirs.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
            prompts = Chat(system=system, before="Problem: ", today=TODAY)
            same(prompts.prompt(ours, text), list(shown), text)


def test_variables_reach_the_template(pairs):
    ours, theirs = pairs["qwen3"]
    asked = [{"role": "user", "content": "48/2?"}]
    shown = theirs.apply_chat_template(asked, add_generation_prompt=True, enable_thinking=False, return_dict=False)
    assert Chat(variables=(("enable_thinking", False),)).prompt(ours, "48/2?") == list(shown)


@pytest.mark.parametrize("name", JSON)
def test_conversations_are_written_as_transformers_writes_them(name, pairs):
    ours, theirs = pairs[name]
    for messages in conversations(system=name != "gemma"):
        text = theirs.apply_chat_template(messages, tokenize=False)
        same(Chat(today=TODAY)._text(ours, messages, prompt=False), text, messages)


def test_the_assistants_tokens_are_those_that_transformers_masks(tmp_path):
    """Where the template says which they are; what follows the last of them is left out of ours."""
    folder = published.qwen(tmp_path, templates.QWEN25_GENERATION)
    ours, theirs = load_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for messages in conversations(system=True):
        if messages[-1]["role"] == "assistant":
            expected = theirs.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
            lesson = Chat().conversation(ours, messages)
            length = len(lesson.ids)
            same(lesson.ids, list(expected["input_ids"])[:length], messages)
            same(lesson.learned, [bool(x) for x in expected["assistant_masks"]][:length], messages)
            assert not any(expected["assistant_masks"][length:])


@pytest.mark.parametrize("name", ["qwen", "llama3", "glm", "gemma"])
def test_what_a_user_spells_is_text_as_it_is_to_transformers_when_asked_for_that(name, pairs):
    """Its ids may differ there, since it encodes the text on both sides of a spelling apart."""
    ours, theirs = pairs[name]
    for text in texts(*SPELLINGS, count=60):
        asked = [{"role": "user", "content": f"x{text}y"}]
        options = dict(add_generation_prompt=True, return_dict=False, sanitize_control_tokens=True)
        shown, ids = list(theirs.apply_chat_template(asked, **options)), Chat(today=TODAY).prompt(ours, f"x{text}y")
        controls = {*ours.conventions.controls.values()}
        same([i for i in ids if i in controls], [i for i in shown if i in controls], text)
        same(ours.decode(ids), ours.decode(shown), text)


def test_the_class_for_llama2_agrees_on_words(tmp_path):
    """Where no text begins with a blank and none has a control token; from both kinds of file."""
    pytest.importorskip("google.protobuf")
    for make in (published.llama2, published.llama2_model):
        folder = make(tmp_path / make.__name__)
        ours, theirs = load_pretrained(folder), transformers.LlamaTokenizer.from_pretrained(folder)
        for text in texts():
            if not text.startswith((" ", "▁")):
                same(ours.encode(text), theirs(text, add_special_tokens=False)["input_ids"], text)
