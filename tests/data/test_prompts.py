import numpy as np
import pytest

from rlsp_jax.data import Countdown, SearchTraces, encode_demonstrations, encode_prompts, parse_question

PROBLEMS = [parse_question(text) for text in ("1 2 = 3", "3 7 12 = 33", "10 11 12 = 100")]


def test_prompts_are_padded_on_the_left(tokenizer):
    tokens, mask = encode_prompts(tokenizer, PROBLEMS, max_prompt=16)
    assert tokens.shape == mask.shape == (3, 16) and tokens.dtype == np.int32 and mask.dtype == bool
    for problem, row, real in zip(PROBLEMS, tokens, mask, strict=True):
        ids = tokenizer.encode(problem.question)
        assert real.tolist() == [False] * (16 - len(ids)) + [True] * len(ids)
        assert row.tolist() == [tokenizer.pad_id] * (16 - len(ids)) + ids


def test_demonstrations_end_with_an_eos_that_the_mask_counts(tokenizer):
    problems = Countdown().problems("train", 0, 20)
    responses = [SearchTraces().trace(problem, i) for i, problem in enumerate(problems)]
    questions = [problem.question for problem in problems]
    batch = encode_demonstrations(tokenizer, questions, responses, max_prompt=16, max_response=256)
    assert batch.tokens.shape == batch.mask.shape == (20, 256) and batch.tokens.dtype == np.int32
    np.testing.assert_array_equal(batch.prompt_tokens, encode_prompts(tokenizer, problems, max_prompt=16)[0])
    np.testing.assert_array_equal(batch.prompt_mask, encode_prompts(tokenizer, problems, max_prompt=16)[1])
    for row, real, response in zip(batch.tokens, batch.mask, responses, strict=True):
        length = real.sum()
        assert real[:length].all() and row[length - 1] == tokenizer.eos_id
        assert tokenizer.decode(row[: length - 1].tolist()) == response
        assert (row[length:] == tokenizer.pad_id).all()


def test_a_prompt_and_a_response_may_fill_their_width_exactly(tokenizer):
    question, response = "1 2 = 3\n", "answer: 1+2"
    prompt, length = len(tokenizer.encode(question)), len(tokenizer.encode(response)) + 1
    batch = encode_demonstrations(tokenizer, [question], [response], max_prompt=prompt, max_response=length)
    assert batch.prompt_mask.all() and batch.mask.all()
    with pytest.raises(ValueError, match=rf"^The demonstration of problem '1 2 = 3' has {length} tokens with its eos"):
        encode_demonstrations(tokenizer, [question], [response], max_prompt=prompt, max_response=length - 1)


def test_a_prompt_too_long_is_one_sentence_naming_the_problem(tokenizer):
    length = len(tokenizer.encode(PROBLEMS[2].question))
    sentence = rf"^The prompt of problem '10 11 12 = 100' has {length} tokens, more than max_prompt = {length - 1}"
    with pytest.raises(ValueError, match=sentence):
        encode_prompts(tokenizer, PROBLEMS, max_prompt=length - 1)
    with pytest.raises(ValueError, match=sentence):
        encode_demonstrations(
            tokenizer, [PROBLEMS[2].question], ["answer: none"], max_prompt=length - 1, max_response=64
        )


def test_an_empty_question_is_one_clear_sentence(tokenizer):
    with pytest.raises(ValueError, match=r"^The question in row 1 is empty; a prompt needs at least one token\.$"):
        encode_demonstrations(tokenizer, ["1 2 = 3\n", ""], ["a", "b"], max_prompt=16, max_response=64)


def test_no_problems_give_empty_arrays(tokenizer):
    tokens, mask = encode_prompts(tokenizer, [], max_prompt=16)
    assert tokens.shape == mask.shape == (0, 16)
