"""Filters such as "count > 100 and kind == 'fruit'": which rows of some columns they allow.

Written as Python and read by Python's parser, but translated into an Arrow expression, never run. Allowed are names of columns,
strings, numbers, True and False; == != < <= > >= (chained too), `in` and `not in` a list; `is None`; and, or, not; parentheses.
A missing value (None, NaN) fails every comparison, and so does its opposite: only `is None` finds it.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Mapping
from functools import reduce
from typing import Any, NoReturn

import numpy as np

from firth._check import ArgumentError, ExpressionError
from firth.expression import mark
from firth.views import number_view

ROW = "firth row"  # names a column of row numbers: no Python name, so that no filter can mean it
COMPARED = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def rows_where(where: Any, columns: Mapping[str, Any], n: int) -> np.ndarray:
    """Tell which rows a filter allows, (n,) booleans.

    Parameters
    ----------
    where
        A string, or a pyarrow.compute.Expression.
    columns
        Name -> n values.
    n
        How many rows there are.

    Raises
    ------
    ExpressionError
        If the string cannot be read, or names an unknown column; the place is marked.
    ArgumentError
        If it cannot be evaluated on these columns.

    Examples
    --------
    >>> columns = {"label": ["tea", "nail", "milk"], "count": [9, 5, 3]}
    >>> rows_where("3 < count <= 9 and label not in ('nail', 'screw')", columns, 3)
    array([ True, False, False])
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(where, str):
        reader = _Reader(where, columns)
        expression, used = reader.read(), reader.used
    elif isinstance(where, pc.Expression):
        expression, used = where, set(columns)
    else:
        raise ArgumentError(f"where must be booleans, a string or a pyarrow expression; got {type(where).__name__}")
    arrays = {ROW: pa.array(np.arange(n))}
    for name in used:
        try:
            arrays[name] = pa.array(columns[name], from_pandas=True)
        except pa.ArrowException:
            if isinstance(where, str):
                raise ArgumentError(
                    f"where cannot be evaluated: column {name!r} holds values of several types"
                ) from None
    try:
        rows = pa.table(arrays).filter(expression).column(ROW).combine_chunks()
    except pa.ArrowException as error:
        reason = str(error.args[0]).split("\n")[0]
        raise ArgumentError(f"where cannot be evaluated: {where} ({reason}); columns: {', '.join(columns)}") from None
    allowed = np.zeros(n, dtype=bool)
    allowed[number_view(rows)] = True
    return allowed


class _Reader:
    """From Python's syntax tree to an Arrow expression."""

    def __init__(self, text: str, columns: Mapping[str, Any]) -> None:
        self.text = re.sub(r"\s", " ", text).strip()
        self.columns = columns
        self.used: set[str] = set()

    def read(self) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's advice on its own programs
                tree = ast.parse(self.text, mode="eval")
            return self.expression(tree.body)
        except SyntaxError as error:
            start = error.offset - 1 if error.offset else len(self.text)
            raise ExpressionError(
                f"where cannot be read: {error.msg}; it is written like count > 100 and label == 'tea'\n"
                + mark(self.text, start, start + 1)
            ) from None
        except (ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:  # Python's and Arrow's
            if isinstance(error, ExpressionError):
                raise
            raise ExpressionError(f"where cannot be read: {error or 'it is nested too deep'}") from None

    def fail(self, node: ast.expr, what: str) -> NoReturn:
        line = self.text.encode()  # offsets count bytes
        start, end = (len(line[:place].decode()) for place in (node.col_offset, node.end_col_offset or 0))
        raise ExpressionError(f"{what}\n{mark(self.text, start, end)}")

    def expression(self, node: ast.expr) -> Any:
        import pyarrow.compute as pc

        match node:
            case ast.BoolOp():
                join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
                return reduce(join, map(self.expression, node.values))
            case ast.UnaryOp(op=ast.Not()):
                return ~self.expression(node.operand)
            case ast.Compare():
                sides = [node.left, *node.comparators]
                return reduce(operator.and_, map(self.comparison, sides, node.ops, sides[1:]))
            case ast.Name():
                if node.id not in self.columns:
                    self.fail(node, f"there is no column {node.id!r}; the columns are {', '.join(self.columns)}")
                self.used.add(node.id)
                return pc.field(node.id)
        return pc.scalar(self.constant(node))

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        value = self.expression(left)
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                self.fail(right, "None is expected after `is`; compare values by == or !=")
            return value.is_null() if isinstance(op, ast.Is) else value.is_valid()
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set):
                self.fail(right, "a list is expected after `in`, such as ('a', 'b')")
            found = value.isin([self.constant(each) for each in right.elts])
            found = pc.if_else(value.is_valid(), found, pa.scalar(None, pa.bool_()))  # type: ignore[attr-defined]
            return found if isinstance(op, ast.In) else ~found
        return COMPARED[type(op)](value, self.expression(right))

    def constant(self, node: ast.expr) -> str | float | bool:
        match node:
            case ast.Constant(value=str() | int() | float() as value):
                return value
            case ast.Constant(value=None):
                self.fail(node, "None is found by `is None` alone")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
        self.fail(node, "a column, a string or a number is expected here; where knows and, or, not, comparisons and in")
