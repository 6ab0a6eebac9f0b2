"""``str_replace_editor`` on real files in a real sandbox."""

from __future__ import annotations

import anyio
import pytest

from agentkit.tool import Claim
from agentkit.tools.editor import str_replace_editor as editor

from .conftest import Desk


async def test_view_numbers_the_lines(desk: Desk) -> None:
    path = await desk.put("a.txt", "one\n\tindented\n")
    assert await desk.text(editor, command="view", path=path) == "     1\tone\n     2\t\tindented"


async def test_a_relative_path_starts_in_the_workspace(desk: Desk) -> None:
    await desk.put("sub/a.txt", "here\n")
    assert "here" in await desk.text(editor, command="view", path="sub/a.txt")
    assert "here" in await desk.text(editor, command="view", path="./sub/../sub/a.txt")


@pytest.mark.parametrize(
    ("view_range", "shown"),
    [
        ([2, 3], "     2\tl2\n     3\tl3\n[the file has 5 lines]"),
        ([4, -1], "     4\tl4\n     5\tl5"),
        ([4, 99], "     4\tl4\n     5\tl5"),
        ("[1, 1]", "     1\tl1\n[the file has 5 lines]"),
        ([3, 2], "ERROR: view_range [3, 2] is not a range"),
        ([0, 2], "ERROR: view_range [0, 2] is not a range"),
        ([6, 7], "ERROR: view_range starts at line 6, but the file has 5 lines"),
        ([1], "ERROR: view_range needs two numbers"),
    ],
)
async def test_view_range(desk: Desk, view_range: object, shown: str) -> None:
    path = await desk.put("a", "l1\nl2\nl3\nl4\nl5\n")
    text = await desk.text(editor, command="view", path=path, view_range=view_range)
    assert text.startswith(shown)


async def test_a_long_file_ends_with_what_is_missing_and_how_to_go_on(desk: Desk) -> None:
    path = await desk.put("long", "".join(f"line number {n}\n" for n in range(1, 5_001)))
    text = await desk.text(editor, command="view", path=path)
    assert len(text) < 16_300
    last = int(text.splitlines()[-2].split("\t")[0])
    assert text.endswith(
        f"[lines 1-{last} of 5,000 shown; {5_000 - last:,} more lines asked for: "
        f"continue with view_range [{last + 1}, 5000]]"
    )
    rest = await desk.text(editor, command="view", path=path, view_range=[last + 1, 5_000])
    assert rest.startswith(f"{last + 1:>6}\tline number {last + 1}")


async def test_an_endless_line_is_clipped(desk: Desk) -> None:
    path = await desk.put("min.js", "x" * 1_000_000)
    text = await desk.text(editor, command="view", path=path)
    assert len(text) < 3_000
    assert "998,000 more characters" in text


async def test_a_directory_is_listed_two_levels_deep(desk: Desk) -> None:
    for name in ("a.py", "src/b.py", "src/deep/c.py", "node_modules/x/i.js", ".git/config"):
        await desk.put(name, "x")
    text = await desk.text(editor, command="view", path=desk.sandbox.workdir)
    lines = text.splitlines()
    assert lines[:-1] == ["a.py", "node_modules/", "src/", "src/b.py", "src/deep/"]
    assert lines[-1] == f"[{desk.sandbox.workdir} has 3 entries that are not hidden]"


async def test_an_empty_file_and_directory_are_said_so(desk: Desk) -> None:
    await desk.put("empty", "")
    assert await desk.text(editor, command="view", path="empty") == "(empty file)"
    await desk.sh("mkdir nothing")
    assert "0 entries" in await desk.text(editor, command="view", path="nothing")


async def test_a_missing_file_names_its_neighbours(desk: Desk) -> None:
    await desk.put("parser.py", "x")
    said = await desk.refused(editor, command="view", path="parsers.py")
    assert "does not exist. Similar there: parser.py" in said
    said = await desk.refused(editor, command="view", path="/no/such/dir/x")
    assert "neither does its directory" in said


async def test_create_makes_parents_and_keeps_the_text_exactly(desk: Desk) -> None:
    text = await desk.text(editor, command="create", path="new/dir/f", file_text="a\r\nb")
    assert text == f"Created {desk.path('new/dir/f')} (2 lines, CRLF line ends)"
    assert await desk.get("new/dir/f") == b"a\r\nb"


async def test_create_over_a_file_that_was_not_seen_is_refused(desk: Desk) -> None:
    await desk.put("a", "precious\n")
    said = await desk.refused(editor, command="create", path="a", file_text="new\n")
    assert "exists (1 line) and you have not seen it" in said
    assert await desk.get("a") == b"precious\n"
    await desk.call(editor, command="view", path="a")
    await desk.call(editor, command="create", path="a", file_text="new\n")
    assert await desk.get("a") == b"new\n"


