"""Supervised learning from a file of demonstrations, whatever the experiment's own problems are."""

import dataclasses
import json

import numpy as np

from rlsp_jax.common.describe import diff, to_dict
from rlsp_jax.data import JSONLDemonstrations
from rlsp_jax.training import load_experiment
from rlsp_jax.training.supervised import write_demonstrations
from tests.training.conftest import DEBUG

PAIRS = [(f"What is {i} + {i}?\n", f"try {i + i + 1}. Wait, that is odd.\nanswer: {i + i}") for i in range(5)]


def recorded(path):
    """The debug experiment, with its first stage learning from a file."""
    path.write_text("".join(json.dumps({"question": q, "response": r, "by": "x"}) + "\n" for q, r in PAIRS))
    experiment = load_experiment(DEBUG).experiment
    first, last = experiment.stages
    first = dataclasses.replace(first, demonstrations=JSONLDemonstrations(path), num_demonstrations=7)
    return dataclasses.replace(experiment, stages=(first, last))


def test_what_is_imitated_is_what_the_file_says(tmp_path, open_debug):
    experiment = recorded(tmp_path / "traces.jsonl")
    with open_debug(stages=experiment.stages) as run:
        pool = write_demonstrations(run, experiment.stages[0], first=3)
    texts = []
    for tokens, segments, mask in zip(*map(np.asarray, pool[:3]), strict=True):
        for segment in range(1, segments.max() + 1):
            here = segments == segment
            asked, said = (run.tokenizer.decode(tokens[here & which].tolist()) for which in (~mask, mask))
            texts.append((asked, said))
    assert texts == [PAIRS[(3 + i) % len(PAIRS)] for i in range(7)]


def test_its_path_is_a_value_of_the_config(tmp_path):
    experiment = recorded(tmp_path / "traces.jsonl")
    assert diff(json.loads(json.dumps(to_dict(experiment))), experiment) == []
