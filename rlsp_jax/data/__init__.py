"""Problems, demonstrations, tokenizers and token arrays: everything a run learns from."""

from rlsp_jax.data.arrangement_traces import ArrangementTraces
from rlsp_jax.data.competition_math import MATH
from rlsp_jax.data.countdown import Countdown, identity, parse_question
from rlsp_jax.data.decontaminate import Overlap, OverlapReport, find_overlaps, without_overlaps
from rlsp_jax.data.demonstration_source import DemonstrationSource, OwnProblems
from rlsp_jax.data.demonstrations import SEARCH_SYMBOLS, SearchTraces
from rlsp_jax.data.difficulty import Difficulty, Selection, Unsolved
from rlsp_jax.data.gsm8k import GSM8K
from rlsp_jax.data.jsonl import JSONL, Fields
from rlsp_jax.data.operations import operations
from rlsp_jax.data.order import shuffled_rows
from rlsp_jax.data.packing import pack, pack_ids
from rlsp_jax.data.permutations import Permutations, parse_permutation, permutation_symbols
from rlsp_jax.data.problems import ProblemSet
from rlsp_jax.data.prompts import encode_prompts, with_suffix
from rlsp_jax.data.recorded import JSONLDemonstrations
from rlsp_jax.data.source import ProblemSource, Split
from rlsp_jax.data.tokenizer import SentencePiece, SentencePieceTokenizer, Tokenizer, load_sentencepiece, token_table

__all__ = [
    "GSM8K",
    "JSONL",
    "JSONLDemonstrations",
    "MATH",
    "SEARCH_SYMBOLS",
    "ArrangementTraces",
    "Countdown",
    "DemonstrationSource",
    "Difficulty",
    "Fields",
    "Overlap",
    "OverlapReport",
    "OwnProblems",
    "Permutations",
    "ProblemSet",
    "ProblemSource",
    "SearchTraces",
    "Selection",
    "SentencePiece",
    "SentencePieceTokenizer",
    "Split",
    "Tokenizer",
    "Unsolved",
    "encode_prompts",
    "find_overlaps",
    "identity",
    "load_sentencepiece",
    "operations",
    "pack",
    "pack_ids",
    "parse_permutation",
    "parse_question",
    "permutation_symbols",
    "shuffled_rows",
    "token_table",
    "with_suffix",
    "without_overlaps",
]
