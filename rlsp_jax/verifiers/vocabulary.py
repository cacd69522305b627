"""Which commands, letters and words mean what."""

from rlsp_jax.verifiers.units import is_unit

SIGNS = frozenset("= < > le ge ne in notin approx to implies sim cong subset subseteq perp parallel".split())
SETS = frozenset("cup cap setminus".split())
SEPARATORS = frozenset((",", ";", "and", "or", "\\"))
CLOSING = {
    "(": (")", "]"),
    "[": ("]", ")"),
    "\\{": ("\\}", "}"),
    "{": ("}", "\\}"),
    "langle": ("rangle",),
    "lfloor": ("rfloor",),
    "lceil": ("rceil",),
}
FUNCTIONS = frozenset(
    "sin cos tan cot sec csc asin acos atan sinh cosh tanh ln log exp det arg gcd lcm min max deg".split()
)
LETTERS = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar nabla partial aleph angle triangle".split()
)
ACCENTS = frozenset("vec hat overline overrightarrow tilde dot ddot widehat mathbb".split())
VALUES = (
    FUNCTIONS
    | LETTERS
    | ACCENTS
    | frozenset(
        "pi infty frac binom sqrt begin lfloor lceil langle boxed fbox emptyset abs floor ceil sum prod".split()
    )
)  # the commands that a value can begin with
ENVIRONMENTS = frozenset("matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix array cases aligned align".split())
BASES = {
    name: base
    for base, name in enumerate("two three four five six seven eight nine ten eleven twelve".split(), start=2)
}
ORDINALS = frozenset(("th", "st", "nd", "rd"))
CONDITIONALS = frozenset(("if", "for", "when", "where", "with", "otherwise"))

_SHORT_WORDS = ORDINALS | frozenset(
    "no yes not one two six ten all any of is if at to by odd non may jan feb mar apr jun jul aug sep oct nov dec am "
    "pm are has the a red men boy dog cat day box per it we be as an so do he she on in for".split()
)


def is_product(letters: str) -> bool:
    """Whether letters side by side are variables to multiply (`xy`, `ABC`) rather than a word or a unit (`cm`)."""
    if not letters.isascii() or is_unit(letters) or letters.lower() in _SHORT_WORDS:
        return False
    return len(letters) <= (6 if letters.isupper() else 3)
