"""Conversations in files: what is read of them, and what is wrong with them."""

import json

import pytest

from rlsp_jax.data import Conversations, JSONLConversations, JSONLDemonstrations

USER, ASSISTANT = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return JSONLConversations(path)


def test_conversations_are_those_of_the_file_again_and_again(tmp_path):
    rows = [[USER, ASSISTANT], [{"role": "system", "content": "Think."}, USER, ASSISTANT, USER, ASSISTANT]]
    source = written(tmp_path / "talk.jsonl", *({"messages": row, "id": 3} for row in rows))
    assert [list(messages) for messages in source.conversations(1, 4)] == [rows[1], rows[0], rows[1], rows[0]]
    assert isinstance(source, Conversations)
    assert not isinstance(JSONLDemonstrations(tmp_path / "talk.jsonl"), Conversations)


def test_other_texts_of_a_message_are_kept_and_what_is_null_is_not_there(tmp_path):
    said = ASSISTANT | {"reasoning_content": "Two and two.", "tool_calls": None}
    (messages,) = written(tmp_path / "talk.jsonl", {"messages": [USER, said]}).conversations(0, 1)
    assert messages[1] == ASSISTANT | {"reasoning_content": "Two and two."}


WRONG = [
    ({"question": "2 + 2?"}, "line 2 has no 'messages' that are a list; mend the row or leave it out."),
    ({"messages": []}, "line 2 has no 'messages' that are a list"),
    ({"messages": [USER]}, "line 2 has no message of an assistant that answers another"),
    ({"messages": [ASSISTANT, USER, ASSISTANT]}, "line 2 has no message of an assistant that answers another"),
    ({"messages": [USER, "4"]}, "Message 2 of .* has no 'role' and 'content' that are texts"),
    ({"messages": [USER, {"role": "assistant"}]}, "Message 2 of .* has no 'role' and 'content' that are texts"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}, ASSISTANT]}, "Message 1 of .* that are texts"),
    ({"messages": [USER, ASSISTANT | {"tool_calls": [1]}]}, "Message 2 of .* has 'tool_calls', which is no text"),
    ({"messages": [USER | {"role": "user<|end|>"}, ASSISTANT]}, "Message 1 of .* has the role 'user<|end|>'"),
]


@pytest.mark.parametrize(("row", "sentence"), WRONG)
def test_a_row_that_is_no_conversation_is_named(row, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence.replace("|", r"\|")):
        written(tmp_path / "talk.jsonl", {"messages": [USER, ASSISTANT]}, row).conversations(0, 1)


def test_an_empty_file_is_one_clear_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"talk.jsonl is empty; there is nothing to imitate\.$"):
        written(tmp_path / "talk.jsonl").conversations(0, 1)
