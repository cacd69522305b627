"""The tokenizer of a checkpoint that others have published, from a folder or from the Hub."""

import dataclasses
from pathlib import Path

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.sources import resolve
from rlsp_jax.data import published_sentencepiece
from rlsp_jax.data.published import FILES
from rlsp_jax.data.tokenizer import Tokenizer

HUGGING_FACE = "tokenizer.json"


@dataclasses.dataclass(frozen=True)
class PretrainedTokenizer:
    """The tokenizer of a checkpoint, taken as it is; `source` is a local folder, or a Hub id such as `owner/name`."""

    source: str
    revision: str | None = None  # of a Hub id: a branch, a tag or a commit

    def __post_init__(self):
        if not self.source:
            raise UserError("source is empty; name the folder of a checkpoint, or a Hub id such as owner/name.")

    def load(self) -> Tokenizer:
        """The tokenizer. Raises `UserError` where it cannot be found or read."""
        return load_pretrained(resolve(self.source, self.revision, FILES))


def load_pretrained(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint's folder: its `tokenizer.json`, else its SentencePiece `tokenizer.model`."""
    if (folder / HUGGING_FACE).is_file():
        try:
            from rlsp_jax.data.hf_tokenizer import HuggingFaceTokenizer
        except ModuleNotFoundError:
            raise UserError(
                f"{folder / HUGGING_FACE} is read by the tokenizers library; install it: pip install 'rlsp_jax[hf]'."
            ) from None
        return HuggingFaceTokenizer(folder)
    if (folder / published_sentencepiece.FILE).is_file():
        return published_sentencepiece.PublishedSentencePiece(folder)
    raise UserError(
        f"{folder} has neither {HUGGING_FACE} nor {published_sentencepiece.FILE}, so it holds no tokenizer; name the "
        "folder of a whole checkpoint."
    )