async def test_create_may_fill_an_empty_file(desk: Desk) -> None:
    await desk.put("a", "", mode=0o755)
    await desk.call(editor, command="create", path="a", file_text="#!/bin/sh\n")
    stat = await desk.sandbox.stat(desk.path("a"))
    assert stat is not None
    assert stat.mode == 0o755


async def test_str_replace_shows_the_place(desk: Desk) -> None:
    await desk.put("a.py", "".join(f"line{n}\n" for n in range(1, 21)))
    text = await desk.text(
        editor, command="str_replace", path="a.py", old_str="line10\n", new_str="ten\nand more\n"
    )
    lines = text.splitlines()
    assert lines[0] == f"Edited {desk.path('a.py')} (21 lines):"
    assert lines[1] == "     6\tline6"
    assert "    10\tten" in lines
    assert "    11\tand more" in lines
    assert len(lines) < 14


async def test_the_answer_to_a_large_edit_is_short(desk: Desk) -> None:
    await desk.put("a", "start\nX\nend\n")
    new = "".join(f"row {n}\n" for n in range(5_000))
    text = await desk.text(editor, command="str_replace", path="a", old_str="X\n", new_str=new)
    assert len(text) < 1_500
    assert "[… 4,9" in text


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o444])
async def test_the_mode_stays(desk: Desk, mode: int) -> None:
    await desk.put("run", "#!/bin/sh\necho a\n", mode=mode)
    await desk.call(editor, command="str_replace", path="run", old_str="echo a", new_str="echo b")
    stat = await desk.sandbox.stat(desk.path("run"))
    assert stat is not None
    assert stat.mode == mode


async def test_crlf_stays_though_the_model_sends_plain_breaks(desk: Desk) -> None:
    await desk.put("dos.txt", b"one\r\ntwo\r\nthree\r\n")
    text = await desk.text(editor, command="view", path="dos.txt")
    assert text.startswith("[CRLF line ends]\n     1\tone\n")
    await desk.call(
        editor, command="str_replace", path="dos.txt", old_str="one\ntwo\n", new_str="1\n2\n2b\n"
    )
    assert await desk.get("dos.txt") == b"1\r\n2\r\n2b\r\nthree\r\n"


async def test_latin1_and_utf16_stay(desk: Desk) -> None:
    await desk.put("l1", "caf\u00e9 au lait\n".encode("latin-1"))
    await desk.call(editor, command="str_replace", path="l1", old_str="lait", new_str="th\u00e9")
    assert await desk.get("l1") == "caf\u00e9 au th\u00e9\n".encode("latin-1")
    await desk.put("u16", "\ufeffhello\r\n".encode("utf-16-le"))
    await desk.call(editor, command="str_replace", path="u16", old_str="hello", new_str="☃")
    assert await desk.get("u16") == "\ufeff☃\r\n".encode("utf-16-le")


async def test_no_match_leads_to_the_right_text(desk: Desk) -> None:
    await desk.put("a.py", "def f():\n\treturn 1\n")
    said = await desk.refused(
        editor, command="str_replace", path="a.py", old_str="    return 1", new_str="return 2"
    )
    assert "does not occur" in said
    assert "indentation, which is tabs in the file" in said
    assert await desk.get("a.py") == b"def f():\n\treturn 1\n"


async def test_several_matches_are_located(desk: Desk) -> None:
    await desk.put("a", "x\ny\nx\n")
    said = await desk.refused(editor, command="str_replace", path="a", old_str="x", new_str="z")
    assert "occurs 2 times" in said
    assert "at lines 1, 3" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"command": "str_replace", "new_str": "x"}, "str_replace needs old_str"),
        ({"command": "str_replace", "old_str": "", "new_str": "x"}, "old_str is empty"),
        ({"command": "str_replace", "old_str": "a", "new_str": "a"}, "are the same"),
        ({"command": "insert", "new_str": "x"}, "insert needs insert_line"),
        ({"command": "insert", "insert_line": 1}, "insert needs new_str"),
        ({"command": "insert", "insert_line": 9, "new_str": "x"}, "use 0 to 1"),
        ({"command": "insert", "insert_line": -1, "new_str": "x"}, "use 0 to 1"),
        ({"command": "create"}, "create needs file_text"),
        ({"command": "undo_edit"}, "there is no edit"),
        ({"command": "delete"}, "'view' | 'create'"),
        ({"command": "view", "path": " "}, "path is empty"),
        ({"command": "view", "path": "a\0b"}, "NUL"),
    ],
)
async def test_wrong_arguments_are_explained(
    desk: Desk, arguments: dict[str, object], words: str
) -> None:
    await desk.put("a", "a\n")
    assert words in await desk.refused(editor, **{"path": "a", **arguments})
    assert await desk.get("a") == b"a\n"


