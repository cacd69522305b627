"""A run with a published tokenizer and its chat template: what is shown, what ends a response, what is learned."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from rlsp_jax.algorithms import outcome_model, sft
from rlsp_jax.common.codes import StopReason
from rlsp_jax.common.random import stream as key_of
from rlsp_jax.data import Chat, JSONLConversations, Plain, PretrainedTokenizer, parse_question
from rlsp_jax.generation import SamplingConfig
from rlsp_jax.records import Draw
from rlsp_jax.training import load_experiment
from rlsp_jax.training.checks import check_prompts, check_vocab
from rlsp_jax.training.outcome_model import pack_judged
from rlsp_jax.training.self_imitation import labelled_demonstrations, make_pool
from rlsp_jax.training.supervised import demonstration_texts, write_demonstrations
from rlsp_jax.training.train import load_tokenizer
from rlsp_jax.training.workdir import tokenizer_files
from tests.data import published
from tests.training.conftest import DEBUG

CHAT = Chat(before="Problem: ")
PROBLEM = parse_question("1 2 = 3")


@pytest.fixture
def folder(tmp_path_factory):
    """In Llama-3's form: three tokens end a response."""
    return published.llama3(tmp_path_factory.mktemp("published") / "llama3")


@pytest.fixture
def changes(folder):
    return dict(tokenizer=PretrainedTokenizer(str(folder)), prompts=CHAT, max_prompt=96)


def debug(**changes):
    return dataclasses.replace(load_experiment(DEBUG).experiment, **changes)


def test_a_workdir_keeps_the_files_of_its_tokenizer(folder, changes, tmp_path):
    experiment, workdir = debug(**changes), tmp_path / "run"
    first = load_tokenizer(experiment, workdir)
    (folder / "tokenizer.json").write_text("changed, or gone")
    again = load_tokenizer(experiment, workdir)
    assert again.id_to_bytes == first.id_to_bytes and CHAT.prompt(again, "x") == CHAT.prompt(first, "x")
    assert {path.rpartition("/")[2] for path in tokenizer_files(workdir)} == {
        *("tokenizer.json", "tokenizer_config.json", "generation_config.json")
    }


