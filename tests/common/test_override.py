import dataclasses
import json
from pathlib import Path
from typing import Literal

import pytest

from rlsp_jax.common.describe import ABSENT, diff, explain, flatten, to_dict
from rlsp_jax.common.override import OverrideError, apply_overrides


@dataclasses.dataclass(frozen=True)
class Constant:
    value: float


@dataclasses.dataclass(frozen=True)
class Linear:
    start: float
    end: float


@dataclasses.dataclass(frozen=True)
class Stream:
    name: str
    weight: Constant | Linear
    clip: float | None = None


@dataclasses.dataclass(frozen=True)
class Model:
    """Who learns."""

    num_layers: int = 3  # transformer blocks
    width: int = 96
    """Channels of the
    residual stream."""
    attention: Literal["full", "blockwise"] = "full"
    tied: bool = True  # the "#" of this comment stays


@dataclasses.dataclass(frozen=True)
class Sft:
    num_steps: int = 100
    warmup_steps: int = 10

    def __post_init__(self):
        if self.warmup_steps > self.num_steps:
            raise ValueError(f"warmup_steps is {self.warmup_steps}; it is at most num_steps = {self.num_steps}.")


@dataclasses.dataclass(frozen=True)
class Ppo:
    num_steps: int
    streams: tuple[Stream, ...]
    budgets: tuple[int, ...] = (32, 64)
    window: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Config:
    name: str
    model: Model
    stages: tuple[Sft | Ppo, ...]
    directory: Path = Path("runs")
    temperature: float = dataclasses.field(default=1.0)


CONFIG = Config(
    name="countdown",
    model=Model(),
    stages=(
        Sft(),
        Ppo(60, streams=(Stream("correctness", Constant(0.8)), Stream("exploration", Linear(0.2, 0.0)))),
    ),
)


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("stages.1.num_steps=40", lambda c: c.stages[1].num_steps, 40),
        ("stages.Ppo.num_steps = 40", lambda c: c.stages[1].num_steps, 40),
        ("stages.1.streams.0.weight.value=5e-1", lambda c: c.stages[1].streams[0].weight.value, 0.5),
        ("stages.1.streams.exploration.weight.start=2", lambda c: c.stages[1].streams[1].weight.start, 2.0),
        ("stages.1.streams.exploration.clip=0.5", lambda c: c.stages[1].streams[1].clip, 0.5),
        ("stages.1.streams.exploration.clip=None", lambda c: c.stages[1].streams[1].clip, None),
        ("stages.1.streams=()", lambda c: c.stages[1].streams, ()),
        ("stages.1.budgets=16,32,48", lambda c: c.stages[1].budgets, (16, 32, 48)),
        ("stages.1.budgets=[16]", lambda c: c.stages[1].budgets, (16,)),
        ("stages.1.budgets.1=128", lambda c: c.stages[1].budgets, (32, 128)),
        ("stages.1.window=(0, 1.5)", lambda c: c.stages[1].window, (0.0, 1.5)),
        ("model.attention=blockwise", lambda c: c.model.attention, "blockwise"),
        ("model.tied=False", lambda c: c.model.tied, False),
        ("temperature=1", lambda c: c.temperature, 1.0),
        ("directory=/tmp/a=b", lambda c: c.directory, Path("/tmp/a=b")),
        ("name=run 7", lambda c: c.name, "run 7"),
        ("name=7", lambda c: c.name, "7"),
        ("name='quoted'", lambda c: c.name, "quoted"),
    ],
)
def test_an_override_changes_the_field_it_names_and_nothing_else(override, read, value):
    changed = apply_overrides(CONFIG, [override])
    assert read(changed) == value and type(read(changed)) is type(value)
    path = override.partition("=")[0].strip().replace("Ppo", "1").replace("exploration", "1")
    assert all(row[0].startswith(path) or path.startswith(row[0]) for row in diff(CONFIG, changed))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stages.1.num_step=40", ["stages.1 (Ppo)", "did you mean 'num_steps'?", "budgets"]),
        ("sede=1", ["has no field 'sede'", "name, model, stages"]),
        ("stages.5.num_steps=1", ["stages has 2 items", "no 5"]),
        ("stages.1.streams.explorations.clip=1", ["did you mean 'exploration'?", "correctness"]),
        ("stages.-1.num_steps=1", ["no item '-1'"]),
        ("model=3", ["model (Model) is a config", "num_layers, width, attention, tied"]),
        ("stages.1.streams=3", ["stages.1.streams.0 is correctness"]),
        ("stages.1.streams.0.weight=0.3", ["weight (Constant)", "(value)"]),
        ("name.first=a", ["name is 'countdown', a value without fields"]),
        ("model.num_layers=2.0", ["model.num_layers wants int, not '2.0'"]),
        ("model.num_layers=True", ["wants int"]),
        ("model.num_layers=__import__('os').getpid()", ["wants int"]),
        ("model.tied=1", ["wants bool"]),
        ("model.tied=true", ["wants bool"]),
        ("model.attention=ful", ["one of 'full', 'blockwise'"]),
        ("temperature=hot", ["wants float, not 'hot'"]),
        ("stages.1.streams.0.clip=x", ["wants float or None"]),
        ("stages.1.budgets=(1, 2.5)", ["wants a tuple of int"]),
        ("stages.1.window=(1, 2, 3)", ["wants a tuple of float, float or None"]),
        ("stages.0.warmup_steps=1000", ["stages.0 (Sft)", "at most num_steps = 100"]),
        ("num_steps", ["write PATH=VALUE"]),
        ("=3", ["write PATH=VALUE"]),
    ],
)
def test_a_wrong_override_gets_one_sentence_that_says_what_would_be_right(override, words):
    with pytest.raises(OverrideError) as caught:
        apply_overrides(CONFIG, [override])
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    assert all(word in message for word in words), message


