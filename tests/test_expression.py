"""firth.expression: 'king - man + woman'."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firth._check import ExpressionError
from firth.expression import parse


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("king", {"king": 1}),
        ("king-man+woman", {"king": 1, "man": -1, "woman": 1}),
        ("0.7*tea + 0.3*milk", {"tea": 0.7, "milk": 0.3}),
        ('"new york" - usa + france', {"new york": 1, "usa": -1, "france": 1}),
        ("'new york' * 2", {"new york": 2}),
        ("-(a - 2*(b + c)/4)", {"a": -1, "b": 0.5, "c": 0.5}),
        ("don't + python3.11 + snake_case", {"don't": 1, "python3.11": 1, "snake_case": 1}),
        ("3d + 2e1*x", {"3d": 1, "x": 20}),
        ('"1984" + "a\\"b" + "c++"', {"1984": 1, 'a"b': 1, "c++": 1}),
        ("(2+3)*été", {"été": 5}),
        ("a + a - b + b", {"a": 2}),
        ("--a", {"a": 1}),
    ],
)
def test_expressions_become_weights(text, weights):
    assert parse(text).weights == pytest.approx(weights)


@pytest.mark.parametrize(
    ("text", "what", "column"),
    [
        ("", "a label or a number is expected", 0),
        ("king - ", "a label or a number is expected", 7),
        ("king queen", "an operator .* is expected here", 5),
        ("(king", "closing parenthesis is missing", 5),
        ("king)", "an operator", 4),
        ('"new', "the quote is not closed", 0),
        ("1984", "a number alone is not a vector", 0),
        ("king + 2", "a number cannot be added to a vector", 5),
        ("king * queen", "vectors cannot be multiplied by vectors", 5),
        ("2 / king", "vectors cannot be divided by vectors", 2),
        ("king / 0", "division by zero", 5),
        ("king - king", "nothing is left", 0),
        ("(" * 200 + "a" + ")" * 200, "nested more than 100 deep", 100),
        ("1e308*1e308*a", "too large", 0),
    ],
)
def test_errors_mark_the_place(text, what, column):
    with pytest.raises(ExpressionError, match=what) as caught:
        parse(text)
    marked = str(caught.value).split("\n")
    assert marked[1] == "  " + text
    assert marked[2].index("^") == 2 + column


labels = st.text(st.characters(codec="utf-8", exclude_characters='"\\'), min_size=1, max_size=6)
trees = st.recursive(
    labels.map(lambda label: (f'"{label}"', {label: 1.0})),
    lambda inner: st.one_of(
        st.tuples(inner, inner, st.sampled_from("+-")).map(
            lambda t: (f"({t[0][0]} {t[2]} {t[1][0]})", add(t[0][1], t[1][1], -1 if t[2] == "-" else 1))
        ),
        st.tuples(inner, st.integers(1, 9)).map(lambda t: (f"{t[1]}*{t[0][0]}", add({}, t[0][1], t[1]))),
        st.tuples(inner, st.sampled_from([2, 4, 8])).map(lambda t: (f"{t[0][0]}/{t[1]}", add({}, t[0][1], 1 / t[1]))),
        inner.map(lambda t: (f"-{t[0]}", add({}, t[1], -1))),
    ),
    max_leaves=12,
)


def add(left, right, sign):
    """The plain twin: weights added label by label."""
    return {label: left.get(label, 0.0) + sign * right.get(label, 0.0) for label in {**left, **right}}


@given(trees)
def test_random_expressions_equal_their_plain_evaluation(tree):
    text, weights = tree
    weights = {label: weight for label, weight in weights.items() if weight}
    if weights:
        # Halvings and small whole factors are exact in float64, so the weights are too.
        assert parse(text).weights == weights
    else:
        with pytest.raises(ExpressionError, match="nothing is left"):
            parse(text)


@given(st.text(st.sampled_from("ab1.2e'\"\\ +-*/()\n\té"), max_size=20))
def test_any_text_is_read_or_refused(text):
    try:
        assert parse(text).weights
    except ExpressionError as error:
        assert "^" in str(error)
