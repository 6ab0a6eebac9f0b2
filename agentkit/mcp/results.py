"""What a server answers to a call, as text that the model can read."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from agentkit.tool import ToolContext, ToolResult

if TYPE_CHECKING:
    from mcp_types import CallToolResult

MOST_BLOCKS = 1_000


async def as_tool_result(answer: CallToolResult, context: ToolContext) -> ToolResult:
    """Texts as they are, other content by name and size; an error is a failed result.

    Bytes (images, sound, files) are kept in the session's content store, for people to look at.
    """
    kept: list[dict[str, Any]] = []
    parts = [await _block(block, context, kept) for block in answer.content[:MOST_BLOCKS]]
    if len(answer.content) > MOST_BLOCKS:
        parts.append(f"[{len(answer.content) - MOST_BLOCKS} more parts were left out]")
    structured: Any = answer.structured_content
    if structured is not None and not any(block.type == "text" for block in answer.content):
        parts.append(json.dumps(structured, ensure_ascii=False))
    text = "\n\n".join(part for part in parts if part.strip())
    if answer.is_error:
        return ToolResult(f"ERROR: {text or 'the server says no more'}", ok=False, data=_data(kept))
    return ToolResult(text or "(no output)", data=_data(kept))


def _data(kept: list[dict[str, Any]]) -> dict[str, Any]:
    return {"contents": kept} if kept else {}


async def _block(block: Any, context: ToolContext, kept: list[dict[str, Any]]) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return await _bytes(block.type, block.data, block.mime_type, context, kept)
        case "resource_link":
            about = f": {block.description}" if block.description else ""
            return f"[resource {block.name} at {block.uri}{about}]"
        case "resource":
            found = block.resource
            if hasattr(found, "text"):
                return f"[resource {found.uri}]\n{found.text}"
            kind = f"resource {found.uri}"
            return await _bytes(kind, found.blob, found.mime_type or "", context, kept)
        case other:
            return f"[content of the unknown type {other!r} was left out]"


async def _bytes(
    kind: str, data: str, mime: str, context: ToolContext, kept: list[dict[str, Any]]
) -> str:
    """A note in the place of bytes, which stay in the session's store."""
    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error:
        return f"[{kind}, {mime or 'type unknown'}: its data is damaged]"
    name = await context.keep(raw)
    kept.append({"name": name, "mime": mime, "bytes": len(raw)})
    return f"[{kind}, {mime or 'type unknown'}, {len(raw):,} bytes: kept for the user, not shown]"
