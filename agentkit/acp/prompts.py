"""What a person at an editor says, as the text that the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acp import RequestError
from acp.schema import (
    AudioContentBlock,
    EmbeddedResourceContentBlock,
    ImageContentBlock,
    ResourceContentBlock,
    TextContentBlock,
    TextResourceContents,
)

from agentkit.acp.opening import Places
from agentkit.acp.problems import INVALID_PARAMS

Block = (
    TextContentBlock
    | ImageContentBlock
    | AudioContentBlock
    | ResourceContentBlock
    | EmbeddedResourceContentBlock
)


def as_text(blocks: Sequence[Block | Any], places: Places) -> str:
    """One text of all blocks: links become the file's name in the sandbox, contents follow.

    Raises:
        RequestError: a picture or a sound, which this agent does not read, or nothing at all.
    """
    said: list[str] = []
    shown: list[str] = []
    for block in blocks:
        match block:
            case TextContentBlock():
                said.append(block.text)
            case ResourceContentBlock():
                said.append(_inline(places.to_sandbox(block.uri)))
            case EmbeddedResourceContentBlock():
                name = places.to_sandbox(block.resource.uri)
                said.append(_inline(name))
                shown.append(_content(block, name))
            case _:
                raise RequestError(
                    INVALID_PARAMS, f"this agent reads text; {block.type} cannot be read", None
                )
    text = "\n\n".join(["".join(said).strip(), *shown])
    if not text.strip():
        raise RequestError(INVALID_PARAMS, "the prompt is empty", None)
    return text


def _inline(name: str) -> str:
    return f"`{name}`"


def _content(block: EmbeddedResourceContentBlock, name: str) -> str:
    """The content that the editor sent along; it may be newer than what is on disk."""
    resource = block.resource
    if isinstance(resource, TextResourceContents):
        return f"[Content of {name}]\n{resource.text}\n[End of {name}]"
    return f"[{name} is binary and not shown here]"
