"""Problems, demonstrations, tokenizers and token arrays: everything a run learns from."""

from rlsp_jax.data.competition_math import MATH
from rlsp_jax.data.countdown import Countdown, identity, parse_question
from rlsp_jax.data.decontaminate import Overlap, OverlapReport, find_overlaps, without_overlaps
from rlsp_jax.data.demonstrations import SEARCH_SYMBOLS, SearchTraces
from rlsp_jax.data.gsm8k import GSM8K
from rlsp_jax.data.jsonl import JSONL, Fields
from rlsp_jax.data.order import shuffled_rows
from rlsp_jax.data.packing import pack
from rlsp_jax.data.problems import ProblemSet
from rlsp_jax.data.prompts import encode_prompts
from rlsp_jax.data.source import ProblemSource, Split
from rlsp_jax.data.tokenizer import SentencePiece, SentencePieceTokenizer, Tokenizer, load_sentencepiece, token_table

__all__ = [
    "GSM8K",
    "JSONL",
    "MATH",
    "SEARCH_SYMBOLS",
    "Countdown",
    "Fields",
    "Overlap",
    "OverlapReport",
    "ProblemSet",
    "ProblemSource",
    "SearchTraces",
    "SentencePiece",
    "SentencePieceTokenizer",
    "Split",
    "Tokenizer",
    "encode_prompts",
    "find_overlaps",
    "identity",
    "load_sentencepiece",
    "pack",
    "parse_question",
    "shuffled_rows",
    "token_table",
    "without_overlaps",
]
