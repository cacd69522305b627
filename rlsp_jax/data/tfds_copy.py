"""What TFDS keeps: prepared once as array_record files, then read by row, without TensorFlow.

Imported only where it is used: TFDS takes a second to load, and is installed by the extra `data`.
"""

from collections.abc import Iterator
from pathlib import Path

from rlsp_jax.common.errors import UserError

try:
    import importlib_resources  # noqa: F401 - TFDS 4.9.10 uses it and does not install it
    import requests
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.util import DownloadError
    from tensorflow_datasets.text.gsm8k import gsm8k
except ModuleNotFoundError as error:
    raise UserError(
        f"The published data sets are read through TFDS, which lacks {error.name}: "
        "install rlsp_jax[data], or give folder= the place of the raw files."
    ) from error

from rlsp_jax.data.competition_math import FIELDS, check_fields, read_archive, read_folder

_PATIENCE = 20.0  # seconds for the first answer of the server: without a network TFDS itself tries for minutes


class CompetitionMath(tfds.core.GeneratorBasedBuilder):
    """MATH from its published archive, which has to be put in place: its download link was taken down in 2025."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put MATH.tar, or the folder MATH extracted from it, there."

    def _info(self):
        features = tfds.features.FeaturesDict({name: tfds.features.Text() for name in FIELDS})
        return tfds.core.DatasetInfo(builder=self, features=features, description=type(self).__doc__)

    def _split_generators(self, dl_manager):
        return {part: self._generate_examples(Path(dl_manager.manual_dir), part) for part in ("train", "test")}

    def _generate_examples(self, manual: Path, part: str):
        archive = manual / "MATH.tar"  # read as it is: TFDS extracts with TensorFlow
        found = read_archive(archive, part) if archive.is_file() else read_folder(manual, part)
        for place, value in found:
            yield place, check_fields(value, place)


def read_gsm8k(data_dir: str | None, part: str) -> Iterator[dict[str, str]]:
    """The rows of GSM8K, downloaded first where they are not there yet."""
    builder = gsm8k.Gsm8k(data_dir=data_dir, file_format="array_record")
    if not builder.is_prepared():
        try:
            requests.head(gsm8k._URLS[part], timeout=_PATIENCE)
            builder.download_and_prepare()
        except (OSError, DownloadError) as error:
            raise UserError(
                f"GSM8K is not in {builder.data_dir} and could not be downloaded ({type(error).__name__}); prepare it "
                "on a machine with a network and copy it there, or give folder= the published two JSONL files."
            ) from error
    return _texts(builder, part)


def read_math(data_dir: str | None, part: str) -> Iterator[dict[str, str]]:
    """The rows of MATH, prepared first from the archive where they are not there yet."""
    builder = CompetitionMath(data_dir=data_dir, file_format="array_record")
    if not builder.is_prepared():
        manual = Path(builder.data_dir).parents[1] / "downloads" / "manual"
        if not any((manual / name).exists() for name in ("MATH", "MATH.tar")):
            raise UserError(
                f"MATH is not in {builder.data_dir}; put the published MATH.tar in {manual}, "
                "or give folder= the archive extracted."
            )
        builder.download_and_prepare()
    return _texts(builder, part)


def _texts(builder, part: str) -> Iterator[dict[str, str]]:
    for row in builder.as_data_source(split=part):
        yield {name: value.decode() for name, value in row.items()}
