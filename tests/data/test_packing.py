import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.data import (
    Chat,
    Countdown,
    Lesson,
    SearchTraces,
    load_pretrained,
    pack,
    pack_conversations,
    pack_ids,
    pack_lessons,
)
from tests.data import published

LENGTH = 160


@pytest.fixture(scope="module")
def demonstrations():
    problems = Countdown().problems("train", 0, 60)
    return [(p.question, SearchTraces(direct=0.3).trace(p, i)) for i, p in enumerate(problems)]


def unpack(tokenizer, packed):
    """Every (question, response) of the rows, in order, read back by segments and mask alone."""
    for tokens, segments, mask in zip(*packed, strict=True):
        for number in range(1, segments.max() + 1):
            own = segments == number
            question, response = tokens[own & ~mask].tolist(), tokens[own & mask].tolist()
            assert response[-1] == tokenizer.eos_id
            yield tokenizer.decode(question), tokenizer.decode(response[:-1])


@settings(max_examples=20)
@given(data=st.data())
def test_packing_loses_and_invents_nothing(tokenizer, demonstrations, data):
    chosen = data.draw(st.lists(st.sampled_from(demonstrations), min_size=1, max_size=12))
    packed = pack(tokenizer, *zip(*chosen, strict=True), length=LENGTH)
    assert list(unpack(tokenizer, packed)) == chosen


def test_a_row_is_whole_demonstrations_one_after_another_and_then_padding(tokenizer, demonstrations):
    packed = pack(tokenizer, *zip(*demonstrations, strict=True), length=LENGTH)
    assert packed.tokens.dtype == packed.segments.dtype == np.int32 and packed.mask.dtype == bool
    assert {leaf.shape for leaf in jax.tree.leaves(packed)} == {(len(packed.tokens), LENGTH)}
    assert packed.segments.max() > 1, "the demonstrations are too long to show anything"
    for tokens, segments, mask in zip(*packed, strict=True):
        used = (segments > 0).sum()
        assert set(np.diff(segments[:used])) <= {0, 1} and segments[0] == 1
        assert (segments[used:] == 0).all() and (tokens[used:] == tokenizer.pad_id).all() and not mask[used:].any()
        for number in range(1, segments.max() + 1):
            within = mask[segments == number]  # the question, then the response
            assert set(np.diff(within.astype(int))) == {0, 1} and not within[0] and within[-1]


def test_a_row_is_left_only_when_the_next_demonstration_does_not_fit(tokenizer, demonstrations):
    packed = pack(tokenizer, *zip(*demonstrations, strict=True), length=LENGTH)
    used = (packed.segments > 0).sum(axis=1)
    first = (packed.segments == 1).sum(axis=1)
    assert (used[:-1] + first[1:] > LENGTH).all()


def test_a_demonstration_may_fill_a_row_exactly_and_is_never_cut(tokenizer):
    question, response = "1 2 = 3\n", "answer: 1+2"
    size = len(tokenizer.encode(question)) + len(tokenizer.encode(response)) + 1
    assert (pack(tokenizer, [question], [response], length=size).segments == 1).all()
    with pytest.raises(
        ValueError, match=rf"^The demonstration of '1 2 = 3' has {size} tokens with its question and eos"
    ):
        pack(tokenizer, [question], [response], length=size - 1)


def test_a_demonstration_without_a_question_is_one_clear_sentence(tokenizer):
    with pytest.raises(ValueError, match=r"^The question of the demonstration 'answer: 1\+2' is empty"):
        pack(tokenizer, ["1 2 = 3\n", ""], ["answer: none", "answer: 1+2"], length=64)


