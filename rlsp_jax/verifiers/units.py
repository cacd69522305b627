"""Units of measure: which words are units, and which quantities are the same."""

import re
from fractions import Fraction

# For each dimension, its units with their sizes. What is not here is compared by its name.
_DIMENSIONS = {
    "length": "mm=1/1000 cm=1/100 dm=1/10 m=1 km=1000 in=127/5000 ft=381/1250 yd=1143/1250 mi=201168/125",
    "mass": "mg=1/1000 g=1 kg=1000 tonne=1000000",
    "time": "ms=1/1000 s=1 min=60 h=3600 day=86400 week=604800",
    "volume": "ml=1/1000 cl=1/100 l=1",
    "money": "cent=1/100 dollar=1",
}
_NAMES = """
mm millimeter millimetre
cm centimeter centimetre
dm decimeter decimetre
m meter metre
km kilometer kilometre
in inch
ft foot feet
yd yard
mi mile
mg milligram
g gram gramme
kg kilogram kilo
tonne ton
ms millisecond
s sec second
min minute
h hr hour
ml milliliter millilitre
cl centiliter centilitre
l liter litre
dollar usd buck
rad radian
euro eur
lb pound gbp
oz ounce
"""
_SAME = {name: line.split()[0] for line in _NAMES.strip().splitlines() for name in line.split()}
_SIZES = {
    name: (dimension, Fraction(size))
    for dimension, units in _DIMENSIONS.items()
    for name, _, size in (unit.partition("=") for unit in units.split())
}
_RATES = {"mph": "mi/h", "kph": "km/h", "kmh": "km/h"}
_OTHERS = frozenset(
    "unit month year gallon quart pint cup mph kph hz watt w kw joule j newton n volt v pa degree percent square cubic "
    "sq cu per point rupee yen mol mole kelvin ev mev coulomb ohm tesla gauss au person people way".split()
)
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_FACTOR = re.compile(r"([a-z]+)(?: ?\^ ?(-?\d))?")
_WORD = re.compile(r"[a-z]+")
_SCALES = "million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion".split()
SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000} | {
    name: 1000**power for power, name in enumerate(_SCALES, start=2)
}
_PARTS = "half third quarter fourth fifth sixth seventh eighth ninth tenth hundredth thousandth millionth".split()
PARTS = dict(zip(_PARTS, (2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 100, 1000, 10**6), strict=True)) | {"halve": 2}
_DENIALS = frozenset(
    "not no isn t is are was nor neither but cannot never maybe perhaps might probably possibly hopefully presumably "
    "guess guesses guessed guessing wrong false incorrect except other if when excluded rejected extraneous "
    "invalid".split()
)
_CHANGES = frozenset(
    "or approx approximately about around roughly almost nearly likely estimate estimated minus plus times over "
    "divided twice doubled tripled squared cubed factorial root power powers raised to reciprocal inverse "
    "opposite conjugate negative below under than less more k bn zero one two three four five six seven eight "
    "nine ten eleven twelve pairs lakh crore gross score permille basis mod repeating recurring "
    "increase decrease".split()
).union(SCALES, PARTS)
_MEGA = re.compile(r"(?<![A-Za-z])M(?=(?:W|V|J|N|A|Hz|Pa|eV|Wh)(?![A-Za-z]))")  # `mW` is another unit
CURRENCIES = frozenset("dollar dollars usd euro euros eur pound pounds gbp yen rupee rupees".split())
MAX_WORDS = 6


def lowered(text: str) -> str:
    """Text in lower case, where that of a unit does not tell its size."""
    return _MEGA.sub("mega", text).lower()


def numeral(word: str) -> Fraction | None:
    """What a word behind a number multiplies it by, in singular or plural: `millions`, `third`."""
    for form in _singulars(word.lower())[:2]:
        if form in SCALES:
            return Fraction(SCALES[form])
        if form in PARTS:
            return Fraction(1, PARTS[form])
    return None


def is_unit(word: str) -> bool:
    """Whether a word is a unit, in singular or plural."""
    return any(form in _SAME or form in _SIZES or form in _OTHERS for form in _singulars(word.lower()))


def is_plausible(unit: str) -> bool:
    """Whether words behind a number may be what it counts, rather than what changes it or takes it back."""
    words = _WORD.findall(unit)
    singulars = {form for word in words for form in _singulars(word)[:2]}
    return len(words) <= MAX_WORDS and singulars.isdisjoint(_DENIALS) and singulars.isdisjoint(_CHANGES)


def denies(text: str) -> bool:
    """Whether words before a value take it back: `not: 3`."""
    return not _DENIALS.isdisjoint(_WORD.findall(text))


def same_unit(left: str, right: str) -> Fraction | None:
    """How many of `right` one of `left` is; None if the two measure different things, or cannot be told."""
    (dimensions, size), (others, other_size) = _read(left), _read(right)
    return size / other_size if dimensions == others else None


def _read(text: str) -> tuple[dict[str, int], Fraction]:
    """A unit's dimensions with their powers, and its size in them."""
    powers: dict[str, int] = {}
    size, sign, multiplied = Fraction(1), 1, 1
    for word, exponent in _FACTOR.findall(_RATES.get(text, text).replace("/", " per ")):
        if word == "per":
            sign = -1
        elif word in _POWERS:
            multiplied = _POWERS[word]
        elif word not in ("of", "the", "a"):
            dimension, factor = _measure(word)
            power = sign * multiplied * int(exponent or 1)
            powers[dimension] = powers.get(dimension, 0) + power
            size *= factor**power
            multiplied = 1
    return powers, size


def _measure(word: str) -> tuple[str, Fraction]:
    """The dimension of a unit and its size in it; a word that is none is a dimension of its own."""
    for form in _singulars(word):
        name = _SAME.get(form, form)
        if name in _SIZES or name in _OTHERS or form in _SAME:
            return _SIZES.get(name, (name, Fraction(1)))
    return word.removesuffix("s"), Fraction(1)


def _singulars(word: str) -> tuple[str, ...]:
    return word, word.removesuffix("s"), word.removesuffix("es")
