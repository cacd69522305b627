"""Problems, demonstrations, tokenizers and token arrays: everything a run learns from."""

from rlsp_jax.data.arrangement_traces import ArrangementTraces
from rlsp_jax.data.chat import Chat
from rlsp_jax.data.competition_math import MATH
from rlsp_jax.data.conversations import JSONLConversations
from rlsp_jax.data.countdown import Countdown, identity, parse_question
from rlsp_jax.data.decontaminate import Overlap, OverlapReport, find_overlaps, without_overlaps
from rlsp_jax.data.demonstration_source import Conversations, DemonstrationSource, OwnProblems
from rlsp_jax.data.demonstrations import SEARCH_SYMBOLS, SearchTraces
from rlsp_jax.data.difficulty import Difficulty, Selection, Unsolved
from rlsp_jax.data.gsm8k import GSM8K, GSM8KSolutions
from rlsp_jax.data.jsonl import JSONL, Fields
from rlsp_jax.data.lessons import Lesson, Message
from rlsp_jax.data.markup import encode_on
from rlsp_jax.data.operations import operations
from rlsp_jax.data.order import shuffled_rows
from rlsp_jax.data.packing import pack, pack_conversations, pack_ids, pack_lessons
from rlsp_jax.data.permutations import Permutations, parse_permutation, permutation_symbols
from rlsp_jax.data.pretrained_tokenizer import PretrainedTokenizer, load_pretrained
from rlsp_jax.data.problems import ProblemSet
from rlsp_jax.data.prompts import Plain, PromptFormat, encode_prompts, with_suffix
from rlsp_jax.data.recorded import JSONLDemonstrations
from rlsp_jax.data.sentencepiece import SentencePiece, SentencePieceTokenizer, load_sentencepiece
from rlsp_jax.data.source import ProblemSource, Split
from rlsp_jax.data.tokenizer import Conventions, Tokenizer, token_table

__all__ = [
    "GSM8K",
    "GSM8KSolutions",
    "JSONL",
    "JSONLConversations",
    "JSONLDemonstrations",
    "MATH",
    "SEARCH_SYMBOLS",
    "ArrangementTraces",
    "Chat",
    "Conventions",
    "Conversations",
    "Countdown",
    "DemonstrationSource",
    "Difficulty",
    "Fields",
    "Lesson",
    "Message",
    "Overlap",
    "OverlapReport",
    "OwnProblems",
    "Permutations",
    "Plain",
    "PretrainedTokenizer",
    "ProblemSet",
    "ProblemSource",
    "PromptFormat",
    "SearchTraces",
    "Selection",
    "SentencePiece",
    "SentencePieceTokenizer",
    "Split",
    "Tokenizer",
    "Unsolved",
    "encode_on",
    "encode_prompts",
    "find_overlaps",
    "identity",
    "load_pretrained",
    "load_sentencepiece",
    "operations",
    "pack",
    "pack_conversations",
    "pack_ids",
    "pack_lessons",
    "parse_permutation",
    "parse_question",
    "permutation_symbols",
    "shuffled_rows",
    "token_table",
    "with_suffix",
    "without_overlaps",
]
