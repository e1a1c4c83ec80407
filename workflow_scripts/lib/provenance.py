"""What a result was made by: a hash of the code behind a step, and fingerprints of its settings.

Snakemake does not see edits in imported modules. `code_of(verb)` hashes the abstract syntax of everything the command
line can import from this package: editing a comment, a docstring or the formatting reruns nothing, editing code does.
Modules are read, never imported.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import operator
import os
from functools import cache
from pathlib import Path
from typing import Any

from .errors import UserError

PACKAGE = Path(__file__).resolve().parent.parent
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NAMING = (ast.Import, ast.ImportFrom, ast.Constant)
IGNORED_FIELDS = frozenset({"lineno", "col_offset", "end_lineno", "end_col_offset", "ctx", "kind", "type_comment"})
"""Fields of syntax nodes that say where a node stands, or mean nothing at run time."""


def code_of(verb: str, package: Path = PACKAGE) -> str:
    """16 hexadecimal digits that change with the code of `<package>.<verb>` and of all it imports from the package.

    Imports count wherever they stand (also inside functions), and so does a string that is the full name of a module
    ("workflow_scripts.lib.metrics.fid"). A module named only by a computed string is not seen.
    UserError if there is no such verb or a file is not valid Python.
    """
    start = f"{package.name}.{verb}"
    if _file_of(start, package) is None:
        verbs = sorted(file.stem for file in package.glob("*.py") if file.stem != "__init__")
        near = difflib.get_close_matches(verb, verbs, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(f"there is no {package / verb}.py; known: {', '.join(verbs)}.{hint}")
    digest = hashlib.sha256()
    for name, code in sorted(_closure(start, package).items()):
        digest.update(f"{name} {code}\n".encode())
    return digest.hexdigest()[:16]


def modules_of(verb: str, package: Path = PACKAGE) -> dict[str, Path]:
    """The files of all modules that `code_of(verb)` hashes, by name; `verb` may be a module of `lib` as well."""
    return {name: Path(_file_of(name, package)) for name in _closure(f"{package.name}.{verb}", package)}


def fingerprint(**parts: Any) -> str:
    """16 hexadecimal digits from JSON-able values, whatever the order of their keys; numpy integers count as int."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False, default=operator.index)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _closure(start: str, package: Path) -> dict[str, str]:
    """Digest of every module of the package that importing `start` can execute, by name."""
    digests: dict[str, str] = {}
    pending = [start]
    while pending:
        name = pending.pop()
        file = _file_of(name, package)
        if name in digests or file is None:
            continue
        stat = os.stat(file)
        digests[name], imports = _read_module(name, file, stat.st_mtime_ns, stat.st_size)
        pending.extend(imports)
    return digests


def _file_of(name: str, package: Path) -> str | None:
    """The source file of a dotted name, or None where the name is not a module of the package (a function, say)."""
    base = os.path.join(package.parent, *name.split("."))
    candidates = (base + ".py", os.path.join(base, "__init__.py"))
    return next(filter(os.path.isfile, candidates), None)


@cache
def _read_module(name: str, file: str, mtime_ns: int, size: int) -> tuple[str, frozenset[str]]:
    """A module's digest and the dotted names it may import from the package; cached until the file changes."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except SyntaxError as error:
        raise UserError(f"{file}:{error.lineno}: {error.msg}; correct it and run the same command again") from None
    naming: list[ast.AST] = []
    digest = hashlib.sha256(_meaning(tree, naming).encode()).hexdigest()
    parent = name if file.endswith("__init__.py") else name.rpartition(".")[0]
    named = {name, *(target for node in naming for target in _names_imported(node, parent))}
    within = (target for target in named if target.split(".")[0] == name.split(".")[0])
    return digest, frozenset(module for target in within for module in _with_parents(target))


def _names_imported(node: ast.AST, parent: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = parent.split(".")[: parent.count(".") + 2 - node.level] if node.level else []
        base = ".".join([*above, *filter(None, [node.module])])
        return [base, *(f"{base}.{alias.name}" for alias in node.names)]
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, str) and "." in value and value.replace(".", "_").isidentifier():
        return [value]
    return []


def _with_parents(name: str) -> list[str]:
    """a.b.c -> a, a.b, a.b.c: importing a module executes the packages above it."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _meaning(node: Any, naming: list[ast.AST]) -> str:
    """A syntax tree as text without positions, docstrings and empty fields (these depend on the version of Python).

    The tree itself loses its docstrings; nodes that may name a module are added to `naming`, which saves a second walk.
    """
    if isinstance(node, list):
        return f"[{','.join([_meaning(item, naming) for item in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, NAMING):
        naming.append(node)
    if isinstance(node, WITH_DOCSTRING) and _is_docstring(node.body[:1]):
        node.body = node.body[1:]
    fields = [
        f"{field}={_meaning(value, naming)}"
        for field, value in node.__dict__.items()
        if field not in IGNORED_FIELDS and value is not None and value != []
    ]
    return f"{type(node).__name__}({','.join(fields)})"


def _is_docstring(statements: list[ast.stmt]) -> bool:
    expression = statements[0] if statements else None
    value = expression.value if isinstance(expression, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