def test_ids_are_packed_as_they_are_and_never_encoded_again(tokenizer, demonstrations):
    """Each response is spelt letter by letter: its text would be encoded in fewer ids."""
    pairs = []
    for question, response in demonstrations[:9]:
        spelt = [id for letter in response for id in tokenizer.encode(letter)]
        assert len(spelt) > len(tokenizer.encode(response))
        pairs.append((tokenizer.encode(question), spelt[: LENGTH - 40]))
    packed = pack_ids(pairs, length=LENGTH, pad_id=tokenizer.pad_id)
    found = []
    for tokens, segments, mask in zip(*packed, strict=True):
        for number in range(1, segments.max() + 1):
            own = segments == number
            found.append((tokens[own & ~mask].tolist(), tokens[own & mask].tolist()))
    assert found == pairs


def test_texts_and_their_ids_are_packed_alike(tokenizer, demonstrations):
    encode, eos = tokenizer.encode, tokenizer.eos_id
    pairs = [(encode(question), [*encode(response), eos]) for question, response in demonstrations]
    ours = pack_ids(pairs, length=LENGTH, pad_id=tokenizer.pad_id)
    theirs = pack(tokenizer, *zip(*demonstrations, strict=True), length=LENGTH)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("pair", [([], [5, 6]), ([4, 5], [6, 7, 8])])
def test_a_pair_without_a_prompt_or_too_long_for_a_row_is_refused(pair):
    with pytest.raises(ValueError, match="for rows of 4"):
        pack_ids([pair], length=4, pad_id=0)


# ---- in turns ------------------------------------------------------------------------------------

QUESTIONS = ["What is 48/2?", "And <|im_end|> 48/3?", "6 times 7"]
RESPONSES = ["<think>\nHalf.\n</think>\n\n24", "16", "42. Wait,\n\nyes: 42."]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return load_pretrained(published.qwen(tmp_path_factory.mktemp("packing")))


def rows_of(packed):
    """Every demonstration's ids and mask, in order."""
    for tokens, segments, mask in zip(*packed, strict=True):
        for number in range(1, segments.max() + 1):
            yield tokens[segments == number].tolist(), mask[segments == number].tolist()


def test_demonstrations_in_turns_are_prompts_and_responses_joined_as_ids(qwen):
    chat = Chat(before="Problem: ")
    packed = pack(qwen, QUESTIONS, RESPONSES, length=160, prompts=chat)
    expected = []
    for question, response in zip(QUESTIONS, RESPONSES, strict=True):
        prompt, said = chat.prompt(qwen, question), chat.response(qwen, response)
        expected.append(([*prompt, *said], [False] * len(prompt) + [True] * len(said)))
    assert list(rows_of(packed)) == expected
    assert all(ids[-1] == qwen.conventions.controls["<|im_end|>"] for ids, _ in expected)


def test_of_packed_conversations_the_assistants_tokens_are_counted(qwen):
    turns = [
        {"role": role, "content": text}
        for pair in zip(QUESTIONS, RESPONSES, strict=True)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    conversations = [turns[:2], turns, turns[2:]]
    packed = pack_conversations(qwen, conversations, length=240, prompts=Chat())
    lessons = [Chat().conversation(qwen, messages) for messages in conversations]
    assert list(rows_of(packed)) == [(lesson.ids, lesson.learned) for lesson in lessons]
    texts = [qwen.decode(tokens[mask].tolist()) for tokens, mask in zip(packed.tokens, packed.mask, strict=True)]
    assert "".join(texts) == "".join([RESPONSES[0], *RESPONSES, *RESPONSES[1:]])
    with pytest.raises(
        ValueError, match=r"^The conversation that begins 'What is 48/2\?' has \d+ tokens, more than row_"
    ):
        pack_conversations(qwen, conversations, length=60, prompts=Chat())


@pytest.mark.parametrize("lesson", [Lesson([], []), Lesson([4], [True]), Lesson([4] * 5, [False] * 5)])
def test_a_lesson_that_begins_learned_or_does_not_fit_is_refused(lesson):
    """What stands before its first token in a row is another's."""
    with pytest.raises(ValueError, match="for rows of 4, or its first one is learned"):
        pack_lessons([lesson], length=4, pad_id=0)
