"""Responses as if drawn, for tests."""

from rlsp_jax.records import Draw


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
