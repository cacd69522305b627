r"""Mathematical text, LaTeX or plain, as tokens: one pass, no macros, nothing ever executed.

What only lays text out (`\left`, `\,`, `$`, `\mathrm`, zero-width characters) is gone afterwards, and every way to
write a symbol (`≤`, `\le`, `\leq`, `<=`) is one token.
"""

import re
from typing import NamedTuple

from rlsp_jax.verifiers.errors import NotUnderstood
from rlsp_jax.verifiers.unicode_math import to_ascii

MAX_TOKENS = 2000


class Token(NamedTuple):
    """`kind` is number, symbol, letters, words, command or mark; `blank` says whether blanks stand before it.

    Letters are several that stand side by side in mathematics: a word or a product. Words are certainly text.
    """

    kind: str
    text: str
    blank: bool = False


# Each line: a token, then the other ways to write it.
_ALIASES = r"""
frac dfrac tfrac cfrac
binom dbinom tbinom
le leq leqslant <=
ge geq geqslant >=
ne neq !=
= == doteq equiv
< lt
> gt
^ **
* ast star
/ div
- neg
: colon
| lvert rvert vert Vert lVert rVert mid
[ lbrack
] rbrack
\{ { lbrace
\} } rbrace
\$ $
dots ldots cdots
emptyset varnothing
and land wedge
or lor vee
to rightarrow
implies Rightarrow
setminus backslash smallsetminus
approx simeq
circ degree
overline bar
asin arcsin
acos arccos
atan arctan
mathbb Bbb
phi varphi
epsilon varepsilon
theta vartheta
"""
_COMMANDS = {name: line.split()[0] for line in _ALIASES.strip().splitlines() for name in line.split()[1:]}
_MARKS = {name: _COMMANDS[name] for name in ("<=", ">=", "!=", "==", "**")}
_SPELLED = {
    **{name: name for name in "sin cos tan cot sec csc asin acos atan sinh cosh tanh ln log exp det gcd lcm".split()},
    **{name: name for name in "sqrt abs floor ceil max min lim and or cup cap in pi".split()},
    **{"arcsin": "asin", "arccos": "acos", "arctan": "atan", "infty": "infty", "infinity": "infty", "inf": "infty"},
}  # letters that mean what the command of that name means

_LONE = ("i", "e", "x", "pi")  # mathematics even where they are text

_LAYOUT = "|".join(
    (
        r"\\(?:left|right|middle|[bB]igg?[lrm]?|(?:display|text|script)style|(?:no)?limits|q?quad|enspace|thinspace)(?![A-Za-z])",
        r"\\(?:allowbreak|hfill|noindent|bf|rm|it|sf|tt|Large|large|huge|Huge|normalsize)(?![A-Za-z])",
        r"\\(?:[hv]space|[hv]?phantom|label|tag|(?:text)?color)\*?\{[^{}]*\}",
        r"\\(?:left|right)\s*\.|\.(?=\s*(?:\\right)?\s*[\])}])",  # no bracket, and a full stop within the last one
        r"\\[,;:!> ]|~|\\[()\[\]]|(?<!\\)\$",
    )
)
_TOKEN = re.compile(
    rf"(?P<blank>\s+|{_LAYOUT})"
    r"|(?P<number>\d+(?:\.\d+)?|\.\d+)"
    r"|\\(?:text(?:rm|normal|up|sf|tt|sc|bf|it)?|[mh]box|emph)\s*\{(?P<text>[^{}]*)\}"
    r"|\\(?:math(?:rm|bf|it|sf|tt)|operatorname\*?)\s*\{(?P<upright>[A-Za-z ]{2,}|[A-Za-z]+ ?/ ?[A-Za-z]+(?:\^\d)?)\}"
    r"|\\(?:math(?:rm|bf|it|sf|tt|cal|scr|frak|op|normal|strut)|boldsymbol|bm|pmb|underline|operatorname)(?![A-Za-z])"
    r"|\\(?P<command>[A-Za-z]+\*?|[{}%&#|_$\\])"
    r"|(?P<letters>[^\W\d_]+)"
    r"|(?P<mark>\*\*|[<>!=]=|'+|[-+*/^_=<>(){}\[\]|,;:!&%?.\"#@])",
    re.ASCII,
)
_TWICE_ESCAPED = re.compile(
    r"\\\\(?=(?:[dt]?frac|sqrt|left|right|pi|text|mathrm|cdot|times|infty|boxed|pm|cup|le|ge)(?![A-Za-z]))"
)
_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:(?:,\s*\\!\s*|\{,\}|\\,|\\!)\d{3})+(?!\d)", re.ASCII)
_COMMA_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)", re.ASCII)
_SEPARATOR = re.compile(r"\D+")
_DOT = r"\\dot\s*\{?(\d)\}?"
_DOTTED = re.compile(rf"(\d*\.\d*){_DOT}(?:(\d*){_DOT})?", re.ASCII)  # `0.\dot{1}4\dot{2}`
_END_POINT = r"\s*(?!\\c[au]p)(?:[^][(){},;\s]|\([^()]*\)|\{[^{}]*\}|(?<=\S)\s+(?=\S))+\s*"
_BRACKETED = re.compile(rf"\\sqrt\s*\[[^][]*\]|([][])({_END_POINT}[,;]{_END_POINT})([][])")
_GLUED = re.compile(r"(sin|cos|tan|cot|sec|csc|log|ln)([a-z])")
_PARTS = re.compile(r"[A-Za-z]+|[^A-Za-z]+")


