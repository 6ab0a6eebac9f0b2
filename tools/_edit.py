"""The operations of ``str_replace_editor`` on one file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from anyio import to_thread

from agentkit.errors import ToolError
from agentkit.sandbox import Sandbox
from agentkit.tool import ToolContext, ToolResult
from agentkit.tools import _paths, _view
from agentkit.tools._document import Document, NotText, plain
from agentkit.tools._match import explain_missing, line_at, occurrences
from agentkit.tools._observed import Change, Changes, Observations, digest
from agentkit.tools._text import counted

_MOST_PLACES = 20


class FileEdit:
    """One call on one file."""

    def __init__(self, context: ToolContext, sandbox: Sandbox, path: str) -> None:
        self._sandbox = sandbox
        self._path = path
        self._observed = Observations.of(context)
        self._changes = Changes.of(context)

    async def view(self, view_range: Sequence[int] | None) -> ToolResult:
        """Numbered lines of the file, or the names in the directory."""
        found = await self._sandbox.stat(self._path)
        if found is None:
            raise await _paths.not_found(self._sandbox, self._path)
        if found.kind == "directory":
            return ToolResult(await _view.directory(self._sandbox, self._path))
        if found.kind == "other":
            raise ToolError(f"{self._path} is neither a file nor a directory")
        data = await self._bytes()
        document = self._document(data)
        content = _view.show(document, view_range)
        self._observed.note(self._path, data, document.text)
        return ToolResult(content, display=f"{self._path}, {counted(len(document.lines), 'line')}")

    async def create(self, file_text: str) -> ToolResult:
        """Write a whole file; one that exists must have been seen as it is."""
        before = await _paths.read(self._sandbox, self._path)
        if not before:
            return await self._save(before, Document.new(file_text), "Created")
        old = self._document(before)
        if not self._observed.seen(self._path):
            raise ToolError(
                f"{self._path} exists ({counted(len(old.lines), 'line')}) and you have not seen "
                "it. View it first; to change a part of it use str_replace"
            )
        self._refuse_if_stale(before, old)
        return await self._save(before, old.rewrite(file_text), "Rewrote")

    async def replace(self, old_str: str, new_str: str) -> ToolResult:
        """Replace the one occurrence of a text."""
        before = await self._bytes()
        document = self._document(before)
        self._refuse_if_stale(before, document)
        old, new = plain(old_str), plain(new_str)
        if not old:
            raise ToolError("old_str is empty. Use insert to add lines, create to write a file")
        places = occurrences(document.text, old)
        if not places:
            # Seconds in a large file, and other sessions share this event loop.
            why = await to_thread.run_sync(explain_missing, document.text, old)
            raise ToolError(f"old_str does not occur in {self._path}; nothing was changed. {why}")
        if len(places) > 1:
            raise ToolError(_ambiguous(self._path, document.text, places))
        if old == new:
            raise ToolError("old_str and new_str are the same; nothing was changed")
        start = places[0]
        after = document.splice(start, start + len(old), new)
        first = line_at(after.text, start)
        return await self._save(before, after, "Edited", first, first + new.count("\n"))

    async def insert(self, insert_line: int, new_str: str) -> ToolResult:
        """Insert whole lines after a line."""
        before = await self._bytes()
        document = self._document(before)
        self._refuse_if_stale(before, document)
        total = len(document.lines)
        if not 0 <= insert_line <= total:
            raise ToolError(
                f"insert_line {insert_line} is outside the file, which has "
                f"{counted(total, 'line')}: use 0 to {total}"
            )
        after = document.insert_lines(insert_line, new_str)
        last = insert_line + len(after.lines) - total
        return await self._save(before, after, "Edited", insert_line + 1, last)

    async def undo(self) -> ToolResult:
        """Take back the last edit."""
        change = self._changes.last(self._path)
        if change is None:
            raise ToolError(f"there is no edit of {self._path} to take back")
        data = await self._bytes()
        if digest(data) != change.after:
            raise ToolError(
                f"{self._path} changed after your last edit of it, so that edit cannot be taken "
                "back by itself. View the file and edit it"
            )
        if change.created:
            await self._remove()
            self._changes.pop(self._path)
            self._observed.forget(self._path)
            return ToolResult(
                f"Removed {self._path}: it did not exist before your edit",
                data={"path": self._path, "before": digest(data), "after": digest(b"")},
            )
        before = change.undo(data)
        await _paths.write(self._sandbox, self._path, before)
        self._changes.pop(self._path)
        document = self._document(before)
        self._observed.note(self._path, before, document.text)
        first, last = _lines_of(change, before)
        return ToolResult(
            f"Took back the last edit of {self._path}:\n{_view.snippet(document, first, last)}",
            display=f"undo {self._path}",
            data={"path": self._path, "before": digest(data), "after": digest(before)},
        )

    async def _save(
        self, before: bytes | None, after: Document, verb: str, first: int = 0, last: int = 0
    ) -> ToolResult:
        """Write the new version; show its changed lines where they were not sent as a whole."""
        data = after.to_bytes()
        if data == before:
            return ToolResult(f"{self._path} has exactly this content already")
        await _paths.write(self._sandbox, self._path, data)
        self._changes.push(Change.between(self._path, before, data))
        self._observed.note(self._path, data, after.text)
        size = counted(len(after.lines), "line")
        traits = f", {after.traits}" if after.traits else ""
        content = f"{verb} {self._path} ({size}{traits})"
        if first:
            content += f":\n{_view.snippet(after, first, last)}"
        versions = {"before": digest(before or b""), "after": digest(data)}
        return ToolResult(
            content,
            display=f"{verb.lower()} {self._path}",
            data={"path": self._path, **versions},
        )

    async def _bytes(self) -> bytes:
        data = await _paths.read(self._sandbox, self._path)
        if data is None:
            raise await _paths.not_found(self._sandbox, self._path)
        return data

    def _document(self, data: bytes) -> Document:
        try:
            return Document.from_bytes(data)
        except NotText as error:
            raise ToolError(
                f"{self._path} is not a text file ({error}; {counted(len(data), 'byte')}). "
                "Use bash for it, for instance file, xxd or a script"
            ) from error

    def _refuse_if_stale(self, data: bytes, document: Document) -> None:
        """Refuse to edit a version that the model has not seen, and show it what is new."""
        if not self._observed.stale(self._path, data):
            return
        difference = self._observed.difference(self._path, document.text)
        if not difference:
            raise ToolError(
                f"{self._path} changed since you last saw it; nothing was changed. View it, then "
                "edit it"
            )
        self._observed.note(self._path, data, document.text)
        raise ToolError(
            f"{self._path} changed since you last saw it, not by you; nothing was changed. This "
            f"is what is different now:\n{difference}\nSend the edit again if it still fits"
        )

    async def _remove(self) -> None:
        removed = await self._sandbox.exec(f"rm -f -- {shlex.quote(self._path)}")
        if not removed.ok:
            raise ToolError(f"{self._path} could not be removed")


def _ambiguous(path: str, text: str, places: list[int]) -> str:
    lines = [str(line_at(text, place)) for place in places[:_MOST_PLACES]]
    more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
    return (
        f"old_str occurs {len(places)} times in {path}, at lines {', '.join(lines)}{more}; nothing "
        "was changed. Add neighbouring lines until it occurs once"
    )


def _lines_of(change: Change, data: bytes) -> tuple[int, int]:
    """The lines that the bytes of an undone edit stand on now."""
    first = data.count(b"\n", 0, change.offset) + 1
    return first, first + change.removed.count(b"\n")
