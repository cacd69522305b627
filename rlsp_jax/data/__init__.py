"""Problems, demonstrations, tokenizers and token arrays: everything a run learns from."""

from .countdown import Countdown, Split, identity, parse_question
from .demonstrations import SearchTraces
from .prompts import Demonstrations, encode_demonstrations, encode_prompts
from .tokenizer import SentencePiece, SentencePieceTokenizer, Tokenizer, load_sentencepiece, token_table

__all__ = [
    "Countdown",
    "Demonstrations",
    "SearchTraces",
    "SentencePiece",
    "SentencePieceTokenizer",
    "Split",
    "Tokenizer",
    "encode_demonstrations",
    "encode_prompts",
    "identity",
    "load_sentencepiece",
    "parse_question",
    "token_table",
]
