"""An experiment file becomes an experiment, or one sentence that says where it is wrong."""

import sys
from pathlib import Path

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.training import Experiment, load_experiment

DEBUG = Path(__file__).parent.parent.parent / "experiments" / "debug.py"

VARIANT = """
import dataclasses

from base import get_config as base


def get_config():
    import more  # an import as late as this counts too
    return dataclasses.replace(base(), name=more.NAME)
"""


def test_a_file_makes_an_experiment_with_overrides_and_keeps_its_text():
    loaded = load_experiment(DEBUG, ("seed=3", "stages.ppo.clip=0.1"))
    assert isinstance(loaded.experiment, Experiment)
    assert loaded.experiment.seed == 3 and loaded.experiment.stages[1].clip == 0.1
    assert loaded.source == DEBUG.read_text() and loaded.overrides == ("seed=3", "stages.ppo.clip=0.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import os\n\nimport no_such_module",
            "{path}, line 3: ModuleNotFoundError: No module named 'no_such_module'.",
        ),
        ("x = 1\ndef get_config()\n    pass", "{path}, line 2: SyntaxError: expected ':'."),
        ("def other(): pass", "{path}: there is no function get_config(); it must return an Experiment (see "),
        ("def get_config():\n    return 3", "get_config() in {path} returns int, not an Experiment."),
        (
            "from rlsp_jax.generation import SamplingConfig\n\ndef get_config():\n    return SamplingConfig(\n"
            "        top_p=3,\n    )",
            "{path}, line 4: sampling.top_p is 3; it must lie in (0, 1].",
        ),
        ("def get_config():\n    return 1 / 0", "{path}, line 2: ZeroDivisionError: division by zero."),
        ("def get_config():\n    raise ValueError('two\\nlines')", "{path}, line 2: ValueError: two lines."),
        ("import sys\n\nsys.exit('usage')", "{path}, line 3: SystemExit: usage."),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_that_names_the_line(text, message, tmp_path):
    path = tmp_path / "mistaken.py"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        load_experiment(path)
    assert str(raised.value).startswith(message.format(path=path)) and "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_answered_with_its_neighbour(tmp_path):
    (tmp_path / "countdown_rlsp.py").touch()
    with pytest.raises(UserError, match=r"no experiment file .*countdown_rslp.py; did you mean .*countdown_rlsp.py\?$"):
        load_experiment(tmp_path / "countdown_rslp.py")
    with pytest.raises(UserError, match=r"no experiment file .*zzz.py\.$"):
        load_experiment(tmp_path / "zzz.py")
    with pytest.raises(UserError, match=r"no experiment file"):
        load_experiment(tmp_path)


def test_a_file_that_is_no_python_file_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("a: 1")
    with pytest.raises(UserError, match="config.yaml is not a Python file"):
        load_experiment(tmp_path / "config.yaml")


def test_a_file_may_import_its_neighbours_and_they_are_kept_with_it(tmp_path):
    (tmp_path / "base.py").write_text(DEBUG.read_text())
    (tmp_path / "more.py").write_text("NAME = 'variant'\n")
    (tmp_path / "variant.py").write_text(VARIANT)
    loaded = load_experiment(tmp_path / "variant.py")
    assert loaded.experiment.name == "variant"
    assert loaded.siblings == {"base.py": DEBUG.read_text(), "more.py": "NAME = 'variant'\n"}


def test_a_neighbour_is_never_mistaken_for_that_of_another_folder(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "base.py").write_text(DEBUG.read_text())
        (folder / "more.py").write_text(f"NAME = {name!r}\n")
        (folder / "variant.py").write_text(VARIANT)
    before = list(sys.path)
    assert [load_experiment(tmp_path / name / "variant.py").experiment.name for name in ("one", "two")] == [
        "one",
        "two",
    ]
    assert sys.path == before
    moved = load_experiment(tmp_path / "one" / "variant.py", siblings=tmp_path / "two")
    assert moved.experiment.name == "two"


def test_a_class_of_the_files_own_has_annotations_that_can_be_looked_up(tmp_path):
    text = DEBUG.read_text().replace(
        "def get_config", "@dataclasses.dataclass(frozen=True)\nclass Mine:\n    x: 'Path' = None\n\n\ndef get_config"
    )
    (tmp_path / "own.py").write_text(
        text.replace("from rlsp_jax import", "import dataclasses\nfrom pathlib import Path\nfrom rlsp_jax import", 1)
    )
    assert load_experiment(tmp_path / "own.py").experiment.name == "debug"
