"""The dependency arrows of the design point one way, and nothing heavy is imported early."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("tools", "sandboxes", "cli", "serve", "evals", "acp")
"""Rooms that import the framework and that the framework must not know."""

MAY_IMPORT = {
    "core": {"core", "models", "stores"},
    "models": {"core", "models"},
    "stores": {"core", "models", "stores"},
    "testing": {"core", "models", "stores", "testing"},
    "tools": {"core", "models", "tools"},
    "sandboxes": {"core", "models", "sandboxes"},
    "cli": {
        *("core", "models", "stores", "testing", "tools", "sandboxes"),
        *("cli", "serve", "evals", "acp"),
    },
    "serve": {"core", "models", "stores", "tools", "sandboxes", "serve"},
    "acp": {"core", "models", "stores", "tools", "sandboxes", "acp"},
    "evals": {"core", "models", "stores", "tools", "sandboxes", "evals"},
}
"""Which room may import which; ``core`` is the rest of ``agentkit/``."""

LOW = ("errors", "schema", "sandbox", "ladder")
"""Core modules at the bottom: they import nothing of ours but each other and ``errors``. Where a
function of theirs imports something later, no circle can close."""


def _sources() -> Iterator[tuple[str, Path]]:
    core = ROOT / "agentkit"
    packages = [each for each in core.iterdir() if each.is_dir() and each.name not in MAY_IMPORT]
    for path in sorted(
        [*core.glob("*.py"), *(each for one in packages for each in one.rglob("*.py"))]
    ):
        yield "cli" if path.name == "__main__.py" else "core", path
    for room in ("models", "stores", "testing", "cli", "serve", "evals", "acp"):
        for path in sorted((ROOT / "agentkit" / room).rglob("*.py")):
            yield room, path
    for room in ("tools", "sandboxes"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield room, path


def _imports(path: Path, *, in_functions: bool = True) -> Iterator[str]:
    """Modules of agentkit that a file imports, those for type checking apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _outside_type_checking(tree, in_functions=in_functions):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def _outside_type_checking(tree: ast.AST, *, in_functions: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.FunctionDef) and not in_functions:
            continue
        yield child
        yield from _outside_type_checking(child, in_functions=in_functions)


def _room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] in ("tools", "sandboxes"):
        return parts[0]
    if parts[0] != "agentkit":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "core"


def test_arrows_point_one_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for room, path in _sources()
        for module in _imports(path)
        if (target := _room_of(module)) is not None and target not in MAY_IMPORT[room]
    ]
    assert wrong == []


def test_the_bottom_knows_nothing_above_it() -> None:
    allowed = {f"agentkit.{name}" for name in LOW}
    wrong = [
        f"{name} imports {module}"
        for name in LOW
        for module in _imports(ROOT / "agentkit" / f"{name}.py", in_functions=False)
        if module.startswith("agentkit") and module.rsplit(".", 1)[0] not in allowed
    ]
    assert wrong == []


def test_a_wrong_arrow_would_be_seen(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from agentkit.tools.bash import bash\n")
    assert [_room_of(module) for module in _imports(bad)] == ["tools"]


@pytest.mark.parametrize(
    "module",
    [
        "agentkit",
        "agentkit.sandboxes",
        "agentkit.tools",
        "agentkit.models",
        "agentkit.cli",
        "agentkit.mcp",
    ],
)
def test_importing_stays_light(module: str) -> None:
    heavy = "{'openai', 'docker', 'httpx2', 'starlette', 'jsonschema', 'mcp', 'ag_ui'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_files_and_functions_stay_small() -> None:
    long: list[str] = []
    for _, path in _sources():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 600:
            long.append(f"{path.relative_to(ROOT)} asks for a redesign")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 60:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines}")
    assert long == []


def test_a_silenced_finding_has_its_reason_beside_it() -> None:
    silenced = re.compile(r"# (noqa|(pyright|type): ignore)(?!.* - \w)")
    rooms = ("agentkit", "tools", "sandboxes", "benchmarks", "examples")
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for room in rooms
        for path in sorted((ROOT / room).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if silenced.search(line)
    ]
    assert bare == []
