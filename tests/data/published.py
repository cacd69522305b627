"""Small tokenizers of the kinds that checkpoints are published with, made on the spot, in folders like theirs.

Their pipelines, control tokens and settings are those of the families; their vocabularies are learned from a few lines.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.data import templates

TEXTS = [
    "Problem: Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May.\n",
    "Natalia sold 48/2 = 24 clips in May. Altogether she sold 48+24 = 72 clips.\n\nThe final answer is \\boxed{72}.",
    "Let $x^2 + 3x = 10$; then $x \\in \\{2, -5\\}$. Wait, is that right?  Check: 4 + 6 = 10.\n",
    "  indented = code(1)\n\treturn other's, they'll, I've\r\n",
    "Čeština má háčky, čárky a kroužky; the answer in 漢字 is 三, and in Русский it is три. 😀\n",
] * 4

QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_WORDS = QWEN_WORDS.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN_TEXT = ("<tool_call>", "</tool_call>", "<think>", "</think>")  # added, and no control tokens
LLAMA3 = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eom_id|>", "<|eot_id|>"),
)
GLM = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


# ---- byte-level BPE: Qwen, Llama-3, GLM-4 --------------------------------------------------------


def byte_level(
    words: str,
    controls: tuple[str, ...],
    texts: tuple[str, ...] = (),
    *,
    size: int = 480,
    learned_from: Sequence[str] = TEXTS,
) -> Tokenizer:
    """Byte-level BPE whose pre-tokens are found by a pattern; the added tokens follow the others."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(words), behavior="isolated", invert=False)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator(learned_from, trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=True) for text in controls])
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in texts])
    return tokenizer


def qwen(
    folder: Path, template: str = templates.QWEN25, *, size: int = 480, learned_from: Sequence[str] = TEXTS
) -> Path:
    tokenizer = byte_level(QWEN_WORDS, QWEN, QWEN_TEXT, size=size, learned_from=learned_from)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    config = dict(
        add_bos_token=False,
        bos_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        tokenizer_class="Qwen2Tokenizer",
        chat_template=template,
    )
    return write(folder, tokenizer, config, ["<|im_end|>", "<|endoftext|>"])


def qwen3(folder: Path) -> Path:
    return qwen(folder, templates.QWEN3)


def llama3(folder: Path) -> Path:
    tokenizer = byte_level(LLAMA3_WORDS, LLAMA3)
    model = json.loads(tokenizer.to_str())
    model["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(model))
    bos = "<|begin_of_text|>"
    start = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), start])
    config = dict(
        bos_token=bos,
        eos_token="<|eot_id|>",
        tokenizer_class="PreTrainedTokenizerFast",
        chat_template=templates.LLAMA3,
    )
    return write(folder, tokenizer, config, ["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"])


def glm(folder: Path) -> Path:
    tokenizer = byte_level(LLAMA3_WORDS, GLM)
    config = dict(
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(GLM),
        tokenizer_class="PreTrainedTokenizerFast",
        chat_template=templates.GLM4,
    )
    return write(folder, tokenizer, config, ["<|endoftext|>", "<|user|>", "<|observation|>"])


def write(folder: Path, tokenizer: Tokenizer, config: dict, ends: list[str]) -> Path:
    """The files of a checkpoint's tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False))
    ids = [tokenizer.token_to_id(token) for token in ends]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ids[0] if len(ids) == 1 else ids}))
    return folder


# ---- byte fallback: Llama-2, Gemma ---------------------------------------------------------------


def fallback(specials: list[str], *, size: int = 420) -> Tokenizer:
    """BPE on texts whose blanks are U+2581, with a token for every byte behind the special ones."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=size - 256 - len(specials), show_progress=False)
    learner.train_from_iterator(TEXTS, trainer)
    model = json.loads(learner.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    vocab = {piece: i for i, piece in enumerate([*specials, *BYTES, *pieces])}
    merges = [tuple(merge) for merge in model["merges"]]
    return Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))


def llama2(folder: Path) -> Path:
    """As `tokenizer.json`: a blank is put before every stretch of text."""
    tokenizer = fallback(["<unk>", "<s>", "</s>"])
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return write(folder, tokenizer, LLAMA2_CONFIG, ["</s>"])


LLAMA2_CONFIG = dict(
    add_bos_token=True,
    add_eos_token=False,
    bos_token=dict(__type="AddedToken", content="<s>", lstrip=False, normalized=False, rstrip=False, single_word=False),
    eos_token=dict(
        __type="AddedToken", content="</s>", lstrip=False, normalized=False, rstrip=False, single_word=False
    ),
    unk_token=dict(
        __type="AddedToken", content="<unk>", lstrip=False, normalized=False, rstrip=False, single_word=False
    ),
    pad_token=None,
    legacy=False,
    tokenizer_class="LlamaTokenizer",
    chat_template=templates.LLAMA2,
)

GEMMA_CONFIG = dict(
    add_bos_token=True,
    bos_token="<bos>",
    eos_token="<eos>",
    pad_token="<pad>",
    unk_token="<unk>",
    additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
    tokenizer_class="GemmaTokenizer",
    chat_template=templates.GEMMA,
)


def gemma(folder: Path) -> Path:
    """As `tokenizer.json`."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = fallback(specials)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous", invert=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(specials)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("\n\n", "▁▁", "<h1>")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", 2)]
    )
    return write(folder, tokenizer, GEMMA_CONFIG, ["<eos>", "<end_of_turn>"])


def sentencepiece_model(**settings) -> bytes:
    model = io.BytesIO()
    lines = [line for text in TEXTS for line in text.split("\n") if line]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        hard_vocab_limit=False,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        minloglevel=2,
        num_threads=1,
        **settings,
    )
    return model.getvalue()


def llama2_model(folder: Path) -> Path:
    """As SentencePiece's model, with which Llama-2 was first published."""
    ids = dict(unk_id=0, bos_id=1, eos_id=2, pad_id=-1)
    return write_model(folder, sentencepiece_model(vocab_size=460, add_dummy_prefix=True, **ids), LLAMA2_CONFIG, [2])


def gemma_model(folder: Path) -> Path:
    """As SentencePiece's model; it reads the marks of turns wherever they stand."""
    ids = dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, eos_piece="<eos>", bos_piece="<bos>")
    turns = ["<start_of_turn>", "<end_of_turn>"]
    model = sentencepiece_model(vocab_size=460, add_dummy_prefix=False, user_defined_symbols=[*turns, "<h1>"], **ids)
    return write_model(folder, model, GEMMA_CONFIG, [1, 5])


def write_model(folder: Path, model: bytes, config: dict, ends: list[int]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return folder


FAMILIES = {maker.__name__: maker for maker in (qwen, qwen3, llama3, glm, llama2, gemma, llama2_model, gemma_model)}
