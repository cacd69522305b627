r"""Rows of cells: matrices, systems and cases, `\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}`."""

from collections.abc import Callable

from rlsp_jax.verifiers.cursor import END, Cursor
from rlsp_jax.verifiers.errors import NotUnderstood
from rlsp_jax.verifiers.terms import Apply, Group, Matrix, Term, Words
from rlsp_jax.verifiers.vocabulary import CONDITIONALS, ENVIRONMENTS


def read_environment(cursor: Cursor, read: Callable[[], Term]) -> Term:
    r"""What an environment means whose `\begin` has just been taken; `read` reads what a cell holds."""
    name = _name(cursor)
    if name not in ENVIRONMENTS:
        raise NotUnderstood(f"\\begin{{{name}}}")
    if name == "array" and cursor.skip("{"):  # how its columns are aligned
        while cursor.take().text not in ("}", ""):
            pass
    rows: list[tuple[Term, ...]] = []
    while cursor.peek() != END and not cursor.skip("end"):
        row = [_cell(cursor, read)]
        while cursor.skip("&"):
            row.append(_cell(cursor, read))
        rows.append(tuple(row))
        if not cursor.skip("\\") and cursor.mark != "end" and cursor.peek() != END:
            raise NotUnderstood(f"{cursor.peek().text!r} in a matrix")
    if cursor.mark == "{":
        _name(cursor)
    if len({len(row) for row in rows}) != 1:
        raise NotUnderstood("rows of different lengths")
    return _meaning(name, tuple(rows))


def _meaning(name: str, rows: tuple[tuple[Term, ...], ...]) -> Term:
    if name == "cases" and len(rows[0]) == 1:  # a system; these have no order
        return Group("", "", tuple(row[0] for row in rows), "and")
    if name == "cases":
        return Group("\\{", "\\}", tuple(Group("(", ")", row) for row in rows))
    if name == "vmatrix":
        return Apply("det", (Matrix(rows),))
    if name in ("aligned", "align") and len(rows) == len(rows[0]) == 1:
        return rows[0][0]
    return Matrix(rows)


def _name(cursor: Cursor) -> str:
    cursor.need("{")
    name = cursor.take().text
    cursor.need("}")
    return name


def _cell(cursor: Cursor, read: Callable[[], Term]) -> Term:
    while cursor.peek().text.lower() in CONDITIONALS and cursor.at_word():
        cursor.take()
    cursor.skip(",", ".")
    if cursor.mark in ("&", "\\", "end"):
        return Words("")
    term = cursor.inside(read)
    cursor.skip(",", ".")
    return term
