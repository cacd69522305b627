"""KL to the reference as a term of the loss; in a reward it is a matter of each algorithm."""

import dataclasses

from rlsp_jax.common.errors import UserError
from rlsp_jax.rl import k1, k2, k3


@dataclasses.dataclass(frozen=True)
class K1:
    """The estimator `rl.k1`."""

    def __call__(self, logprobs, reference):
        return k1(logprobs, reference)


@dataclasses.dataclass(frozen=True)
class K2:
    """The estimator `rl.k2`: on-policy, its gradient is that of KL(π ‖ π_ref)."""

    def __call__(self, logprobs, reference):
        return k2(logprobs, reference)


@dataclasses.dataclass(frozen=True)
class K3:
    """The estimator `rl.k3`: on-policy, its gradient is that of KL(π_ref ‖ π)."""

    def __call__(self, logprobs, reference):
        return k3(logprobs, reference)


@dataclasses.dataclass(frozen=True)
class KLLoss:
    """KL to the reference as a loss term; the estimator decides whose gradient it is (`rl.kl`)."""

    coef: float = 0.01
    estimator: K1 | K2 | K3 = K2()

    def __post_init__(self):
        if not self.coef > 0:
            raise UserError(f"coef of KLLoss is {self.coef}; it must be positive, or kl = None for no KL.")