async def test_str_replace_without_new_str_deletes(desk: Desk) -> None:
    await desk.put("a", "keep\ndrop\n")
    await desk.call(editor, command="str_replace", path="a", old_str="drop\n")
    assert await desk.get("a") == b"keep\n"


async def test_insert_shows_the_new_lines(desk: Desk) -> None:
    await desk.put("a", "1\n2\n")
    text = await desk.text(editor, command="insert", path="a", insert_line=1, new_str="x\ny\n")
    assert await desk.get("a") == b"1\nx\ny\n2\n"
    assert "     2\tx\n     3\ty" in text


async def test_a_file_changed_meanwhile_is_not_edited_but_shown(desk: Desk) -> None:
    await desk.put("a", "one\ntwo\nthree\n")
    await desk.call(editor, command="view", path="a")
    await desk.put("a", "one\n2\nthree\n")
    edit = {"command": "str_replace", "path": "a", "old_str": "three", "new_str": "3"}
    said = await desk.refused(editor, **edit)
    assert "changed since you last saw it" in said
    assert "-two\n+2" in said
    assert await desk.get("a") == b"one\n2\nthree\n"
    await desk.call(editor, **edit)
    assert await desk.get("a") == b"one\n2\n3\n"


@pytest.mark.parametrize(
    "edit",
    [
        {"command": "insert", "insert_line": 0, "new_str": "x"},
        {"command": "create", "file_text": "x"},
    ],
)
async def test_no_edit_touches_a_file_changed_meanwhile(
    desk: Desk, edit: dict[str, object]
) -> None:
    await desk.put("a", "old\n")
    await desk.call(editor, command="view", path="a")
    await desk.put("a", "new\n")
    assert "changed since" in await desk.refused(editor, path="a", **edit)
    assert await desk.get("a") == b"new\n"


async def test_after_a_resume_an_unchanged_file_is_edited_at_once(desk: Desk) -> None:
    await desk.put("a", "one\n")
    await desk.call(editor, command="view", path="a")
    later = desk.resumed()
    await later.call(editor, command="create", path="a", file_text="two\n")
    assert await desk.get("a") == b"two\n"


async def test_after_a_resume_a_changed_file_must_be_viewed(desk: Desk) -> None:
    await desk.put("a", "one\n")
    await desk.call(editor, command="view", path="a")
    await desk.put("a", "uno\n")
    later = desk.resumed()
    edit = {"command": "str_replace", "path": "a", "old_str": "uno", "new_str": "1"}
    assert "View it, then edit it" in await later.refused(editor, **edit)
    assert "View it, then edit it" in await later.refused(editor, **edit)
    await later.call(editor, command="view", path="a")
    await later.call(editor, **edit)
    assert await desk.get("a") == b"1\n"


async def test_a_view_is_recorded_once_per_version(desk: Desk) -> None:
    await desk.put("a", "one\n")
    for _ in range(3):
        await desk.call(editor, command="view", path="a")
    assert [kind for kind, _ in desk.log] == ["observed"]


async def test_what_another_lane_wrote_is_news_to_this_one(desk: Desk) -> None:
    await desk.put("a", "one\ntwo\n")
    await desk.call(editor, command="view", path="a")
    strong = desk.on_lane("strong")
    await strong.call(editor, command="str_replace", path="a", old_str="one", new_str="1")
    said = await desk.refused(editor, command="str_replace", path="a", old_str="two", new_str="2")
    assert "changed since" in said


async def test_parallel_edits_of_one_file_all_land(desk: Desk) -> None:
    await desk.put("a", "".join(f"<{n}>\n" for n in range(12)))
    async with anyio.create_task_group() as group:
        for n in range(12):
            path = desk.path("a") if n % 2 else "a"  # two names for one file

            async def edit(n: int = n, path: str = path) -> None:
                await desk.call(
                    editor, command="str_replace", path=path, old_str=f"<{n}>", new_str=f"[{n}]"
                )

            group.start_soon(edit)
    assert await desk.get("a") == "".join(f"[{n}]\n" for n in range(12)).encode()


def test_calls_on_one_file_are_ordered_and_views_may_overlap() -> None:
    def claims(command: str, path: str) -> Claim:
        return editor.claims({"command": command, "path": path})[0]

    assert claims("create", "/w/a").conflicts(claims("str_replace", "/w/x/../a"))
    assert not claims("create", "/w/a").conflicts(claims("create", "/w/b"))
    assert not claims("view", "/w/a").conflicts(claims("view", "/w/a"))
    assert claims("view", "/w/a").conflicts(claims("insert", "/w/a"))
    assert claims("create", "a").conflicts(claims("str_replace", "/w/a"))
    assert not editor.reads_only


