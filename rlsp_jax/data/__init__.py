"""Problems, demonstrations, tokenizers and token arrays: everything a run learns from."""

from rlsp_jax.data.countdown import Countdown, Split, identity, parse_question
from rlsp_jax.data.demonstrations import SEARCH_SYMBOLS, SearchTraces
from rlsp_jax.data.packing import pack
from rlsp_jax.data.prompts import encode_prompts
from rlsp_jax.data.tokenizer import SentencePiece, SentencePieceTokenizer, Tokenizer, load_sentencepiece, token_table

__all__ = [
    "SEARCH_SYMBOLS",
    "Countdown",
    "SearchTraces",
    "SentencePiece",
    "SentencePieceTokenizer",
    "Split",
    "Tokenizer",
    "encode_prompts",
    "identity",
    "load_sentencepiece",
    "pack",
    "parse_question",
    "token_table",
]
