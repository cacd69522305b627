"""Two solutions are one where they write down the same operations."""

import pytest

from rlsp_jax.data import operations


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("try 3*12=36\ntry 36+7=43 check 33 no back\nback\nanswer: (3*7)+12", ("3*12=36", "36+7=43")),
        ("She has 3 × 4 = 12 apples, then 12 − 5 = 7.", ("3*4=12", "12-5=7")),
        ("He earns 1,200/12 = $<<1200/12=100>>100 a month.", ("1200/12=100",)),
        ("2 + 3 + 4=9", ("2+3+4=9",)),
        ("(3+4)*2 = 14", ("(3+4)*2=14",)),
        ("0.5*8 = 4.0", ("0.5*8=4.0",)),
        ("5 - 8 = -3", ("5-8=-3",)),
        ("2+3=5*4=20", ("2+3=5", "5*4=20")),
    ],
)
def test_operations_are_read_in_the_order_written_without_blanks_currency_and_commas(text, found):
    assert operations(text) == found


def test_texts_that_differ_in_words_and_blanks_alone_are_the_same_solution():
    assert operations("First 3*4=12. Then 12+1=13.") == operations("We get 3 * 4 = 12, so 12 + 1 = 13!")
    assert operations("3*4=12") != operations("4*3=12") != operations("3*4=13")


@pytest.mark.parametrize("text", ["answer: (3*7)+12", "x = 3", "7 = 7", "", "3 +\n4 = 7"])
def test_a_text_without_operations_is_told_apart_as_a_whole(text):
    assert operations(f" {text}\n") == (text.strip(),)


def test_long_runs_of_digits_and_signs_are_read_at_once():
    for text in ("1+" * 5000, "(" * 5000, "1,234" * 3000, "1 " * 5000, "-" * 5000, "1+1 " * 3000):
        assert operations(text) == (text.strip(),)
