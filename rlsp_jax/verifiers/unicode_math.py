r"""Unicode mathematics in LaTeX: one way to write each symbol."""

import re
import unicodedata

_COMMANDS = r"""
× times · cdot ⋅ cdot ∙ cdot ≤ le ⩽ le ≥ ge ⩾ ge ≠ ne ≈ approx ± pm ∓ mp ∞ infty ∪ cup ∩ cap ∖ setminus ∈ in ∉ notin
∅ emptyset √ sqrt ⟨ langle ⟩ rangle ⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil → to ⇒ implies ∑ sum ∫ int ∏ prod ℓ ell ∠ angle
△ triangle ¬ neg Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Φ Phi Ψ Psi Ω Omega α alpha β beta γ gamma δ delta
ε epsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi ρ rho σ sigma τ tau υ upsilon φ phi χ chi
ψ psi ω omega
""".split()
_CHARACTERS: dict[str, str] = {
    **{symbol: f"\\{name} " for symbol, name in zip(_COMMANDS[::2], _COMMANDS[1::2], strict=True)},
    **{letter: f"\\mathbb{{{plain}}}" for letter, plain in zip("ℝℤℕℚℂ", "RZNQC", strict=True)},
    **dict.fromkeys("−–—‐‑", "-"),
    **dict.fromkeys("⁄∕÷", "/"),
    **dict.fromkeys("°º", "^\\circ "),
    **dict.fromkeys("，、", ","),
    **{"€": " euro ", "£": " pound ", "¥": " yen ", "¢": " cent "},
    **{"∛": "\\sqrt[3]", "∗": "*", "′": "'", "’": "'", "“": '"', "”": '"', "∣": "|", "；": ";", "。": ".", "：": ":"},
    **dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))), " "),
    **dict.fromkeys("\u00ad\ufeff" + "".join(map(chr, [*range(0x200B, 0x2010), *range(0x2060, 0x2065)])), ""),
}
_TABLE = str.maketrans(_CHARACTERS)


def _plain(raised: str) -> str:
    return unicodedata.normalize("NFKC", raised).replace("−", "-")


_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙ]+")
_VULGAR = re.compile("[¼-¾⅐-⅞↉]")
_NARROW_BLANK = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def to_ascii(text: str) -> str:
    r"""`3²·√2 ≤ ½π` as `3^{2}\cdot \sqrt 2 \le \frac{1}{2}\pi `. Letters of other scripts stay."""
    if text.isascii():
        return text
    text = _NARROW_BLANK.sub("", text)  # it groups the digits of one number
    text = _RAISED.sub(lambda run: f"^{{{_plain(run[0])}}}", text)
    text = _LOWERED.sub(lambda run: f"_{{{_plain(run[0])}}}", text)
    text = _VULGAR.sub(_as_fraction, text).translate(_TABLE)
    return _NOT_ASCII.sub(lambda others: _plain(others[0]), text)


def _as_fraction(half: re.Match[str]) -> str:
    top, bottom = unicodedata.normalize("NFKC", half[0]).split("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}"