def tokenize(text: str, *, thousands: bool = True) -> list[Token]:
    """The tokens of one answer. `thousands` reads `1,234` as a number, else as two.

    Raises NotUnderstood for characters that mathematics does not have, and beyond `MAX_TOKENS`.
    """
    text = _THOUSANDS.sub(_without_separators, to_ascii(text).replace("{.}", "."))
    if thousands:
        text = _COMMA_THOUSANDS.sub(_without_separators, text)
    if "\\dot" in text:
        text = _DOTTED.sub(r"\1\\overline{\2\3\4}", text)
    if "[" in text or "]" in text:
        text = _BRACKETED.sub(_without_turned_brackets, text)
    if "\\begin" not in text:  # there, two backslashes end a row
        text = _TWICE_ESCAPED.sub(lambda _: "\\", text)
    tokens: list[Token] = []
    place, blank = 0, False
    while place < len(text):
        if (found := _TOKEN.match(text, place)) is None:
            raise NotUnderstood(f"the character {text[place]!r}")
        place = found.end()
        if found.lastgroup == "blank":
            blank = True
        elif found.lastgroup is not None:  # else a command that only lays out what follows it
            tokens += _make_tokens(found.lastgroup, found[found.lastgroup], blank)
            blank = found.lastgroup == "text"
        if len(tokens) > MAX_TOKENS:
            raise NotUnderstood(f"more than {MAX_TOKENS} tokens")
    return tokens


def _make_tokens(kind: str, text: str, blank: bool) -> list[Token]:
    match kind:
        case "number":
            return [Token("number", text, blank)]
        case "command" | "mark":
            name = _COMMANDS.get(text, text) if kind == "command" else _MARKS.get(text, text)
            return [Token("command" if name[0].isalpha() else "mark", name, blank)]
        case "letters" | "upright" if text in _SPELLED:
            return [Token("command", _SPELLED[text], blank)]
        case "letters" if (glued := _GLUED.fullmatch(text)) is not None:  # `cosx`
            return [Token("command", glued[1], blank), Token("symbol", glued[2])]
        case "letters":
            return [Token("symbol" if len(text) == 1 else "letters", text, blank)]
    return _from_text(text)


def _from_text(text: str) -> list[Token]:
    r"""What `\text{…}` holds: words, and the mathematics among them (`\text{(C)}`, `\text{3 and 4}`)."""
    if text.strip() in _LONE:
        return [token._replace(blank=True) for token in tokenize(text)]
    tokens: list[Token] = []
    for part in _PARTS.findall(text):
        if part in ("and", "or"):
            tokens.append(Token("command", part, True))
        else:
            tokens += [Token("words", part, True)] if part.isalpha() else tokenize(part)
    return tokens


def _without_turned_brackets(interval: re.Match[str]) -> str:
    """`[1, 2[` as `[1, 2)`."""
    opening, inside, closing = interval.groups()
    if opening is None:
        return interval[0]
    return ("[" if opening == "[" else "(") + inside + ("]" if closing == "]" else ")")


def _without_separators(number: re.Match[str]) -> str:
    """A number without what groups its digits; `(1,234)` is a pair."""
    before = number.string[max(0, number.start() - 8) : number.start()].rstrip(" -+")[-1:]
    after = number.string[number.end() : number.end() + 8].lstrip()[:1]
    if number.re is _COMMA_THOUSANDS and before in ("(", "[") and after in (")", "]"):
        return number[0]
    return _SEPARATOR.sub("", number[0])
