"""The text of a problem as it is compared with others: as words, or, where words are too few, with its signs."""

import re
import unicodedata

# Chinese and Japanese do not part words, so each of their characters is one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_LAYOUT = re.compile(r"\\[,;:! ]|\\(?:left|right|displaystyle)(?![A-Za-z])|[\s$.,;:?!'\"“”‘’]+")


def words(text: str) -> list[str]:
    """The words and numbers of a text, lower-cased; punctuation and signs of operations are dropped."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def comparable(text: str) -> str:
    """A text without what is only layout: two problems with the same are the same; `2+3` and `2-3` stay apart."""
    return _LAYOUT.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
