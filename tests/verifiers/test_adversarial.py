"""Nothing that a model can write hangs the math verifier, crashes it, or is run by it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import Math, Outcome, VerifierPool
from rlsp_jax.verifiers.bare import BareAnswer, BareAnswers
from tests.verifiers.adversarial import FRAGMENTS, GOLDS, WRAPS, by_chance, hand_made

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "fuzz" / "corpus" / "math_verifier.jsonl"

golds = st.sampled_from(GOLDS)
fragments = st.sampled_from(FRAGMENTS)
nested = st.recursive(
    golds | fragments,
    lambda inner: (
        st.builds(lambda wrap, text: wrap[0] + text + wrap[1], st.sampled_from(WRAPS), inner)
        | st.builds(str.__add__, inner, inner)
    ),
    max_leaves=30,
)
joined = st.lists(fragments, max_size=60).map("".join)
units = st.lists(fragments, max_size=4).map("".join)
repeated = st.builds(lambda unit, times: unit * times, units, st.integers(1, 2000))
characters = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)  # lone surrogates among them
texts = nested | joined | repeated | characters


def faults(pairs: list[tuple[str, str]]) -> list[str]:
    """What goes wrong when (gold, text) pairs are judged in a process of their own, as in a worker."""
    command = [sys.executable, "-m", "tests.verifiers.adversarial"]
    rows = "".join(json.dumps(pair) + "\n" for pair in pairs)
    ended = subprocess.run(command, cwd=ROOT, input=rows, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_inputs_made_to_do_harm_are_judged_in_time():
    assert faults(hand_made()) == []


def test_what_fuzzing_found_worth_keeping_is_judged_in_time():
    rows = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    assert 20 <= len(rows) <= 200
    assert faults([(row["gold"], row["text"]) for row in rows]) == []


@given(golds | texts, texts)
def test_any_text_has_an_outcome(gold, text):
    for outcome in (Math().compare(gold, text), Math().verify({"answer": gold}, f"\\boxed{{{text}}}")):
        assert isinstance(outcome, Outcome) and outcome.verdict in Verdict and outcome.reason
    assert isinstance(Math().equivalence(text), str | None)


@given(texts)
def test_any_answer_but_an_empty_one_is_right_for_itself(text):
    outcome = Math().compare(text, text)
    assert outcome.verdict == Verdict.CORRECT or outcome.reason == "empty answer"


def test_code_in_an_answer_is_not_run(tmp_path):
    mark = tmp_path / "mark"
    commands = (
        f"__import__('pathlib').Path('{mark}').touch()",
        f"open('{mark}', 'w')",
        f"exec(\"open('{mark}', 'w')\")",
        f"`touch {mark}`",
        f"$(touch {mark})",
        rf"\write18{{touch {mark}}}",
        rf"\immediate\openout1={mark}",
    )
    for command in commands:
        for before, after in (("", ""), *WRAPS):
            Math().verify("12", before + command + after)
            Math().compare(before + command + after, "12")
    assert not mark.exists()


@pytest.mark.slow
def test_thousands_of_hostile_inputs_pass_through_a_pool_in_order():
    inputs = [by_chance(seed) for seed in range(5000)]
    inputs[1000:1000] = hand_made()
    items = [({"answer": gold}, BareAnswer(text) if len(text) % 2 else text) for gold, text in inputs]
    verifier = BareAnswers(Math())
    with VerifierPool(verifier, num_workers=2, deadline=10.0, cache_size=0) as pool:
        outcomes = pool.verify(items)
        assert pool.verify([({"answer": "1/2"}, r"\boxed{0.5}")])[0].verdict == Verdict.CORRECT
    assert {outcome.reason for outcome in outcomes} & {"timeout", "worker died"} == set()
    assert [outcome for outcome in outcomes if outcome.reason.startswith("error")] == []
    sampled = range(0, len(items), 7)
    assert [outcomes[place] for place in sampled] == [verifier.verify(*items[place]) for place in sampled]
