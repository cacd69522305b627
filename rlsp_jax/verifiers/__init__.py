"""Outcome verifiers on the host: strings only, and no JAX, so that a worker process starts in a moment."""

from rlsp_jax.verifiers.chat import Endpoint
from rlsp_jax.verifiers.chat_generator import ChatGenerator
from rlsp_jax.verifiers.countdown import Countdown
from rlsp_jax.verifiers.exact_text import ExactText
from rlsp_jax.verifiers.judge import Effort, EffortJudge, HttpJudge
from rlsp_jax.verifiers.lexical_judge import LexicalJudge
from rlsp_jax.verifiers.math import Math
from rlsp_jax.verifiers.outcome import Outcome, Verifier
from rlsp_jax.verifiers.pool import VerifierPool

__all__ = [
    "ChatGenerator",
    "Countdown",
    "Effort",
    "EffortJudge",
    "Endpoint",
    "ExactText",
    "HttpJudge",
    "LexicalJudge",
    "Math",
    "Outcome",
    "Verifier",
    "VerifierPool",
]