def test_a_run_shows_and_ends_as_the_checkpoint_does(changes, folder, open_debug):
    """Whatever of the three ends a response, nothing follows it."""
    sampling = SamplingConfig(max_response=48)
    with open_debug(**changes) as run:
        shutil.rmtree(folder)
        check_prompts(run.experiment, run.tokenizer)
        responder, rows = run.responder(sampling, 128), 128
        prompts = responder.prompts([PROBLEM], samples=rows)
        shown = np.asarray(prompts.tokens)[np.asarray(prompts.mask)].reshape(rows, -1)
        assert (shown == CHAT.prompt(run.tokenizer, PROBLEM.question)).all()
        rollout = responder.generate(run.init_params()["policy"], prompts, key_of(run.key, "test", 0))
    tokens, mask, reasons = map(np.asarray, (rollout.tokens, rollout.mask, rollout.stop_reason))
    controls = run.tokenizer.conventions.controls
    ends = [controls[token] for token in ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")]
    ended = np.isin(tokens, ends) & mask
    assert (ended.sum(axis=1) == (reasons != StopReason.LENGTH)).all()
    last = tokens[np.arange(rows), mask.sum(axis=1) - 1]
    assert {*last[reasons == StopReason.EOS]} == {ends[2]} and {*last[reasons == StopReason.STOP]} == {*ends[:2]}


def test_who_stops_where_says_so_beside_what_the_checkpoint_says(changes, open_debug):
    with open_debug(**changes) as run:
        own = run.responder(SamplingConfig(max_response=8, stop_ids=(5,)), 8).sampling.stop_ids
    assert own == (5, *CHAT.stop_ids(run.tokenizer)) and len(own) == 3


def demonstrations(packed):
    """Every packed demonstration's ids and mask, in order."""
    for tokens, segments, mask in zip(*map(np.asarray, packed[:3]), strict=True):
        for number in range(1, segments.max() + 1):
            yield tokens[segments == number].tolist(), mask[segments == number].tolist()


def joined(prompt, response):
    return [*prompt, *response], [False] * len(prompt) + [True] * len(response)


def test_demonstrations_are_written_in_turns(changes, open_debug):
    with open_debug(**changes) as run:
        config = dataclasses.replace(run.experiment.stages[0], num_demonstrations=6, row_length=320)
        packed = write_demonstrations(run, config, first=2)
        pairs = demonstration_texts(run.experiment.problems, config.demonstrations, range(2, 8))
        tokenizer = run.tokenizer
    expected = [joined(CHAT.prompt(tokenizer, q), CHAT.response(tokenizer, r)) for q, r in zip(*pairs, strict=True)]
    assert list(demonstrations(packed)) == expected


def test_conversations_of_a_file_are_learned_turn_by_turn(changes, tmp_path, open_debug):
    said = [("user", "1 + 1?"), ("assistant", "2"), ("user", "And 3?"), ("assistant", "4")]
    rows = [[dict(role=role, content=f"{text} ({n})") for role, text in said] for n in range(3)]
    path = tmp_path.parent / f"{tmp_path.name}.jsonl"
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    experiment = load_experiment(DEBUG).experiment
    first = dataclasses.replace(
        experiment.stages[0], demonstrations=JSONLConversations(path), num_demonstrations=4, row_length=160
    )
    with open_debug(**changes, stages=(first, *experiment.stages[1:])) as run:
        packed = write_demonstrations(run, first, first=1)
        lessons = [CHAT.conversation(run.tokenizer, rows[n]) for n in (1, 2, 0, 1)]
    assert list(demonstrations(packed)) == [tuple(lesson) for lesson in lessons]
    with pytest.raises(ValueError, match="^Conversations are no responses to problems"):
        demonstration_texts(run.experiment.problems, first.demonstrations, range(3))


def test_what_the_policy_drew_follows_the_prompt_that_it_was_drawn_behind(changes, open_debug):
    draws = [
        Draw(problem=n, sample=0, question=question, tokens=(*range(9 + n), 3), response="", num_tokens=10 + n,
             stop_reason="eos", verdict=verdict)
        for n, (question, verdict) in enumerate([("1 2 = 3", "correct"), ("4 5 = 9", "wrong")])
    ]  # fmt: skip
    with open_debug(**changes) as run:
        config = outcome_model.Config(sampling=SamplingConfig(max_response=48))
        judged = pack_judged(run, config, draws)
        examples = [(draw.question, draw.tokens) for draw in draws]
        pool = make_pool(run.tokenizer, examples, 160, (0,), run.experiment.prompts)
        expected = [joined(CHAT.prompt(run.tokenizer, draw.question), draw.tokens) for draw in draws]
    assert list(demonstrations(judged)) == expected
    assert sorted(demonstrations(pool)) == sorted(expected)


def test_labelled_demonstrations_end_as_turns_do(changes, open_debug):
    from rlsp_jax.algorithms import return_conditioned
    from rlsp_jax.data import SearchTraces

    config = return_conditioned.Config(
        demonstrations=SearchTraces(), num_demonstrations=3, sampling=SamplingConfig(max_response=64), row_length=160
    )
    with open_debug(**changes) as run:
        (question, ids), *_ = labelled_demonstrations(run, config)
    assert question.endswith(config.prompt_suffix) and ids[-1] == run.tokenizer.conventions.controls["<|eot_id|>"]


def test_checkpoints_may_have_rows_for_more_ids_than_their_tokenizers(changes, folder, open_debug):
    experiment = debug(**changes)
    tokenizer = experiment.tokenizer.load()
    with_size = lambda e, size: dataclasses.replace(e, model=dataclasses.replace(e.model, vocab_size=size))  # noqa: E731
    for size in (None, tokenizer.vocab_size, tokenizer.vocab_size + 42):
        check_vocab(with_size(experiment, size), tokenizer)
    with pytest.raises(ValueError, match=r"^model\.vocab_size is \d+, but the tokenizer has \d+ tokens"):
        check_vocab(with_size(experiment, tokenizer.vocab_size - 1), tokenizer)
    with pytest.raises(ValueError, match=r"^model\.vocab_size is \d+, but the tokenizer has \d+ tokens"):
        check_vocab(with_size(debug(), tokenizer.vocab_size + 1), tokenizer)
    larger = with_size(experiment, tokenizer.vocab_size + 42).model
    with open_debug(**changes, model=larger) as run:
        assert run.judge.token_bytes.lengths.shape == (tokenizer.vocab_size + 42,)
        assert not np.asarray(run.judge.token_bytes.lengths)[-42:].any()


def test_a_chat_without_a_template_is_refused_before_anything_is_made():
    with pytest.raises(ValueError, match=r"^A tokenizer of one's own brings no chat template; write one"):
        debug(prompts=Chat())
    with pytest.raises(ValueError, match=r"^A tokenizer of one's own brings no chat template; write one"):
        debug(prompts=Chat(template="default"))
    assert debug(prompts=Chat(template="{{ messages[0].content }}")).prompts != debug().prompts == Plain()


def test_a_template_of_ones_own_goes_with_a_trained_tokenizer(open_debug):
    prompts = Chat(template="{% for m in messages %}{{ m.role[0] }}: {{ m.content }}\n{% endfor %}a: ")
    with open_debug(prompts=prompts, max_prompt=32) as run:
        tokens, mask = jax.device_get(
            run.responder(SamplingConfig(max_response=8), 8).prompts([PROBLEM], samples=8)[:2]
        )
    assert run.tokenizer.decode(tokens[0][mask[0]].tolist()) == "u: 1 2 = 3\n\na: "
    assert prompts.response(run.tokenizer, "x")[-1] == run.tokenizer.eos_id


def test_a_run_from_before_there_were_formats_goes_on(tmp_path):
    """What it was started with says nothing of prompts, and today's default is what it did."""
    from rlsp_jax.common.describe import to_dict
    from rlsp_jax.training.workdir import differences_from

    recorded = to_dict(debug())
    del recorded["prompts"]
    (tmp_path / "run.json").write_text(json.dumps({"config": recorded}))
    assert differences_from(debug(), tmp_path) == ""
    assert "prompts" in differences_from(debug(prompts=Plain(after="\n")), tmp_path)


def test_sft_takes_conversations():
    assert sft.Config(demonstrations=JSONLConversations(DEBUG)).demonstrations == JSONLConversations(DEBUG)
