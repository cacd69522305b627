"""What a policy can do: judged responses, and estimates from them."""

from rlsp_jax.evaluation.benchmarks import Eval, Evaluator
from rlsp_jax.evaluation.respond import Checker, Judge, Responder, make_judge
from rlsp_jax.evaluation.scaling import Scaler, Scaling, Summarizer, make_scaler
from rlsp_jax.evaluation.vote_grid import vote_grid

__all__ = [
    "Checker",
    "Eval",
    "Evaluator",
    "Judge",
    "Responder",
    "Scaler",
    "Scaling",
    "Summarizer",
    "make_judge",
    "make_scaler",
    "vote_grid",
]