async def test_undo_takes_back_edit_by_edit(desk: Desk) -> None:
    original = b"\xef\xbb\xbfone\r\ntwo\r\n"
    await desk.put("a", original)
    await desk.call(editor, command="str_replace", path="a", old_str="one", new_str="1")
    await desk.call(editor, command="insert", path="a", insert_line=2, new_str="end")
    text = await desk.text(editor, command="undo_edit", path="a")
    assert text.startswith(f"Took back the last edit of {desk.path('a')}:\n")
    assert await desk.get("a") == b"\xef\xbb\xbf1\r\ntwo\r\n"
    await desk.call(editor, command="undo_edit", path="a")
    assert await desk.get("a") == original
    assert "there is no edit" in await desk.refused(editor, command="undo_edit", path="a")


async def test_undo_of_a_new_file_removes_it(desk: Desk) -> None:
    await desk.call(editor, command="create", path="a", file_text="x")
    assert "Removed" in await desk.text(editor, command="undo_edit", path="a")
    assert await desk.sandbox.stat(desk.path("a")) is None
    await desk.put("a", "someone else's\n")
    said = await desk.refused(editor, command="create", path="a", file_text="y")
    assert "you have not seen it" in said


async def test_undo_works_after_a_resume(desk: Desk) -> None:
    await desk.put("a", "one\ntwo\n")
    await desk.call(editor, command="str_replace", path="a", old_str="one", new_str="1")
    await desk.call(editor, command="str_replace", path="a", old_str="two", new_str="2")
    await desk.call(editor, command="undo_edit", path="a")
    await desk.resumed().call(editor, command="undo_edit", path="a")
    assert await desk.get("a") == b"one\ntwo\n"


async def test_undo_is_refused_where_others_changed_the_file(desk: Desk) -> None:
    await desk.put("a", "one\n")
    await desk.call(editor, command="str_replace", path="a", old_str="one", new_str="1")
    await desk.put("a", "1\nmore\n")
    said = await desk.refused(editor, command="undo_edit", path="a")
    assert "changed after your last edit" in said
    assert await desk.get("a") == b"1\nmore\n"


@pytest.mark.parametrize(
    "name",
    [
        "with space.txt",
        "line\nbreak",
        "quote'\"`$(touch pwned).txt",
        "-rf",
        "--help",
        "*?[a]",
        "é☃",
        "back\\slash",
    ],
)
async def test_odd_names_are_only_names(desk: Desk, name: str) -> None:
    path = desk.path(name)
    await desk.call(editor, command="create", path=path, file_text="one\n")
    await desk.call(editor, command="str_replace", path=path, old_str="one", new_str="1")
    assert "1" in await desk.text(editor, command="view", path=path)
    assert name.replace("\n", "\\n") in await desk.text(editor, command="view", path=".")
    await desk.call(editor, command="undo_edit", path=path)
    assert await desk.sandbox.read_file(path) == b"one\n"
    await desk.call(editor, command="undo_edit", path=path)
    assert await desk.sandbox.list_dir(desk.sandbox.workdir) == []


async def test_an_edit_through_a_link_changes_the_file_and_keeps_the_link(desk: Desk) -> None:
    await desk.put("real", "one\n")
    await desk.sh("ln -s real link")
    await desk.call(editor, command="str_replace", path="link", old_str="one", new_str="1")
    assert await desk.get("real") == b"1\n"
    assert (await desk.sh("readlink link")).strip() == "real"


async def test_a_broken_link_and_a_link_loop_are_words(desk: Desk) -> None:
    await desk.sh("ln -s nowhere broken; ln -s loop loop")
    assert await desk.refused(editor, command="view", path="broken")
    assert await desk.refused(editor, command="str_replace", path="loop", old_str="a")


async def test_a_directory_is_not_edited(desk: Desk) -> None:
    await desk.sh("mkdir d")
    assert "directory" in await desk.refused(editor, command="create", path="d", file_text="x")
    assert "directory" in await desk.refused(editor, command="str_replace", path="d", old_str="x")


async def test_a_device_is_not_viewed(desk: Desk) -> None:
    said = await desk.refused(editor, command="view", path="/dev/zero")
    assert "neither a file nor a directory" in said


async def test_binary_is_refused(desk: Desk) -> None:
    await desk.put("bin", b"\x7fELF\0\x01")
    said = await desk.refused(editor, command="view", path="bin")
    assert "is not a text file (it holds NUL bytes; 6 bytes)" in said


async def test_a_huge_file_is_for_the_shell(desk: Desk) -> None:
    await desk.sh("truncate -s 20M huge 2>/dev/null || dd if=/dev/zero of=huge bs=1M count=20")
    said = await desk.refused(editor, command="view", path="huge")
    assert "larger than 16 MB; use bash" in said
