"""Responses as if drawn, and a tokenizer that needs no training, for tests."""

from typing import ClassVar

from rlsp_jax.data import Conventions
from rlsp_jax.records import Draw

EOS = 256


class Bytes:
    """A tokenizer whose tokens are the 256 bytes, and eos."""

    vocab_size, eos_id, pad_id = EOS + 1, EOS, EOS
    id_to_bytes: ClassVar = [*(bytes([byte]) for byte in range(256)), b""]
    conventions = Conventions("bytes")

    def encode(self, text):
        return list(text.encode())

    encode_marked = encode

    def decode(self, ids):
        return b"".join(self.id_to_bytes[i] for i in ids).decode()

    def save(self, path):
        raise NotImplementedError


def make_draw(
    problem: int = 0,
    sample: int = 0,
    verdict: str = "correct",
    response: str = "answer: 1+2",
    *,
    question: str | None = None,
    stop_reason: str = "eos",
    promise: tuple[float, ...] | None = None,
) -> Draw:
    tokens = tuple(response.encode())
    return Draw(
        problem=problem,
        sample=sample,
        question=f"question {problem}\n" if question is None else question,
        tokens=tokens,
        response=response,
        num_tokens=len(tokens),
        stop_reason=stop_reason,
        verdict=verdict,
        promise=promise,
    )
