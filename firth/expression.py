"""Semantic arithmetic: 'king - man + woman' becomes weights of labels.

`+ - * /` with numbers, parentheses, mixtures such as 0.7*tea + 0.3*milk. A label is any run of characters without spaces,
operators and quotes; others, and those that look like numbers, stand in quotes: '"new york" - usa + france'.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from firth._check import ArgumentError, ExpressionError

DEEPEST = 100  # parentheses within parentheses

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?=[\s+\-*/()]|$))
    |(?P<operator>[-+*/()])
    |(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<label>[^\s+\-*/()"'][^\s+\-*/()"]*)
    |(?P<wrong>.)""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A piece of an expression and where it stands in the text."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Terms:
    """A weighted sum of labels.

    Attributes
    ----------
    text
        The expression as it was written.
    weights
        Weight of each label, in order of first appearance; none is zero.
    places
        Where each label first stands in the text: start and end.
    """

    text: str
    weights: dict[str, float]
    places: dict[str, tuple[int, int]]


class _Value(NamedTuple):
    """A number (no weights) or a weighted sum (number 0)."""

    number: float
    weights: dict[str, float] | None


def parse(text: str) -> Terms:
    """Read an expression.

    Parameters
    ----------
    text
        Such as 'king - man + woman'.

    Raises
    ------
    ExpressionError
        If it cannot be read, with the place marked under it.

    Examples
    --------
    >>> parse('king - man + woman').weights
    {'king': 1.0, 'man': -1.0, 'woman': 1.0}
    >>> parse('("new york" + 2 * paris) / 2').weights
    {'new york': 0.5, 'paris': 1.0}
    """
    if not isinstance(text, str):
        raise ArgumentError(f"an expression must be a string; got {type(text).__name__}")
    parser = _Parser(text)
    value = parser.sum(0)
    if parser.token.kind != "end":
        parser.fail(parser.token, "an operator (+ - * /) is expected here; quote labels that have spaces in them")
    if value.weights is None:
        parser.fail(Token("number", text, 0, len(text)), _only_number(text))
    weights = {label: weight for label, weight in value.weights.items() if weight != 0}
    if not weights:
        parser.fail(Token("end", "", 0, len(text)), "nothing is left of it: the labels cancel out")
    if not all(math.isfinite(weight) for weight in weights.values()):
        parser.fail(Token("end", "", 0, len(text)), "a weight is too large")
    return Terms(text, weights, parser.places)


def mark(text: str, start: int, end: int) -> str:
    """The text on one line and a mark under a place in it."""
    text = re.sub(r"\s", " ", text)
    return f"  {text}\n  {' ' * start}{'^' * max(1, end - start)}"


def _only_number(text: str) -> str:
    quoted = text.strip()
    return f'a number alone is not a vector; to mean the label {quoted}, quote it: "{quoted}"'


class _Parser:
    """Recursive descent over the grammar: sum = product (+- product)*; product = factor (*/ factor)*."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [
            Token(m.lastgroup or "", m[0], *m.span()) for m in _TOKEN.finditer(text) if m.lastgroup != "space"
        ]
        self.tokens.append(Token("end", "", len(text), len(text)))
        self.at = 0
        self.places: dict[str, tuple[int, int]] = {}

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def fail(self, token: Token, what: str) -> NoReturn:
        raise ExpressionError(f"{what}\n{mark(self.text, token.start, token.end)}")

    def sum(self, depth: int) -> _Value:
        left = self.product(depth)
        while self.token.text in ("+", "-") and self.token.kind == "operator":
            operator = self.take()
            right = self.product(depth)
            if (left.weights is None) != (right.weights is None):
                self.fail(
                    operator, "a number cannot be added to a vector; multiply by it, or quote it if it is a label"
                )
            left = _add(left, right, -1.0 if operator.text == "-" else 1.0)
        return left

    def product(self, depth: int) -> _Value:
        left = self.factor(depth)
        while self.token.text in ("*", "/") and self.token.kind == "operator":
            operator = self.take()
            right = self.factor(depth)
            if right.weights is not None and (left.weights is not None or operator.text == "/"):
                verb = "multiplied" if operator.text == "*" else "divided"
                hint = f"use numbers, or quote a label that has {operator.text} in it"
                self.fail(operator, f"vectors cannot be {verb} by vectors; {hint}")
            if operator.text == "/" and right.number == 0:
                self.fail(operator, "division by zero")
            if right.weights is not None:
                left, right = right, left
            left = _scale(left, 1 / right.number if operator.text == "/" else right.number)
        return left

    def factor(self, depth: int) -> _Value:
        sign = 1.0
        while self.token.kind == "operator" and self.token.text in ("+", "-"):
            sign = -sign if self.take().text == "-" else sign
        token = self.take()
        if token.kind == "number":
            value = _Value(float(token.text), None)
        elif token.kind in ("label", "quoted"):
            label = token.text if token.kind == "label" else re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
            self.places.setdefault(label, (token.start, token.end))
            value = _Value(0.0, {label: 1.0})
        elif token.text == "(" and token.kind == "operator":
            if depth == DEEPEST:
                self.fail(token, f"parentheses are nested more than {DEEPEST} deep")
            value = self.sum(depth + 1)
            if self.token.text != ")":
                self.fail(self.token, "a closing parenthesis is missing here")
            self.take()
        else:
            self.at -= 1
            what = "the quote is not closed" if token.kind == "wrong" else "a label or a number is expected here"
            self.fail(token, what)
        return _scale(value, sign)


def _add(left: _Value, right: _Value, sign: float) -> _Value:
    if left.weights is None or right.weights is None:
        return _Value(left.number + sign * right.number, None)
    weights = dict(left.weights)
    for label, weight in right.weights.items():
        weights[label] = weights.get(label, 0.0) + sign * weight
    return _Value(0.0, weights)


def _scale(value: _Value, by: float) -> _Value:
    if value.weights is None:
        return _Value(value.number * by, None)
    return _Value(0.0, {label: weight * by for label, weight in value.weights.items()})
