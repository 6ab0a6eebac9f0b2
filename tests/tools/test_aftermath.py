"""What is found out about an edit that a crash cut off: before it, done, or neither."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.sandboxes import Local
from agentkit.tools.editor import str_replace_editor as editor

from .conftest import Desk, opened

EDITS: list[tuple[bytes, dict[str, Any]]] = [
    (b"one\ntwo\n", {"command": "str_replace", "old_str": "two", "new_str": "2"}),
    (b"x two x\n", {"command": "str_replace", "old_str": " two", "new_str": ""}),
    (b"a\r\nb\r\n", {"command": "str_replace", "old_str": "a\nb", "new_str": "c"}),
    (b"aa\n", {"command": "str_replace", "old_str": "aa", "new_str": "aaa aaa"}),
    (b"one\ntwo\n", {"command": "insert", "insert_line": 1, "new_str": "x\ny"}),
    (b"one\ntwo\n", {"command": "insert", "insert_line": 2, "new_str": "x\n"}),
    (b"one\ntwo", {"command": "insert", "insert_line": 2, "new_str": "x"}),
    (b"one\r\n", {"command": "insert", "insert_line": 0, "new_str": "x"}),
    (b"one\n", {"command": "create", "file_text": "other\n"}),
    (b"one\r\ntwo\r\n", {"command": "create", "file_text": "1\n2\n3\n"}),
]


async def found(desk: Desk, arguments: dict[str, Any]) -> str:
    """What a new process finds that knows only what was logged before the call."""
    assert editor.aftermath is not None
    return await editor.aftermath(desk.resumed().context(), editor.check(arguments))


@pytest.mark.parametrize(("before", "change"), EDITS)
async def test_each_edit_is_known_from_its_result(
    before: bytes, change: dict[str, Any], workspace: Any
) -> None:
    async with opened(Local(workspace=workspace)) as desk:
        path = await desk.put("a", before)
        await desk.call(editor, command="view", path=path)
        known, arguments = list(desk.log), {**change, "path": path}
        assert "is unchanged" in await found(desk, arguments)
        await desk.call(editor, **arguments)
        desk.log[:] = known  # the crash took what the call had recorded
        assert "it was done" in await found(desk, arguments)
        await desk.put("a", b"something else\n")
        assert "changed since you saw it" in await found(desk, arguments)
        await desk.sh(f"rm {path}")
        assert "does not exist any more" in await found(desk, arguments)


async def test_an_edit_that_was_taken_back(workspace: Any) -> None:
    async with opened(Local(workspace=workspace)) as desk:
        path = await desk.put("a", "one\n")
        await desk.call(editor, command="view", path=path)
        await desk.call(editor, command="str_replace", path=path, old_str="one", new_str="two")
        known, arguments = list(desk.log), {"command": "undo_edit", "path": path}
        assert "is unchanged" in await found(desk, arguments)
        await desk.call(editor, **arguments)
        desk.log[:] = known
        assert "it was done" in await found(desk, arguments)


async def test_a_new_file_and_one_that_was_never_seen(workspace: Any) -> None:
    async with opened(Local(workspace=workspace)) as desk:
        create = {"command": "create", "path": desk.path("new"), "file_text": "x\n"}
        assert "does not exist." in await found(desk, create)
        await desk.put("new", "x\n")
        assert "it was done" in await found(desk, create)
        await desk.put("new", "y\n")
        assert "exists, and is not what" in await found(desk, create)
        unseen = {"command": "str_replace", "path": desk.path("new"), "old_str": "y"}
        assert await found(desk, unseen) == ""


async def test_what_cannot_be_told_is_not_told(workspace: Any) -> None:
    """Mixed line ends leave open how the lines that went had ended."""
    async with opened(Local(workspace=workspace)) as desk:
        path = await desk.put("a", "one\r\ntwo\nthree\nfour\r\n")
        await desk.call(editor, command="view", path=path)
        known = list(desk.log)
        arguments = {"command": "str_replace", "path": path, "old_str": "two\nthree\n"}
        await desk.call(editor, **arguments, new_str="")
        desk.log[:] = known
        text = await found(desk, {**arguments, "new_str": ""})
        assert "is not what" not in text
