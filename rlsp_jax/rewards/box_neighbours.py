r"""What stands beside the last box: an operator there may make the box a part of an expression, `-\boxed{5}`.

What is suspected here is left to the host, which looks closer (`verifiers.operands`): it must never be missed.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from rlsp_jax.rewards.answer_markers import BLANKS, TAGS
from rlsp_jax.rewards.automaton import (
    DEAD,
    SYMBOLS,
    Automaton,
    Pattern,
    compile_patterns,
    either,
    maybe,
    one_of,
    sequence,
    some,
)
from rlsp_jax.rewards.final_answer import FinalAnswer
from rlsp_jax.rewards.token_reader import SKIP, read_symbols_before
from rlsp_jax.types import TokenBytes

_LONGEST = 40  # bytes looked at before a box; a longer row of blanks is left to the host
_DIGITS, _LETTERS = b"0123456789", bytes(byte for byte in range(128) if chr(byte).isalpha())
_SIGNS = tuple(sign.encode() for sign in "-+*/−±·×÷")
_VALUES = tuple(
    rb"\frac \dfrac \tfrac \cfrac \sqrt \pi \sin \cos \tan \cot \sec \csc \arcsin \arccos \arctan \arccot \arcsec "
    rb"\arccsc \sinh \cosh \tanh \ln \log \exp".split()
)
_COMMANDS = (*_VALUES, *rb"\cdot \times \div \pm \mp".split())


@functools.cache
def _operators() -> Automaton:
    """What may be an operator behind a box, read onwards, and before one, read backwards from its contents."""

    def words(items: tuple[bytes, ...], *, back: bool = False) -> Pattern:
        return either(*(item[::-1] if back else item for item in items))

    def gap(layout: bytes, *others: Pattern, back: bool = False) -> Pattern:
        return some(either(one_of(layout), words(TAGS, back=back), *others))

    digit, anything = one_of(_DIGITS), some(one_of(range(SYMBOLS)))
    thin = sequence(b"\\", either(one_of(b",;:! "), *TAGS))
    blank, none, narrow = gap(BLANKS + b"~", thin), gap(b""), gap(b"~", thin)
    sign = sequence(either(words(_SIGNS), words(_COMMANDS)), blank, one_of(_DIGITS + b"\\"))
    touching = either(sequence(none, maybe(b"."), none, digit), sequence(narrow, one_of(b"eiknxyz")))
    behind = either(touching, sequence(blank, either(b"^", sign, words(_VALUES))))

    thin = sequence(one_of(b",;:!"), b"\\")
    command = sequence(one_of(_LETTERS), some(one_of(_LETTERS)), b"\\")  # such as `\left` and `\mathbf`
    blank, layout = gap(BLANKS + b"~\\", thin, back=True), gap(BLANKS + b"~${(\\*_", thin, command, back=True)
    head = sequence(b"{", some(one_of(BLANKS)), either(rb"\boxed"[::-1], rb"\fbox"[::-1]), maybe(b"\\"))
    sign = either(
        words(tuple(sign for sign in _SIGNS if sign != b"*"), back=True),
        sequence(b"*", blank, one_of(_DIGITS + b"}=$({")),
        words(_COMMANDS, back=True),
        one_of(b"^_"),
    )
    touching = sequence(gap(b"{*_", back=True), digit)
    before = sequence(head, either(sequence(layout, either(sign, sequence(b"{", blank, b"}"))), touching))
    return compile_patterns(sequence(behind, anything), sequence(before, anything))


def start_behind() -> int:
    """The state in which what stands behind a box begins to be read, by `step`."""
    return _operators().starts[0]


def step(state: Int[Array, " batch"], symbol: Int[Array, " batch"]) -> Int[Array, " batch"]:
    """The state after one more symbol; unless it is `DEAD` in the end, there may be an operator."""
    moved = jnp.asarray(_operators().table).reshape(-1)[state * SYMBOLS + jnp.maximum(symbol, 0)]
    return jnp.where(symbol != SKIP, moved, state)


def may_be_operand(
    tokens: Int[Array, "batch time"], token_bytes: TokenBytes, found: FinalAnswer
) -> Bool[Array, " batch"]:
    """Whether an operator may stand before the last box; without meaning where there is no box."""
    symbols = read_symbols_before(tokens, token_bytes, *found.in_box, _LONGEST)
    start = jnp.full_like(found.box, _operators().starts[1])
    state, _ = jax.lax.scan(lambda state, symbol: (step(state, symbol), None), start, symbols)
    return state != DEAD
