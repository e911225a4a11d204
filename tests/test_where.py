"""firth.where: filters over columns."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firth._check import ArgumentError, ExpressionError, FirthError
from firth.where import rows_where

COLUMNS = {
    "label": ["tea", "milk", "nail", "'n", "é"],
    "count": np.array([9, 7, 5, 3, -1]),
    "kind": np.array(["drink", "drink", None, "tool", "drink"], dtype=object),
    "share": np.array([0.5, np.nan, 0.25, 1.0, -2.0]),
    "liked": np.array([True, False, True, False, True]),
}


def allowed(where):
    return np.flatnonzero(rows_where(where, COLUMNS, 5)).tolist()


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("count > 5", [0, 1]),
        ("count >= 5 and not liked", [1]),
        ("count < 4 or label == 'tea'", [0, 3, 4]),
        ("3 <= count < 9", [1, 2, 3]),
        ("9 > count > 5 > -1", [1]),
        ("count == -1", [4]),
        ("count != 9 and share <= 0.25", [2, 4]),
        ("kind in ('tool', 'drink') and count in [9, 3]", [0, 3]),
        ("label not in {'tea', 'milk'}", [2, 3, 4]),
        ("label == \"'n\" or label == 'é'", [3, 4]),
        ("liked", [0, 2, 4]),
        ("not (liked or count > 5)", [3]),
        ("\n count > 5\n and liked ", [0]),
        ("True", [0, 1, 2, 3, 4]),
        # what is missing fails each comparison and its opposite
        ("kind == 'drink'", [0, 1, 4]),
        ("kind != 'drink'", [3]),
        ("not kind == 'drink'", [3]),
        ("kind in ('drink',)", [0, 1, 4]),
        ("kind not in ('drink',)", [3]),
        ("not kind in ('drink',)", [3]),
        ("share > 0 or share <= 0", [0, 2, 3, 4]),
        ("share is None", [1]),
        ("kind is not None and share is not None", [0, 3, 4]),
        ("count in ()", []),
    ],
)
def test_filters(where, rows):
    assert allowed(where) == rows


@st.composite
def filters(draw):
    """Any filter of numbers and strings, without missing values."""
    names = st.sampled_from(["count", "1", "-1", "5", "7"])
    words = st.sampled_from(["label", "'tea'", "'milk'", "'n'"])
    compared = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    numbers = st.lists(compared, min_size=1, max_size=3).flatmap(
        lambda ops: st.tuples(*[names] * (len(ops) + 1)).map(
            lambda sides: sides[0] + "".join(f" {op} {side}" for op, side in zip(ops, sides[1:], strict=True))
        )
    )
    strings = st.tuples(words, compared, words).map(" ".join)
    lists = st.sampled_from(["count in (1, 5, 7)", "label not in ['tea', 'é']", "liked", "not liked", "5 in {5}"])
    deeper = st.recursive(
        numbers | strings | lists,
        lambda inner: (
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda a: f"({' '.join(a)})")
            | inner.map(lambda a: f"not {a}")
        ),
        max_leaves=6,
    )
    return draw(deeper)


@given(filters())
def test_filters_mean_what_python_means(where):
    names = ("label", "count", "liked")
    plain = [
        row
        for row, values in enumerate(zip(*(COLUMNS[name] for name in names), strict=True))
        if eval(where, {}, dict(zip(names, values, strict=True)))
    ]
    assert allowed(where) == plain


def test_columns_that_arrow_cannot_hold_are_left_out():
    mixed = np.array([1, "a", None, 2.5, "b"], dtype=object)
    assert rows_where(pc.field("count") > 5, COLUMNS | {"mixed": mixed}, 5).sum() == 2
    with pytest.raises(ArgumentError, match="column 'mixed' holds values of several types"):
        rows_where("mixed == 1", COLUMNS | {"mixed": mixed}, 5)


def test_arrow_expressions_are_taken_as_they_are():
    assert allowed((pc.field("count") > 5) & pc.field("liked")) == [0]
    with pytest.raises(ArgumentError, match="columns: label, count, kind, share, liked"):
        allowed(pc.field("size") > 5)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("size > 5", "there is no column 'size'; the columns are label, count, kind, share, liked\n  size > 5\n  ^^^^"),
        ("label == 'é' and size > 5", "\n  label == 'é' and size > 5\n                   ^^^^"),
        ("count = 5", "it is written like count > 100 and label == 'tea'\n  count = 5\n        ^"),
        ("count >", "\n  count >\n         ^"),
        ("", "where cannot be read: "),
        ("count > 5; 1", "where cannot be read: "),
        ("count is 5", "None is expected after `is`"),
        ("kind == None", "None is found by `is None` alone"),
        ("count in label", "a list is expected after `in`, such as ('a', 'b')"),
        ("count in (1, label)", "a column, a string or a number is expected here"),
        ("count + 1 > 5", "a column, a string or a number is expected here"),
        ("-count > 5", "a column, a string or a number is expected here"),
        ("label.upper() == 'A'", "a column, a string or a number is expected here"),
        ("__import__('os')", "a column, a string or a number is expected here"),
        ("[c for c in ()]", "a column, a string or a number is expected here"),
        ("count == 1j", "a column, a string or a number is expected here"),
        ("not " * 5000 + "liked", "where cannot be read"),
        ("(" * 500 + "liked" + ")" * 500, "where cannot be read"),
        ("count > 1" + "0" * 40, "where cannot be read"),
        ("count > '\0'", "where cannot be read"),
    ],
)
def test_errors_mark_the_place(where, message):
    with pytest.raises(ExpressionError) as told:
        allowed(where)
    assert message in str(told.value)


@pytest.mark.parametrize("where", ["count", "kind > 5", "liked > 'a'", "count in ('a', 1)", 5, None])
def test_what_cannot_be_evaluated_is_told(where):
    with pytest.raises(FirthError, match="where (cannot be|must be)"):
        allowed(where)
