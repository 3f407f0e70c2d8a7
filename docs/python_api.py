"""Python objects as Markdown: signatures, docstrings, members."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

WIDTH = 88
"""A signature that is longer gets a line per parameter."""
_CALLED = ("__call__", "__getitem__")
"""Special methods that are part of what one uses, where they have a docstring."""
_SECTION = re.compile(r"(Args|Returns|Raises|Yields):")


class _Verbatim(str):
    """Text that `inspect` prints as it is: an annotation without quotes, a function's name."""

    __slots__ = ()
    __repr__ = str.__str__


def describe(name: str, thing: Any) -> str:
    """Return the section of a public name: signature, docstring, and the members of a class."""
    if not inspect.isclass(thing):
        return _entry(f"### `{name}`", signature(name, thing), inspect.getdoc(thing))
    parts = [_entry(f"### `{name}`", _constructor(name, thing), thing.__doc__)]
    documented = list(_attributes(thing))
    if documented:
        parts.append("\n".join(f"- `{n}`: {prose(doc)}" for n, doc in documented))
    for member, value in vars(thing).items():
        entry = _member(member, value)
        if entry and (member in _CALLED or not member.startswith("_")):
            parts.append(_entry(f"#### `{name}.{member}`", *entry))
    return "\n\n".join(parts)


def _entry(heading: str, code: str, doc: str | None) -> str:
    return "\n\n".join(
        filter(None, [heading, f"```text\n{code}\n```" if code else "", prose(doc or "")])
    )


def _constructor(name: str, cls: type) -> str:
    if issubclass(cls, BaseException) or cls.__init__ is object.__init__:
        return ""
    return signature(name, cls, returns=False)


def _member(name: str, value: Any) -> tuple[str, str | None] | None:
    if isinstance(value, classmethod | staticmethod):
        return signature(name, value.__func__), value.__func__.__doc__
    if isinstance(value, property):
        return "", value.__doc__
    if hasattr(value, "attrname") and hasattr(value, "func"):  # functools.cached_property
        return "", value.func.__doc__
    if inspect.isfunction(value) and value.__doc__:
        return signature(name, value), value.__doc__
    return None


def signature(name: str, thing: Any, *, returns: bool = True) -> str:
    """Return a call as one would write it, without `self`; on several lines if it is long."""
    found = inspect.signature(thing)
    parameters = [_plain(p) for p in found.parameters.values() if p.name not in ("self", "cls")]
    result = f" -> {found.return_annotation}" if returns and found.return_annotation else ""
    one_line = str(inspect.Signature(parameters))
    if len(name + one_line + result) <= WIDTH:
        return name + one_line + result
    lines, starred = [], False
    for p in parameters:
        starred = starred or p.kind is p.VAR_POSITIONAL
        if p.kind is p.KEYWORD_ONLY and not starred:
            lines.append("*")
            starred = True
        lines.append(str(p))
    return "\n".join([f"{name}(", *(f"    {line}," for line in lines), f"){result}"])


def _plain(parameter: inspect.Parameter) -> inspect.Parameter:
    if parameter.annotation is not parameter.empty:
        parameter = parameter.replace(annotation=_Verbatim(parameter.annotation))
    if inspect.isfunction(parameter.default):  # its repr would hold an address in memory
        parameter = parameter.replace(default=_Verbatim(parameter.default.__name__))
    return parameter


def _attributes(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the class's attributes that a string explains on the line below, as in the source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    for line, below in pairwise(body):
        match line, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(doc))
            ):
                yield name, inspect.cleandoc(doc)


def prose(doc: str) -> str:
    """Return a docstring as Markdown: `Args:` as a list, what would be markup escaped."""
    lines, listing = [], False
    for line in inspect.cleandoc(doc).splitlines():
        if _SECTION.fullmatch(line):
            lines += [f"**{line.rstrip(':')}**", ""]
            listing = True
        elif listing and line.startswith("    "):
            entry = line[4:]
            lines.append(("  " if entry.startswith(" ") else "- ") + _escaped(entry.lstrip()))
        else:
            listing = listing and not line
            lines.append(line if line.startswith("    ") else _escaped(line))
    return "\n".join(lines).strip()


def _escaped(line: str) -> str:
    """Escape what Markdown would take for markup, outside of code."""
    parts = line.split("`")
    parts[::2] = [re.sub(r"([<*])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)