def test_two_fields_that_are_only_valid_together_can_be_changed_together_in_either_order():
    overrides = ["stages.0.warmup_steps=150", "stages.0.num_steps=200"]
    for order in (overrides, overrides[::-1]):
        assert apply_overrides(CONFIG, order).stages[0] == Sft(200, 150)


def test_the_later_of_two_overrides_of_one_field_counts():
    assert apply_overrides(CONFIG, ["name=a", "name=b"]).name == "b"


def test_replacing_a_tuple_as_a_whole_and_in_part_is_refused():
    with pytest.raises(OverrideError, match=r"stages\.1\.budgets is replaced as a whole and in part"):
        apply_overrides(CONFIG, ["stages.1.budgets=(1, 2)", "stages.1.budgets.0=3"])


def test_an_item_name_that_fits_two_items_is_refused():
    twins = dataclasses.replace(CONFIG, stages=(Sft(), Sft()))
    with pytest.raises(OverrideError, match="2 items 'Sft': name one by its number"):
        apply_overrides(twins, ["stages.Sft.num_steps=5"])


def test_no_overrides_give_the_same_config():
    assert apply_overrides(CONFIG, []) is CONFIG


def test_a_config_as_a_dict_survives_json_and_names_its_classes():
    written = to_dict(CONFIG)
    assert json.loads(json.dumps(written)) == written
    assert written["type"] == "test_override.Config"
    assert written["stages"][1]["streams"][1]["weight"] == {"type": "Linear", "start": 0.2, "end": 0.0}


def test_a_config_that_holds_a_function_is_refused():
    with pytest.raises(TypeError, match="no value that can be written down"):
        to_dict(dataclasses.replace(CONFIG, name=print))


def test_flatten_lists_every_value_by_the_path_that_overrides_it():
    flat = flatten(CONFIG)
    assert flat["stages.1.budgets"] == [32, 64]
    for path, value in flat.items():
        if not path.rpartition(".")[2] == "type":
            assert apply_overrides(CONFIG, [f"{path}={value}"]) == CONFIG


def test_diff_names_what_changed_and_what_one_side_lacks():
    streams = (Stream("correctness", Constant(1.0)), Stream("exploration", Constant(0.3)))
    changed = dataclasses.replace(CONFIG, stages=(CONFIG.stages[0], Ppo(60, streams=streams)))
    weight = "stages.1.streams.1.weight"
    assert diff(CONFIG, changed) == [
        ("stages.1.streams.0.weight.value", 0.8, 1.0),
        (f"{weight}.type", "Linear", "Constant"),
        (f"{weight}.start", 0.2, ABSENT),
        (f"{weight}.end", 0.0, ABSENT),
        (f"{weight}.value", ABSENT, 0.3),
    ]
    assert diff(CONFIG, CONFIG) == []


def test_a_config_equals_its_own_written_form():
    assert diff(json.loads(json.dumps(to_dict(CONFIG))), CONFIG) == []


def test_explain_gives_type_value_default_and_the_comment_on_the_line():
    changed = apply_overrides(CONFIG, ["model.num_layers=5"])
    assert explain(changed, "model.num_layers") == "model.num_layers: int = 5\ndefault: 3\ntransformer blocks"
    assert 'the "#" of this comment stays' in explain(CONFIG, "model.tied")


def test_explain_gives_the_docstring_under_a_field():
    assert explain(CONFIG, "model.width").endswith("Channels of the residual stream.")


def test_explain_says_when_a_field_must_be_given():
    assert "none, it must be given" in explain(CONFIG, "stages.1.num_steps")


def test_explain_of_a_nested_config_lists_its_fields():
    text = explain(CONFIG, "model")
    assert "Who learns." in text and "num_layers = 3  # transformer blocks" in text
    assert "streams = (Stream, Stream)" in explain(CONFIG, "stages.1")


def test_explain_of_an_unknown_path_says_what_was_meant():
    with pytest.raises(OverrideError, match="did you mean 'model'"):
        explain(CONFIG, "modell.width")
