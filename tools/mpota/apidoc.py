# SPDX-License-Identifier: MIT
"""docs/API.md, made from docstrings and types: `python -m mpota.apidoc > docs/API.md`.

What a name means is read from the source of the device library, how it is called from the stub
beside it. Nothing of it is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import textwrap
from pathlib import Path

# What an application or an adapter of one's own may use, in the order in which one meets it.
MODULES = ("", "updater", "watch", "errors", "ports", "adapters.http", "adapters.folder",
           "adapters.ntp")  # fmt: skip
INTRODUCTION = """\
What an application calls, and what an adapter of one's own has to do. Types are those of the stubs
(`lib/ota/*.pyi`), which editors and mypy read; on a device there are none. Names that begin with
an underscore are types of the stubs only."""

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def markdown() -> str:
    spec = importlib.util.find_spec("ota")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("ota")
    package = Path(spec.origin).parent
    parts = [
        "<!-- Made by `python -m mpota.apidoc`; do not edit. -->",
        "# The Python of the device",
        INTRODUCTION,
    ]
    for name in MODULES:
        path = package / (name.replace(".", "/") if name else "__init__")
        parts += _module(f"ota.{name}".rstrip("."), path)
    return "\n\n".join(parts) + "\n"


def _module(name: str, path: Path) -> list[str]:
    source = ast.parse(path.with_suffix(".py").read_text("utf-8"))
    types = ast.parse(path.with_suffix(".pyi").read_text("utf-8"))
    declared = {node.name: node for node in types.body if isinstance(node, _Definition)}
    parts = [f"## {name}", _prose(source)]
    constants = [
        f"`{name}.{target.id}`  = `{ast.unparse(node.value)}`"
        for node in source.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and not target.id.startswith("_")
    ]
    if constants:
        parts.append("\\\n".join(constants))
    for node in _public(source.body, declared):
        stub = declared[node.name]
        if isinstance(node, ast.ClassDef):
            # One of the errors that have nothing but a name is told in the module's docstring.
            if ast.get_docstring(node) or len(node.body) > 1:
                parts += _class(name, node, stub)
        else:
            parts += [f"### {name}.{node.name}", _call(node.name, stub), _prose(node)]
    return [part for part in parts if part]


def _class(module: str, node: ast.ClassDef, stub: _Definition) -> list[str]:
    declared = {n.name: n for n in stub.body if isinstance(n, _Definition)}
    above = ", ".join(ast.unparse(base) for base in node.bases)
    parts = [f"### {module}.{node.name}" + (f"({above})" if above else "")]
    parts.append(_prose(node))
    attributes = [
        f"{ast.unparse(n.target)}: {ast.unparse(n.annotation)}"
        for n in stub.body
        if isinstance(n, ast.AnnAssign)
    ]
    if attributes:
        parts.append("```python\n" + "\n".join(attributes) + "\n```")
    # How an object is made is said in the class, unless `__init__` has words of its own.
    made = next((n for n in _functions(node.body) if n.name == "__init__"), None)
    if made is not None and ast.get_docstring(made) is None and "__init__" in declared:
        parts.append(_call(node.name, declared["__init__"]))
    for method in _public(node.body, declared):
        parts += [_call(method.name, declared[method.name]), _prose(method)]
    return parts


def _functions(body: list[ast.stmt]) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _public(body: list[ast.stmt], declared: dict[str, _Definition]) -> list[_Definition]:
    """Classes and functions that are meant for others: their stub has them."""
    found = [n for n in body if isinstance(n, _Definition) and n.name in declared]
    return [n for n in found if not n.name.startswith("_")]


def _call(name: str, node: _Definition) -> str:
    """The signature as the stub has it, one line if it fits."""
    if isinstance(node, ast.ClassDef):
        return ""
    fields = _arguments(node.args)
    result = f" -> {ast.unparse(node.returns)}" if node.returns and name[0].islower() else ""
    word = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    if any(ast.unparse(d) == "property" for d in node.decorator_list):
        return f"```python\n{name}{result.replace(' -> ', ': ')}\n```"
    line = f"{word}{name}({', '.join(fields)}){result}"
    if len(line) > 99:
        line = f"{word}{name}(\n" + "".join(f"    {field},\n" for field in fields) + f"){result}"
    return f"```python\n{line}\n```"


def _arguments(node: ast.arguments) -> list[str]:
    fields = [ast.unparse(n) for n in node.args]
    for number, default in enumerate(reversed(node.defaults), 1):
        fields[-number] += f" = {ast.unparse(default)}"
    if node.vararg:
        fields.append(f"*{ast.unparse(node.vararg)}")
    for n, value in zip(node.kwonlyargs, node.kw_defaults, strict=True):
        fields.append(ast.unparse(n) + (f" = {ast.unparse(value)}" if value else ""))
    return [field for field in fields if field not in ("self", "cls")]


def _prose(node: ast.Module | _Definition) -> str:
    """A docstring as Markdown: paragraphs flow, what is set in columns stays as it is."""
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    blocks: list[str] = []
    columns: list[str] = []
    for block in [*text.split("\n\n"), ""]:
        if any("  " in line for line in block.splitlines()):
            columns.append(block)
            continue
        if columns:
            blocks.append("```\n" + textwrap.dedent("\n\n".join(columns)) + "\n```")
            columns = []
        blocks.append(block)
    return "\n\n".join(blocks).rstrip()


if __name__ == "__main__":
    sys.stdout.write(markdown())
