import dataclasses

import numpy as np
import pytest

from rlsp_jax.data import Chat, Plain, PromptFormat, encode_prompts, load_pretrained, parse_question
from tests.data import published

PROBLEMS = [parse_question(text) for text in ("1 2 = 3", "3 7 12 = 33", "10 11 12 = 100")]


def test_prompts_are_padded_on_the_left(tokenizer):
    tokens, mask = encode_prompts(tokenizer, PROBLEMS, max_prompt=16)
    assert tokens.shape == mask.shape == (3, 16) and tokens.dtype == np.int32 and mask.dtype == bool
    for problem, row, real in zip(PROBLEMS, tokens, mask, strict=True):
        ids = tokenizer.encode(problem.question)
        assert real.tolist() == [False] * (16 - len(ids)) + [True] * len(ids)
        assert row.tolist() == [tokenizer.pad_id] * (16 - len(ids)) + ids


def test_a_prompt_may_fill_its_width_exactly(tokenizer):
    length = len(tokenizer.encode(PROBLEMS[0].question))
    assert encode_prompts(tokenizer, PROBLEMS[:1], max_prompt=length)[1].all()


def test_a_prompt_too_long_is_one_sentence_naming_the_problem(tokenizer):
    length = len(tokenizer.encode(PROBLEMS[2].question))
    sentence = rf"^The prompt of problem '10 11 12 = 100' has {length} tokens, more than max_prompt = {length - 1}"
    with pytest.raises(ValueError, match=sentence):
        encode_prompts(tokenizer, PROBLEMS, max_prompt=length - 1)


def test_an_empty_question_is_one_clear_sentence(tokenizer):
    empty = dataclasses.replace(PROBLEMS[0], number=7, question="")
    with pytest.raises(ValueError, match=r"^The question of problem 7 is empty; a prompt needs at least one token\.$"):
        encode_prompts(tokenizer, [PROBLEMS[0], empty], max_prompt=16)


def test_no_problems_give_empty_arrays(tokenizer):
    tokens, mask = encode_prompts(tokenizer, [], max_prompt=16)
    assert tokens.shape == mask.shape == (0, 16)


# ---- formats -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return load_pretrained(published.qwen(tmp_path_factory.mktemp("prompts")))


@pytest.fixture(scope="module")
def llama3(tmp_path_factory):
    return load_pretrained(published.llama3(tmp_path_factory.mktemp("prompts")))


def test_plain_and_chat_are_formats():
    assert isinstance(Plain(), PromptFormat) and isinstance(Chat(), PromptFormat)


def test_by_default_a_prompt_is_the_question_and_nothing_else(tokenizer):
    for question in ("3 7 12 = 33\n", " ▁\0", "</s>"):
        assert Plain().prompt(tokenizer, question) == tokenizer.encode(question)
    assert Plain().response(tokenizer, "answer: 1") == [*tokenizer.encode("answer: 1"), tokenizer.eos_id]
    assert Plain().stop_ids(tokenizer) == ()


def test_texts_around_a_question_are_encoded_with_it_as_one_text(tokenizer):
    """Havrilla et al. ask GSM8K so: `Q: {question}`, a line break, `A: `."""
    ids = Plain(before="Q: ", after="\nA: ").prompt(tokenizer, "try 3")
    assert ids == tokenizer.encode("Q: try 3\nA: ")


def test_a_format_may_write_turns_that_no_template_writes(qwen):
    """RLSP's for Qwen: no system message, no blank behind the colon."""
    prompts = Plain(before="<|im_start|>user\nProblem:", after="<|im_end|>\n<|im_start|>assistant\n")
    start, end = (qwen.conventions.controls[token] for token in ("<|im_start|>", "<|im_end|>"))
    asked, told = qwen.encode("user\nProblem:48/2?"), qwen.encode("assistant\n")
    assert prompts.prompt(qwen, "48/2?") == [start, *asked, end, *qwen.encode("\n"), start, *told]
    assert prompts.response(qwen, "24")[-1] == end == qwen.eos_id


@pytest.mark.parametrize(("bos", "expected"), [(None, True), (True, True), (False, False)])
def test_a_plain_prompt_begins_as_the_makers_have_it_or_as_it_is_told(bos, expected, llama3):
    start = llama3.conventions.controls["<|begin_of_text|>"]
    ids = Plain(bos=bos).prompt(llama3, "48 clips")
    assert ids == [start] * expected + llama3.encode("48 clips")


def test_a_bos_that_is_asked_for_and_is_not_there_is_one_clear_sentence(qwen):
    assert Plain().prompt(qwen, "x") == qwen.encode("x")
    with pytest.raises(ValueError, match=r"^bos is True, but .* has no bos_token; leave bos out\.$"):
        Plain(bos=True).prompt(qwen, "x")


def test_formats_decide_what_problems_are_shown_as(qwen):
    """Padded with a token that means something elsewhere: the mask alone says what is real."""
    for prompts in (Plain(after="\n"), Chat(system="Think.")):
        tokens, mask = encode_prompts(qwen, PROBLEMS, max_prompt=80, prompts=prompts)
        assert qwen.pad_id == qwen.conventions.controls["<|endoftext|>"]
        for problem, row, real in zip(PROBLEMS, tokens, mask, strict=True):
            assert row[real].tolist() == prompts.prompt(qwen, problem.question)
            assert (row[~real] == qwen.pad_id).all() and real[-1]


def test_the_turns_around_a_question_count_as_its_prompt(qwen):
    length = len(Chat().prompt(qwen, PROBLEMS[0].question))
    with pytest.raises(ValueError, match=rf"^The prompt of problem .* has {length} tokens, more than max_prompt = 16"):
        encode_prompts(qwen, PROBLEMS[:1], max_prompt=16, prompts=Chat())


def test_an_empty_question_is_refused_whatever_stands_around_it(qwen):
    empty = dataclasses.replace(PROBLEMS[0], number=7, question="")
    with pytest.raises(ValueError, match=r"^The question of problem 7 is empty"):
        encode_prompts(qwen, [empty], max_prompt=80, prompts=Chat())
