"""The shape of a chat completion request: which field holds what.

What does not have this shape is answered with 422 before anything else is looked at, as the
provider does when it cannot read a body (deepseek-recipe 0.2.0, 2026-10, which words it its own
way: what pydantic found is told here instead, the status is the same). Unknown fields pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError

_Number = StrictInt | StrictFloat
_Byte = Annotated[int, Field(ge=0, lt=2**8)]
_Count = Annotated[int, Field(ge=0, lt=2**32)]
_Seed = Annotated[int, Field(ge=0, lt=2**64)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Typed(_Shape):
    type: Literal["function"]


class _Text(_Shape):
    type: Literal["text"]
    text: str


class _ImageUrl(_Shape):
    url: str
    detail: Literal["low", "high", "original", "auto"] | None = None


class _Image(_Shape):
    type: Literal["image_url"]
    image_url: _ImageUrl


_Part = Annotated[_Text | _Image, Field(discriminator="type")]
_Content = str | list[_Part]


class _System(_Shape):
    role: Literal["system"]
    content: _Content
    name: str | None = None


class _User(_Shape):
    role: Literal["user"]
    content: _Content
    name: str | None = None


class _Called(_Shape):
    name: str
    arguments: str


class _Call(_Typed):
    id: str
    function: _Called


class _Assistant(_Shape):
    role: Literal["assistant"]
    content: _Content | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    prefix: bool | None = None


class _Result(_Shape):
    role: Literal["tool"]
    content: _Content
    tool_call_id: str


class _Reminder(_Shape):
    role: Literal["latest_reminder"]
    content: str


_Message = Annotated[
    _System | _User | _Assistant | _Result | _Reminder, Field(discriminator="role")
]


class _Function(_Shape):
    name: str
    description: str | None = None
    parameters: Any = None
    strict: bool | None = None


class _Tool(_Typed):
    function: _Function


class _Named(_Shape):
    name: str


class _Choice(_Typed):
    function: _Named


class _Thinking(_Shape):
    type: Literal["enabled", "disabled", "adaptive"]


class _Format(_Shape):
    type: Literal["json_object", "json_schema", "regex", "text"]


class _StreamOptions(_Shape):
    include_usage: bool | None = None


class _Request(_Shape):
    model: str
    messages: list[_Message]
    thinking: _Thinking | None = None
    reasoning_effort: (
        Literal["none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max"] | None
    ) = None
    max_tokens: _Count | None = None
    response_format: _Format | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: _Number | None = None
    top_p: _Number | None = None
    frequency_penalty: _Number | None = None
    presence_penalty: _Number | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Choice | None = None
    logprobs: bool | None = None
    top_logprobs: _Byte | None = None
    seed: _Seed | None = None
    n: _Byte | None = None


def misshapen(request: Mapping[str, Any]) -> str:
    """What cannot be read, "" where all can."""
    try:
        _Request.model_validate(request)
    except ValidationError as error:
        return f"invalid request body: {_words(error.errors(include_url=False)[0])}"
    return ""


def _words(finding: Any) -> str:
    """The vendor's words where it is one of its plain cases, else pydantic's."""
    context: Mapping[str, Any] = finding.get("ctx", {})
    expected = str(context.get("expected") or context.get("expected_tags") or "")
    variants = [f"`{each}`" for each in re.findall(r"'([^']+)'", expected)]
    if finding["type"] == "missing":
        return f"missing field `{finding['loc'][-1]}`"
    if finding["type"] in ("literal_error", "union_tag_invalid") and variants:
        got = context.get("tag", finding["input"])
        several = "one of " if len(variants) > 1 else ""
        return f"unknown variant `{got}`, expected {several}{', '.join(variants)}"
    place = ".".join(str(part) for part in finding["loc"])
    return f"{place}: {finding['msg']}"
