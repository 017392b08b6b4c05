"""Python source: the same program is the same syntax tree.

Theory of operation. The source is parsed, never run, and its tree is written as text: each
node as its name and its fields in order, constants by type and exact value. Line numbers,
comments, spacing, quotes and redundant parentheses are not in the tree. Fields that are
``None`` or an empty list are left out, and so is what a newer Python adds that way: one
tree is written alike by every version that can read the source, and what only some can
read is refused beforehand (:mod:`~quorate.arbitration.rules.lexical`).
"""

from __future__ import annotations

import ast
import warnings
from typing import Any, Final

from quorate.arbitration.rules.lexical import check_bytes, check_source
from quorate.arbitration.rules.plain import NotNormalError, text_of, unfenced
from quorate.core import limits

_VERSION: Final = (3, 11)
_LEFT_OUT: Final = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def python(payload: Any) -> str:
    """Python source by its syntax tree, as Python 3.11 has it; comments do not count.

    Code fences are put aside; source that is indented as a whole is read as if it were not.

    Raises:
        NotNormalError: not a text, more than ``limits.MAX_PYTHON_LENGTH`` characters, a
            tree deeper than ``limits.MAX_PYTHON_DEPTH``, not Python, or source that other
            Pythons, or a file, may read differently.
    """
    given = text_of(payload, "Python", limits.MAX_PYTHON_LENGTH)
    source = unfenced(given)
    check_bytes(given, source)
    check_source(source)
    return _written(_body(source))


def _body(source: str) -> list[ast.stmt]:
    try:
        return _parsed(source).body
    except IndentationError:
        # Indented as a whole: read it as a block, for taking the indentation off could
        # change a text that goes on over several lines.
        return _block(f"if 1:\n{source}")


def _block(source: str) -> list[ast.stmt]:
    try:
        found = _parsed(source).body
    except IndentationError as error:
        raise NotNormalError(f"no Python that can be read: {error}") from error
    first = found[0]
    if len(found) > 1 or not isinstance(first, ast.If) or first.orelse:
        raise NotNormalError("no Python that can be read: its indentation ends before it does")
    return first.body


def _parsed(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # A doubtful escape is no error, whatever the process makes of warnings.
            warnings.simplefilter("ignore")
            return ast.parse(source, feature_version=_VERSION)
    except IndentationError:
        raise
    except (SyntaxError, ValueError) as error:
        raise NotNormalError(f"no Python that can be read: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise NotNormalError("no Python that can be read: nested too deep") from error


def _written(body: list[ast.stmt]) -> str:
    """Write a tree as text, with a stack of its own: trees may be deeper than calls may."""
    parts: list[str] = []
    left: list[tuple[Any, int]] = [(body, 0)]
    while left:
        item, depth = left.pop()
        if depth > limits.MAX_PYTHON_DEPTH:
            raise NotNormalError(
                f"a syntax tree deeper than {limits.MAX_PYTHON_DEPTH}; simpler source can be read"
            )
        if isinstance(item, _Mark):
            parts.append(item)
        elif isinstance(item, ast.AST):
            if isinstance(item, ast.FormattedValue) and isinstance(item.value, ast.GeneratorExp):
                # Only 3.11 reads one without brackets of its own.
                raise NotNormalError("a generator in a field of an f-string; use a list")
            parts.append(f"{type(item).__name__}(")
            left.append((_Mark(")"), 0))
            for name, value in reversed(list(ast.iter_fields(item))):
                if name not in _LEFT_OUT and _tells(item, value):
                    told = _joined(value) if isinstance(item, ast.JoinedStr) else value
                    left += ((_Mark(","), 0), (told, depth + 1), (_Mark(f"{name}="), 0))
        elif isinstance(item, list):
            parts.append("[")
            left.append((_Mark("]"), 0))
            for value in reversed(item):
                left += ((_Mark(","), 0), (value, depth))
        else:
            parts.append(_constant(item))
    return "".join(parts)


class _Mark(str):
    """Text that is written as it stands, apart from the texts of the tree."""

    __slots__ = ()


def _tells(node: ast.AST, value: Any) -> bool:
    """Whether a field says anything: the value of a constant does even where it is ``None``."""
    return isinstance(node, ast.Constant) or (value is not None and value != [])


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """Parts of an f-string, texts side by side made one: versions cut them differently."""
    joined: list[ast.expr] = []
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            last = joined[-1] if joined else None
            if isinstance(last, ast.Constant) and isinstance(last.value, str):
                joined[-1] = ast.Constant(last.value + value.value)
            elif value.value:
                joined.append(value)
        else:
            joined.append(value)
    return joined


def _constant(value: Any) -> str:
    """A constant by type and exact value, in ASCII."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, complex):
        return f"{value.imag.hex()}j"
    # Hexadecimal: decimal digits of a very long integer are refused by Python.
    return hex(value) if type(value) is int else ascii(value)
