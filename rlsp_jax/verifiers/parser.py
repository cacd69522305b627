r"""A grammar of answers: tokens to a tree, by recursive descent, without macros and without evaluation.

answer   := relation ((","|";"|"and"|"or") relation)*
relation := [sign] sets (sign sets)*              sign: = < > ≤ ≥ ≠ ∈ ≈ …
sets     := ratio (("∪"|"∩"|"∖") ratio)*
ratio    := quantity (":" quantity)*
quantity := sum [words]
sum      := product (("+"|"-"|"±"|"∓") product)*
product  := factor (["·"|"/"] factor)*             juxtaposition multiplies, from left to right
factor   := ("+"|"-"|"±") factor | atom ("^" argument | "!" | "%" | "°")*
"""

import itertools
import keyword
from fractions import Fraction

from rlsp_jax.verifiers.asides import at_condition, at_remark
from rlsp_jax.verifiers.cursor import END, Cursor
from rlsp_jax.verifiers.environments import read_environment
from rlsp_jax.verifiers.errors import NotUnderstood
from rlsp_jax.verifiers.lexer import Token
from rlsp_jax.verifiers.numerals import first_digit, read_number
from rlsp_jax.verifiers.terms import (
    Apply,
    Builder,
    Constant,
    Group,
    Measured,
    Number,
    Relation,
    Symbol,
    Term,
    Words,
    add,
    multiply,
    negative,
)
from rlsp_jax.verifiers.units import CURRENCIES, is_plausible, lowered, numeral, same_unit
from rlsp_jax.verifiers.vocabulary import (
    ACCENTS,
    CLOSING,
    FUNCTIONS,
    LETTERS,
    ORDINALS,
    SEPARATORS,
    SETS,
    SIGNS,
    VALUES,
    is_product,
)

POSITIVE = Group("(", ")", (Number(Fraction(0)), Constant("infty")))


def parse(tokens: list[Token]) -> Term:
    """The tree of an answer. Raises NotUnderstood."""
    parser = Parser(tokens)
    if parser.peek() == END:
        raise NotUnderstood("nothing")
    term = parser.answer()
    if parser.peek() != END:
        raise NotUnderstood(f"{parser.peek().text!r}")
    return term


