"""Pay a written Countdown search for what it really tried: distinct, arithmetically right, admissible attempts.

The search is read as moves, a move a line:

    try A op B=C               leaves more than one number: a step, when nothing else stands on the line
    try A op B=C check T …     leaves one number: an attempt
    back                       leaves the latest step

and replayed on the problem's own numbers, so that made-up numbers, wrong arithmetic and repetition earn nothing.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt32

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.words import ANSWER, BACK, CHECK, TRY
from rlsp_jax.rewards.byte_text import ByteText, expand, find, first_match, places, read_numbers, take
from rlsp_jax.rewards.countdown import CountdownTruth
from rlsp_jax.rewards.expression import ABSENT, DIVIDE, MINUS, OPERATORS, PLUS, TIMES
from rlsp_jax.rewards.hashing import count_distinct, hash_items, mix
from rlsp_jax.rewards.streams import ResponseKernel
from rlsp_jax.types import Rollout, TokenBytes, Verdicts

_TRY = f"{TRY} ".encode()
_CHECK = f" {CHECK} ".encode()
_BACK = f"{BACK}\n".encode()
_ANSWER = ANSWER.encode()
_LARGEST = 2**30  # products from here on might wrap around


class Moves(NamedTuple):
    """The lines of a search in order; a line that only begins like a move is none of the three."""

    is_step: Bool[Array, "batch moves"]  # try A op B=C
    is_attempt: Bool[Array, "batch moves"]  # try A op B=C check T
    is_back: Bool[Array, "batch moves"]
    left: Int[Array, "batch moves"]
    right: Int[Array, "batch moves"]
    result: Int[Array, "batch moves"]
    target: Int[Array, "batch moves"]  # T, of an attempt
    true: Bool[Array, "batch moves"]  # A op B is C
    operation: UInt32[Array, "batch moves"]  # what is tried; the same for A+B and B+A, for A*B and B*A


class Path(NamedTuple):
    """Where a search stands: the numbers left after each step on the way here."""

    level: Int[Array, " batch"]  # steps taken
    numbers: Int[Array, "batch level numbers"]  # ABSENT where used up; nothing at all after a wrong step
    steps: UInt32[Array, "batch level"]  # the steps that led here, whatever their order


@dataclasses.dataclass(frozen=True)
class SearchAttempts(ResponseKernel):
    """Distinct admissible attempts before the first final answer, up to `cap`, over `cap`: in [0, 1].

    An attempt counts when A op B = C is exactly right in non-negative integers, T is the target, and A and B are the
    two numbers left on the current path. A path starts from the problem's numbers; each right step replaces two
    numbers that are left by its result. A step belongs to the deepest place of the path that holds its numbers; a
    wrong step leads where no attempt is admissible. Two attempts are the same when the operation and the set of steps
    before it are, A+B and B+A being one operation. The first `max_moves` moves are read. Responses that outgrow
    `byte_text.expand` are not valid.
    """

    cap: int = 5
    max_moves: int = 64

    def __post_init__(self):
        for name, value in (("cap", self.cap), ("max_moves", self.max_moves)):
            if value < 1:
                raise UserError(f"{name} is {value}; at least 1 attempt must be countable.")

    def grade(self, rollout: Rollout, verdicts: Verdicts, token_bytes: TokenBytes):
        text = expand(rollout.tokens, rollout.mask, token_bytes)
        counts = self._count(text, rollout.prompts.truth)
        return jnp.minimum(counts, self.cap).astype(jnp.float32) / self.cap, ~text.overflow

    def attempts(self, rollout: Rollout, token_bytes: TokenBytes) -> Int[Array, " batch"]:
        """How many attempts count, without the cap."""
        return self._count(expand(rollout.tokens, rollout.mask, token_bytes), rollout.prompts.truth)

    def _count(self, text: ByteText, truth: CountdownTruth) -> Int[Array, " batch"]:
        moves = read_moves(text, self.max_moves)
        counts, keys = replay(moves, truth)
        return count_distinct(keys, counts)


def read_moves(text: ByteText, max_moves: int) -> Moves:
    """The first `max_moves` moves before the first final answer."""
    data = text.bytes
    line_start = jnp.concatenate([jnp.ones_like(text.mask[:, :1]), data[:, :-1] == ord("\n")], axis=1)
    before_answer = jnp.arange(data.shape[1]) < first_match(text, _ANSWER)[:, None]
    tries = find(text, _TRY)
    at, exists = places((tries | find(text, _BACK)) & line_start & before_answer, max_moves)
    is_try = exists & take(tries, at)

    values, lengths = read_numbers(data)
    left = at + len(_TRY)
    symbol = left + take(lengths, left)
    right = symbol + 1
    equals = right + take(lengths, right)
    result = equals + 1
    rest = result + take(lengths, result)
    target = rest + len(_CHECK)
    is_operator = take(data, symbol)[:, :, None] == jnp.asarray(list(OPERATORS), jnp.uint8)
    complete = is_try & jnp.any(is_operator, axis=2) & (take(data, equals) == ord("="))
    a, b, c = take(values, left), take(values, right), take(values, result)
    complete &= (symbol > left) & (equals > right) & (rest > result) & (jnp.minimum(jnp.minimum(a, b), c) >= 0)
    ends = (take(data, rest) == ord("\n")) | ~take(text.mask, rest)
    checks = take(find(text, _CHECK), rest) & (take(lengths, target) > 0)
    operator = jnp.argmax(is_operator, axis=2)
    return Moves(
        is_step=complete & ends,
        is_attempt=complete & checks,
        is_back=exists & ~is_try,
        left=a,
        right=b,
        result=c,
        target=take(values, target),
        true=_holds(operator, a, b, c),
        operation=_name(operator, a, b),
    )


def _holds(operator, a, b, c) -> Bool[Array, "batch moves"]:
    """Whether `a operator b` is exactly c; all are below 10⁹."""
    divide = operator == DIVIDE
    factor, product = jnp.where(divide, c, a), jnp.where(divide, a, c)  # a/b=c says that c*b is a
    fits = factor.astype(jnp.float32) * b.astype(jnp.float32) < _LARGEST
    multiplies = (factor * b == product) & fits & ~(divide & (b == 0))
    sums = jnp.where(operator == PLUS, a + b == c, a - b == c)
    return jnp.where((operator == PLUS) | (operator == MINUS), sums, multiplies)


def _name(operator, a, b) -> UInt32[Array, "batch moves"]:
    commutes = (operator == PLUS) | (operator == TIMES)
    first, second = jnp.where(commutes, jnp.maximum(a, b), a), jnp.where(commutes, jnp.minimum(a, b), b)
    return hash_items(jnp.stack([first, operator.astype(jnp.int32), second], axis=-1))


def replay(moves: Moves, truth: CountdownTruth) -> tuple[Bool[Array, "batch moves"], UInt32[Array, "batch moves"]]:
    """Which moves are admissible attempts, and a key for each: attempts with one key are the same attempt."""
    batch, levels = truth.numbers.shape  # one level more than right steps can reach, for a wrong one
    numbers = jnp.full((batch, levels, levels), ABSENT, jnp.int32).at[:, 0].set(truth.numbers)
    start = Path(jnp.zeros(batch, jnp.int32), numbers, jnp.zeros((batch, levels), jnp.uint32))
    last = jnp.sum(truth.numbers != ABSENT, axis=1) - 2  # the level at which two numbers are left

    def one_move(path: Path, move: Moves):
        rest, fits = _take(path.numbers, move.left, move.right)
        right = move.is_attempt & move.true & (move.target == truth.target)
        counts = right & (path.level == last) & _at(fits, path.level)
        key = mix(_at(path.steps, path.level), move.operation)
        return _follow(path, move, rest, fits, last), (counts, key)

    by_move = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), moves)
    _, (counts, keys) = jax.lax.scan(one_move, start, by_move)
    return counts.T, keys.T


def _follow(path: Path, move: Moves, rest, fits, last) -> Path:
    """The path after a step, which hangs on the deepest place that holds its numbers, or after a "back"."""
    depth = jnp.arange(path.steps.shape[1])
    reachable = fits & (depth <= jnp.minimum(path.level, last - 1)[:, None]) & move.true[:, None]
    parent = jnp.max(jnp.where(reachable, depth, -1), axis=1)
    right = parent >= 0
    parent = jnp.where(right, parent, jnp.clip(path.level, 0, jnp.maximum(last - 1, 0)))
    child = (depth == parent[:, None] + 1) & move.is_step[:, None]
    numbers = jnp.where(right[:, None], _put(_at(rest, parent), move.result), ABSENT)
    steps = _at(path.steps, parent) + move.operation
    level = jnp.where(move.is_back, jnp.maximum(path.level - 1, 0), path.level)
    return Path(
        jnp.where(move.is_step, jnp.minimum(parent + 1, len(depth) - 1), level),
        jnp.where(child[:, :, None], numbers[:, None], path.numbers),
        jnp.where(child, steps[:, None], path.steps),
    )


def _take(numbers, a, b) -> tuple[Int[Array, "batch level numbers"], Bool[Array, "batch level"]]:
    """The numbers of each level without a and b, and whether it held both."""
    rest, has_a = _take_one(numbers, a)
    rest, has_b = _take_one(rest, b)
    return rest, has_a & has_b


def _take_one(numbers, a):
    hit = (numbers == a[:, None, None]) & (a >= 0)[:, None, None]
    first = hit & (jnp.cumsum(hit, axis=-1) == 1)
    return jnp.where(first, ABSENT, numbers), jnp.any(hit, axis=-1)


def _put(numbers: Int[Array, "batch numbers"], value) -> Int[Array, "batch numbers"]:
    """The value in the first free place."""
    free = numbers == ABSENT
    return jnp.where(free & (jnp.cumsum(free, axis=1) == 1), value[:, None], numbers)


def _at(x, level):
    """`x[b, level[b]]`."""
    index = level.reshape(-1, *[1] * (x.ndim - 1))
    return jnp.take_along_axis(x, index, axis=1)[:, 0]
