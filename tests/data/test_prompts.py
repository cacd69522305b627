import dataclasses

import numpy as np
import pytest

from rlsp_jax.data import encode_prompts, parse_question

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