class Parser(Cursor):
    """A method for each line of the grammar."""

    def __init__(self, tokens: list[Token]):
        super().__init__(tokens)
        self.bar_closes = False  # within |…| and before the condition of a set, a bar begins no value

    # ---- lists and relations ----

    def answer(self) -> Term:
        chunks: list[list[Term]] = [[self.relation()]]
        separators: set[str] = set()
        while (separator := self._separator()) and self.peek() != END:
            separators.add(separator)
            if separator == ";":
                chunks.append([])
            chunks[-1].append(self.relation())
        if len(chunks) > 1 and any(len(chunk) > 1 for chunk in chunks):  # `1, 2; 3, 4` are pairs
            items = [Group("(", ")", tuple(chunk)) if len(chunk) > 1 else chunk[0] for chunk in chunks]
        else:
            items = [item for chunk in chunks for item in chunk]
        joined = separators.pop() if len(separators) == 1 else ""
        term = items[0] if len(items) == 1 else Group("", "", tuple(items), joined if joined in ("and", "or") else "")
        if self.mark in ("over", "choose"):
            return Apply("div" if self.take().text == "over" else "binom", (term, self.inside(self.answer)))
        return term

    def _separator(self) -> str:
        """What parts the items of a list, repetitions passed over; "" if nothing does."""
        found = ""
        while self.mark in SEPARATORS:
            found = self.take().text
        return found

    def relation(self) -> Term:
        signs: list[str] = []
        sides: list[Term] = []
        if self.mark in SIGNS and (sign := self.take().text) not in ("=", "to", "implies", "approx"):
            sides, signs = [Words("")], [sign]
        sides.append(self.sets())
        while self.mark in SIGNS:
            self.check_chain(len(signs))
            signs.append(self.take().text)
            sides.append(self.sets())
        term = Relation(tuple(signs), tuple(sides)) if signs else sides[0]
        while at_condition(self):
            self.skip(",")
            term = Apply("given", (term, self._condition()))
        return term

    def _condition(self) -> Term:
        if self.skip("("):
            term = self.inside(self.relation)
            self.need(")")
            return term
        while self.at_word():
            self.take()
        return self.inside(self.relation)

    def sets(self) -> Term:
        term = self.ratio()
        num_sets = 1
        while self.mark in SETS:
            self.check_chain(num_sets := num_sets + 1)
            term = Apply(self.take().text, (term, self.ratio()))
        return term

    def ratio(self) -> Term:
        parts = [self.quantity()]
        while not self.bar_closes and self.skip(":"):
            parts.append(self.quantity())
        if len(parts) == 2 and isinstance(parts[0], Words) and not keyword.iskeyword(parts[0].text):  # `Minimum: 3`
            return Relation(("=",), (parts[0], parts[1]))
        return parts[0] if len(parts) == 1 else Apply("ratio", tuple(parts))

    def quantity(self) -> Term:
        money = self._currency()
        if not money and self.at_word():
            return self._saying(self.words())
        term = self._counted(self.sum())
        unit = self.words() or money or self._currency()
        while self.mark == "(" and at_remark(self):
            remark = self._remark()
            if not is_plausible(remark) or not (unit or isinstance(term, Symbol)):
                unit = f"{unit} {remark}".strip()
        return self._with_smaller_unit(Measured(term, unit)) if unit else term

    def _counted(self, term: Term) -> Term:
        """A number with the numerals in words behind it: `2 millions`, `3 tenths`."""
        while isinstance(term, Number) and self.kind in ("words", "letters") and (factor := numeral(self.peek().text)):
            self.take()
            whole = factor.denominator == 1
            term = Number(term.value * factor) if whole else Apply("div", (term, Number(1 / factor)))
        return term

    def _saying(self, words: str) -> Term:
        """Words, or what they say: `the answer is 5`."""
        subject, _, verb = words.rpartition(" ")
        if verb in ("is", "are", "equals") and self.peek() != END and self.mark not in SIGNS:
            return Relation(("=",), (Words(subject), self.inside(self.quantity)))
        return Words(words)

    def _currency(self) -> str:
        """`$`, or the name of a currency before its number."""
        if self.skip("\\$"):
            return "dollar"
        named = self.kind == "letters" and self.peek().text in CURRENCIES and self.peek(1).kind == "number"
        return self.take().text if named else ""

    def _remark(self) -> str:
        self.need("(")
        remark = self.words()
        self.need(")")
        return remark

    def _with_smaller_unit(self, term: Measured) -> Measured:
        """`2 hours (and) 30 minutes` as two and a half hours."""
        start = self.at
        self.skip("and")
        if self.kind == "number" and isinstance(term.value, Number):
            match self.inside(self.quantity):
                case Measured(Number(value), unit) if (factor := same_unit(unit, term.unit)) and value * factor < 1:
                    return Measured(Number(term.value.value + value * factor), term.unit)
        self.at = start
        return term

    def words(self) -> str:
        """A run of words, with the powers and quotients of units: `square units`, `cm^2`, `m / s`."""
        parts: list[str] = []
        while (self.at_word() and not at_condition(self)) or (parts and self._unit_goes_on()):
            parts.append(self.take().text)
            if parts[-1] == "^":
                braces = self.skip("{")
                sign = "-" if self.skip("-") else ""
                parts.append(sign + self.take().text)
                if braces:
                    self.need("}")
        return lowered(" ".join(parts))

    def _unit_goes_on(self) -> bool:
        after = self.peek(1)
        match self.mark:
            case "/":
                return after.kind in ("words", "letters", "symbol")
            case "^":
                return after.kind == "number" or after.text in ("{", "-")
            case "." | "-":
                return True
        return self.kind == "symbol"

    # ---- arithmetic ----

    def sum(self) -> Term:
        terms: list[Term] = [self.product()]
        num_signs = 0
        while self.mark in ("+", "-", "pm", "mp"):
            sign = self.take().text
            right = self.product()
            if sign in ("pm", "mp"):
                num_signs += 1
                self.check_chain(num_signs)
                terms = [Apply(sign, (add(*terms), right))]
            else:
                terms.append(right if sign == "+" else negative(right))
        return add(*terms)

    def product(self) -> Term:
        term = self.factor()
        num_divisions = 0
        while True:
            if self.skip("*", "times", "cdot"):
                term = multiply(term, self.factor())
            elif self.skip("/"):
                num_divisions += 1
                self.check_chain(num_divisions)
                term = Apply("div", (term, self.factor()))
            elif self._begins_value():
                term = multiply(term, self.factor())
            else:
                return term

    def _begins_value(self) -> bool:
        match self.kind:
            case "symbol":
                return True
            case "letters":
                return is_product(self.peek().text)
            case "number":  # `3 4` is no product; `x^2 3` is one
                return self.peek(-1).kind != "number" or self.peek(-2).text in ("^", "_")
        mark = self.mark
        if mark == "|":
            return not self.bar_closes
        if mark == "(":
            return not (at_condition(self) or at_remark(self))
        return mark in VALUES or mark in ("[", "{", "\\{")

    def factor(self) -> Term:
        if self.skip("-"):
            return negative(self.inside(self.factor))
        if self.skip("+"):
            return self.inside(self.factor)
        if self.mark in ("pm", "mp"):
            return Apply(self.take().text, (self.inside(self.factor),))
        return self.powers(self.atom())

    def powers(self, term: Term) -> Term:
        for link in itertools.count():
            self.check_chain(link)
            if self.skip("^"):
                if self._passes(ORDINALS):
                    continue
                if term == Symbol("mathbb R") and self._passes(("+",)):
                    return POSITIVE
                degrees = self._passes(("circ",))
                if degrees and self.peek().text in ("C", "F"):  # of temperature
                    term = Measured(term, f"degree {self.take().text.lower()}")
                else:
                    term = Apply("deg", (term,)) if degrees else Apply("pow", (term, self.argument(signed=True)))
            elif self.skip("circ"):
                term = Apply("deg", (term,))
            elif self.skip("!"):
                term = Apply("factorial", (term,))
            elif self.skip("%"):
                term = Apply("percent", (term,))
            else:
                break
        return term

    def _passes(self, texts) -> bool:
        """Passes over one of these texts, in braces or not."""
        braces = self.mark == "{"
        if self.peek(int(braces)).text not in texts:
            return False
        self.at += 1 + braces
        if braces:
            self.need("}")
        return True

    def argument(self, *, signed: bool = False) -> Term:
        """What a command or a power applies to: a group in braces, or one value."""
        if self.skip("{"):
            term = self.inside(self.answer)
            self.need("}")
            return term
        if signed and self.skip("-"):
            return negative(self.argument())
        return self.inside(self.atom)

    # ---- atoms ----

    def atom(self) -> Term:
        kind, text, _ = self.take()
        match kind:
            case "number":
                return read_number(self, text)
            case "symbol":
                return self.symbol(text)
            case "letters" if is_product(text):
                if text.isupper() and len(text) > 2:  # a name: of a triangle, of a sequence of throws
                    return self.symbol(text)
                self.tokens[self.at - 1 : self.at] = [Token("symbol", letter) for letter in text]
                return self.symbol(text[0])
            case "mark" | "command" if text in CLOSING:
                return self.group(text)
            case "mark" if text == "|":
                return self.absolute_value()
            case "command":
                return self.command(text)
        raise NotUnderstood(repr(text) if text else "an end where a value was due")

    def symbol(self, name: str) -> Term:
        if self.skip("_"):
            return Symbol(f"{name}_{self._subscript()}{self._primes()}")
        if primes := self._primes():
            return Symbol(name + primes)
        return Constant(name) if name in ("e", "i") else Symbol(name)

    def _primes(self) -> str:
        return self.take().text if self.mark.startswith("'") else ""

    def _subscript(self) -> str:
        """An index or what an accent is put on, as the text of its tokens."""
        if not self.skip("{"):
            return self.take().text
        parts: list[str] = []
        level = 1
        while level and (token := self.take()) != END:
            level += (token.text == "{") - (token.text == "}")
            parts.append(token.text)
        return "".join(parts[:-1] if not level else parts)

    def command(self, name: str) -> Term:
        match name:
            case "pi" | "infty":
                return Constant(name)
            case "frac" | "binom":
                top = first_digit(self) or self.argument()
                bottom = first_digit(self) or self.argument()
                return _derivative(top, bottom) or Apply("div" if name == "frac" else name, (top, bottom))
            case "sqrt":
                degree: Term = Number(Fraction(2))
                if self.skip("["):
                    degree = self.inside(self.answer)
                    self.need("]")
                return Apply("root", (self.argument(), degree))
            case "begin":
                return read_environment(self, self.relation)
            case "boxed" | "fbox":
                return self.argument()
            case "emptyset":
                return Group("\\{", "\\}", ())
            case "abs" | "floor" | "ceil":
                return Apply(name, (self.argument(),))
            case "sum" | "prod":
                return self.series(name)
        if name in ACCENTS:
            return Symbol(f"{name} {self._subscript()}")
        if name in FUNCTIONS:
            return self.function(name)
        if name in LETTERS:
            return self.symbol(f"\\{name}")
        raise NotUnderstood(f"\\{name}")

    def function(self, name: str) -> Term:
        r"""`\sin^2 x`, `\log_{10} 2`, `\sin 2x`: the argument is a group, or the product that follows."""
        base = self.argument() if self.skip("_") else None
        power = self.argument(signed=True) if self.skip("^") else None
        if base is None and self.skip("_"):
            base = self.argument()
        of = self.inside(self._function_argument)
        args = of.items if isinstance(of, Group) and of.opening == "(" else (of,)
        if power == Number(Fraction(-1)) and name in ("sin", "cos", "tan"):
            return Apply(f"a{name}", args)
        term = Apply(name, args if base is None else (*args, base))
        return term if power is None else Apply("pow", (term, power))

    def _function_argument(self) -> Term:
        if self.mark in ("(", "["):
            return self.group(self.take().text)
        if self.mark == "{":
            return self.powers(self.argument())
        term = self.factor()
        while self._begins_value() and self.mark not in FUNCTIONS and self.mark not in ("(", "["):
            term = multiply(term, self.factor())
        if self.mark == "/" and self.peek(1).kind == "number":  # `\sin x/2`
            self.take()
            term = Apply("div", (term, self.factor()))
        return term

    def series(self, name: str) -> Term:
        r"""`\sum_{k=1}^{n} k^2`, of the product that follows: its variable, bounds and body."""
        self.need("_")
        first = self.argument()
        self.need("^")
        last = self.argument()
        match first:
            case Relation(("=",), (Symbol() as variable, low)):
                return Apply(name, (variable, low, last, self.inside(self.product)))
        raise NotUnderstood(f"the bounds of \\{name}")

    def absolute_value(self) -> Term:
        outer, self.bar_closes = self.bar_closes, True
        term = self.inside(self.sum)
        self.bar_closes = outer
        self.need("|")
        return Apply("abs", (term,))

    def group(self, opening: str) -> Term:
        """Brackets: a value in parentheses, or several items."""
        if opening == "\\{" and self.skip("\\}", "}"):
            return Group("\\{", "\\}", ())
        of_set = opening in ("{", "\\{")
        outer, self.bar_closes = self.bar_closes, of_set
        inner = self.inside(self.answer)
        if of_set and self.skip("|", ":"):
            self.bar_closes = False
            condition = self.inside(self.answer)
            self.need("\\}", "}")
            self.bar_closes = outer
            return Builder(inner, condition)
        self.bar_closes = outer
        closing = self.need(*CLOSING[opening])
        if opening in ("lfloor", "lceil"):
            return Apply("floor" if opening == "lfloor" else "ceil", (inner,))
        items = inner.items if isinstance(inner, Group) and not inner.opening else (inner,)
        if of_set:
            return inner if opening == "{" and len(items) == 1 else Group("\\{", "\\}", items)
        return Group(opening, closing, items) if len(items) > 1 or opening == "langle" else inner


def _derivative(top: Term, bottom: Term) -> Symbol | None:
    """`dy/dx` as `y'`."""
    match top, bottom:
        case Apply("mul", (Symbol("d"), Symbol(name))), Apply("mul", (Symbol("d"), Symbol())):
            return Symbol(f"{name}'")
    return None
