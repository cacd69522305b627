"""What an effort judge says of a step's responses: their texts leave the device, their grades come back as a column."""

from collections import Counter
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import Tokenizer
from rlsp_jax.sharding import own_rows, place_own_rows, replicated
from rlsp_jax.training.spent import Spent
from rlsp_jax.types import Rollout
from rlsp_jax.verifiers import Effort, EffortJudge, HttpJudge, LexicalJudge
from rlsp_jax.verifiers.chat import Spent as ChatSpent
from rlsp_jax.verifiers.judge import HttpJudgeClient


def connect(judge: HttpJudge | LexicalJudge) -> EffortJudge:
    """The judge, ready to judge. `UserError` without the key that it needs."""
    return judge.connect() if isinstance(judge, HttpJudge) else judge


class EffortGrader:
    """An effort judge at work on rollouts. It holds the judge's key; the budget is that of the run."""

    def __init__(
        self,
        judge: HttpJudge | LexicalJudge,
        tokenizer: Tokenizer,
        mesh: Mesh,
        say: Callable[[str], None],
        spent: Spent,
    ):
        self._judge, self._tokenizer, self._mesh, self._say = connect(judge), tokenizer, mesh, say
        self._spent = spent
        self._gather = jax.jit(lambda *arrays: arrays, out_shardings=replicated(mesh))
        self._named: set[str] = set()

    def grade(self, rollout: Rollout) -> Float[Array, " batch"]:
        """The grade of each response, in [0, 1]; NaN where the judge has none. `UserError` if it has none at all."""
        rows = len(rollout.tokens)
        items = self._items(rollout)
        own = own_rows(self._mesh, rows)
        efforts = self._ask([items[row] for row in own.tolist()])
        grades = np.asarray([np.nan if effort.score is None else effort.score for effort in efforts], np.float32)
        column = place_own_rows(self._mesh, grades, rows)
        failures = Counter(_category(effort) for effort in efforts if effort.score is None)
        if not jnp.isfinite(column).any():
            raise UserError(
                f"The effort judge graded none of a step's {rows} responses ({_listed(failures)}), so nothing can be "
                "learned from them; start the run again to go on from here once it answers, with a larger budget if "
                "that is spent."
            )
        self._tell(failures, len(efforts))
        return column

    def _ask(self, items: list[tuple[str, str]]) -> list[Effort]:
        """What the judge says within the run's budget; what that costs is counted also where it is broken off."""
        judge, spent = self._judge, self._spent
        if not isinstance(judge, HttpJudgeClient):
            return judge.judge(items)
        judge.resume(ChatSpent(spent.judge_requests, spent.judge_tokens))
        try:
            return judge.judge(items)
        finally:
            spent.judge_requests, spent.judge_tokens = judge.spent

    def _items(self, rollout: Rollout) -> list[tuple[str, str]]:
        """Question and response of every row, on every process: the same program runs on all of them."""
        arrays = (rollout.prompts.tokens, rollout.prompts.mask, rollout.tokens, rollout.mask)
        asked, asked_mask, said, said_mask = jax.device_get(self._gather(*arrays))
        decode = self._tokenizer.decode
        rows = zip(asked, asked_mask, said, said_mask, strict=True)
        return [(decode(a[real_a].tolist()), decode(s[real_s].tolist())) for a, real_a, s, real_s in rows]

    def _tell(self, failures: Counter[str], asked: int) -> None:
        """Name each kind of failure once: `judge/known` says of every step how many there were."""
        if failures.keys() - self._named:
            self._named |= failures.keys()
            self._say(
                f"The effort judge has no grade for {failures.total()} of {asked} responses ({_listed(failures)}); "
                "they are left out."
            )


def _category(effort: Effort) -> str:
    """A failure without what is particular to it: `HTTP 500: out of memory` is `HTTP 500`."""
    return effort.reason.partition(":")[0]


def _listed(failures: Counter[str]) -> str:
    return ", ".join(f"{number} × {reason}" for reason, number in failures.most_common())
