"""What a policy can do: judged responses, and estimates from them."""

from rlsp_jax.evaluation.benchmarks import Eval, Evaluator
from rlsp_jax.evaluation.respond import Checker, Judge, Responder, make_judge

__all__ = ["Checker", "Eval", "Evaluator", "Judge", "Responder", "make_judge"]
