"""Figures as text: headline rows, and the formats that never print NaN."""

import dataclasses
import math
from collections.abc import Callable, Sequence

from rlsp_jax.records import EvalResult
from rlsp_jax.report.load import NAN
from rlsp_jax.report.story import Milestone, standard_error

DASH = "–"


def percent(value: float) -> str:
    return f"{value:.1%}" if math.isfinite(value) else DASH


def points(value: float) -> str:
    return f"{value * 100:.1f} points" if math.isfinite(value) else DASH


def whole(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else DASH


def mean(value: float) -> str:
    """Three digits or more: 0.12, 57.2, 120, 12,345."""
    if not math.isfinite(value):
        return DASH
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    if not math.isfinite(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A figure of an evaluation, and how it, its change and its uncertainty are written."""

    name: str
    of: Callable[[EvalResult], float]
    write: Callable[[float], str]
    spread: Callable[[EvalResult], str] = lambda r: ""

    def change(self, before: EvalResult, after: EvalResult) -> str:
        change = self.of(after) - self.of(before)
        if not math.isfinite(change) or self.write is whole:
            return ""
        write = points if self.write is percent else self.write
        return f"{'+' if change >= 0 else '−'}{write(abs(change))}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity at each milestone, and what changed from the first to the last."""

    name: str
    values: tuple[str, ...]
    spreads: tuple[str, ...]
    change: str


def quantities(results: Sequence[EvalResult]) -> tuple[Quantity, ...]:
    """The headline quantities these evaluations can have: pass@1, and pass@k, maj@k, rerank@k of their largest k."""
    most = largest_k([r.pass_at for r in results])
    majority = largest_k([r.maj_at for r in results])
    reranked = largest_k([r.rerank_at for r in results])
    pass_ks = dict.fromkeys(k for k in ("1", most) if most)
    maj_ks = (majority,) if majority else ()
    rerank_ks = (reranked,) if reranked else ()
    return (
        Quantity("Greedy accuracy", lambda r: r.greedy, percent, _greedy_spread),
        *(Quantity(f"pass@{k}", lambda r, k=k: r.pass_at.get(k, NAN), percent) for k in pass_ks),
        *(Quantity(f"maj@{k}", lambda r, k=k: r.maj_at.get(k, NAN), percent, _interval) for k in maj_ks),
        *(Quantity(f"rerank@{k}", lambda r, k=k: r.rerank_at.get(k, NAN), percent) for k in rerank_ks),
        Quantity("Response length", lambda r: r.length, mean),
        Quantity("Truncated", lambda r: r.truncated, percent),
        Quantity("Backtracks", lambda r: r.behaviors.backtracks, mean),
        Quantity("Verifications", lambda r: r.behaviors.verifications, mean),
    )


def details() -> tuple[Quantity, ...]:
    """What else an evaluation says."""
    return (
        Quantity("Distinct attempts", lambda r: r.behaviors.attempts, mean),
        Quantity("Wrong → right", lambda r: r.behaviors.wrong_to_right, percent),
        Quantity("Repetition", lambda r: r.behaviors.repetition, percent),
        Quantity("Greedy: length", lambda r: r.greedy_length, mean),
        Quantity("Greedy: truncated", lambda r: r.greedy_truncated, percent),
        Quantity("Greedy: backtracks", lambda r: r.greedy_behaviors.backtracks, mean),
        Quantity("Greedy: verifications", lambda r: r.greedy_behaviors.verifications, mean),
        Quantity("Problems", lambda r: float(r.problems), whole),
        Quantity("Samples per problem", lambda r: float(r.samples), whole),
        Quantity("Unknown verdicts", lambda r: float(r.unknown), whole),
    )


def rows(ends: Sequence[Milestone], wanted: Sequence[Quantity]) -> tuple[Row, ...]:
    """A row per quantity."""
    return tuple(_row(quantity, [end.overall for end in ends]) for quantity in wanted)


def _row(quantity: Quantity, results: Sequence[EvalResult]) -> Row:
    return Row(
        name=quantity.name,
        values=tuple(quantity.write(quantity.of(result)) for result in results),
        spreads=tuple(quantity.spread(result) for result in results),
        change=quantity.change(results[0], results[-1]) if len(results) > 1 else "",
    )


def largest_k(by_k: Sequence) -> str:
    """The largest k that any of these maps from k has; empty when none has any."""
    return max((k for found in by_k for k in found), key=float, default="")


def _greedy_spread(result: EvalResult) -> str:
    error = standard_error(result.greedy, result.problems)
    return f"± {error * 100:.1f} s.e." if math.isfinite(error) else ""


def _interval(result: EvalResult) -> str:
    low, high = result.maj_interval
    return f"95%: {low * 100:.1f} to {high * 100:.1f}" if math.isfinite(low) and math.isfinite(high) else ""
