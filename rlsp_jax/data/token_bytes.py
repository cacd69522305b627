"""The bytes that a vocabulary's pieces stand for: byte-level pieces (GPT-2) and pieces with byte fallback (Llama-2)."""

import re

BLANK = "\u2581"  # how SentencePiece writes a blank inside its pieces
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letter of every byte, turned round: printable bytes are themselves, the others follow from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_ALPHABET = _byte_alphabet()


def byte_level(piece: str) -> bytes:
    """The bytes of a piece that is written a letter a byte; one with any other letter in it stands for its own text."""
    try:
        return bytes([BYTE_ALPHABET[letter] for letter in piece])
    except KeyError:
        return piece.encode()


def with_fallback(piece: str) -> bytes:
    """The bytes of a piece in which U+2581 is a blank, and `<0x0A>` a byte that no other piece has."""
    if match := _BYTE.fullmatch(piece):
        return bytes([int(match[1], 16)])
    return piece.replace(BLANK, " ").encode()
