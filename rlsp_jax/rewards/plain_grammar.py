r"""Plain numbers as `common.rationals` defines them, as an automaton that says what each byte of one is.

`1,234.50`, `-\$3`, `\frac{1}{2}`, `1 \frac12`, `3/4`, `12\%`, `90^\circ`; in a box, and behind a `####`, where a
sentence ends at a full stop before a blank.
"""

import functools

from rlsp_jax.rewards.automaton import (
    END,
    SYMBOLS,
    Automaton,
    Pattern,
    compile_patterns,
    either,
    many,
    maybe,
    one_of,
    sequence,
    some,
)

# Parts of an answer. The first digits are WHOLE ones, also those of `3/4`, since what follows cannot be known yet.
WHOLE, DECIMAL, ABOVE, BELOW, MINUS, PERCENT, DEGREE, EMPTY, DONE = range(1, 10)
PART_BITS = 4

_DIGITS = b"0123456789"
_BLANKS = b" \t\n\v\f\r"
_INLINE = b" \t\v\f\r"
_LETTERS = bytes(byte for byte in range(128) if chr(byte).isalpha())


def _signed(sign: bool) -> Pattern:
    return maybe(either(b"+", one_of(b"-", MINUS))) if sign else maybe(b"+")


def _number(point: Pattern) -> Pattern:
    """A number without its sign; `point` is a decimal point that no digit follows."""
    digit, decimal, above, below = (one_of(_DIGITS, part) for part in (WHOLE, DECIMAL, ABOVE, BELOW))
    blank = maybe(b" ")
    group = sequence(either(sequence(rb",\!", blank), b"{,}", b","), digit, digit, digit)
    whole = either(many(digit), sequence(digit, maybe(digit), maybe(digit), many(group)))

    def fraction(sign: bool) -> Pattern:
        top = either(sequence(b"{", _signed(sign), many(above), b"}"), above)
        bottom = either(sequence(b"{", many(below), b"}"), below)
        return sequence(b"\\", maybe(one_of(b"dtc")), b"frac", blank, top, blank, bottom)

    return either(
        sequence(whole, maybe(either(sequence(b".", many(decimal)), point))),
        sequence(b".", many(decimal)),
        fraction(True),
        sequence(many(digit), blank, fraction(False)),
        sequence(many(digit), blank, b"/", blank, many(below)),
        sequence(many(digit), b" ", many(above), blank, b"/", blank, many(below)),
    )


def _answers() -> tuple[Pattern, Pattern]:
    """What stands in a box up to the brace that closes it, and behind a #### up to the end of the text."""
    blank, inline, dollar = some(one_of(_BLANKS)), some(one_of(_INLINE)), sequence(maybe(b"\\"), maybe(b"$"))
    circle = sequence(rb"\cir", one_of(b"c", DEGREE))
    degree = either(
        sequence(b"^", maybe(b" "), either(circle, sequence(b"{", maybe(b" "), circle, maybe(b" "), b"}"))),
        sequence(b"\xc2", one_of(b"\xb0", DEGREE)),
    )
    unit = maybe(either(sequence(maybe(b"\\"), one_of(b"%", PERCENT)), degree))

    head = sequence(blank, some(b"$"), blank, dollar, _signed(True), blank, dollar)
    plain = sequence(head, _number(sequence(b".")), blank, unit, blank, some(b"$"), blank, maybe(b"."), blank)
    anything = some(one_of(range(SYMBOLS)))
    boxed = sequence(either(sequence(plain, one_of(b"}", DONE)), sequence(blank, one_of(b"}", EMPTY))), anything)

    # A full stop before a blank ends the sentence. Words behind it may be another "the answer is": left to the host.
    stars = either(some(b"*"), sequence(b".", many(b"*")))
    head = sequence(some(one_of(b" :*\n\t")), maybe(b"$"), inline, dollar, _signed(True), inline, dollar)
    marked = sequence(head, _number(either()), inline, unit, inline, some(b"$"), inline, stars, inline)
    rest = some(one_of(set(range(128)) - set(_LETTERS)))
    ends = maybe(either(b"\n", sequence(b".", one_of(_BLANKS))), rest)
    full_stop = maybe(b".")
    return boxed, sequence(marked, either(ends, full_stop), one_of([END], DONE), some(one_of([END])))


@functools.cache
def automaton() -> Automaton:
    """Its two starts: behind the opening brace of a box, behind a ####."""
    return compile_patterns(*_answers())
