"""The published rules of ATIF v1.8 (harbor 0.24, read 2026-11), as a check of any document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class _Source(_Strict):
    media_type: Literal[
        "image/jpeg", "image/png", "image/gif", "image/webp", "audio/wav", "audio/mpeg"
    ]
    path: str


class _Part(_Strict):
    type: Literal["text", "image", "audio"]
    text: str | None = None
    source: _Source | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> _Part:
        if (self.type == "text") != (self.text is not None) or (self.type == "text") == (
            self.source is not None
        ):
            raise ValueError("a text part has text, any other one a source")
        return self


class _Call(_Strict):
    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]
    extra: dict[str, Any] | None = None


class _Reference(_Strict):
    session_id: str | None = None
    trajectory_id: str | None = None
    trajectory_path: str | None = None
    extra: dict[str, Any] | None = None


class _Result(_Strict):
    source_call_id: str | None = None
    content: str | list[_Part] | None = None
    subagent_trajectory_ref: list[_Reference] | None = None
    extra: dict[str, Any] | None = None


class _Observation(_Strict):
    results: list[_Result]


class _Metrics(_Strict):
    prompt_tokens: int | None = Field(None, ge=0)
    completion_tokens: int | None = Field(None, ge=0)
    cached_tokens: int | None = Field(None, ge=0)
    cost_usd: float | None = Field(None, ge=0)
    prompt_token_ids: list[int] | None = None
    completion_token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _cached_is_part(self) -> _Metrics:
        if (self.cached_tokens or 0) > (self.prompt_tokens or 0):
            raise ValueError("prompt_tokens includes the cached ones")
        return self


class _Step(_Strict):
    step_id: int = Field(ge=1)
    timestamp: str | None = None
    source: Literal["system", "user", "agent"]
    message: str | list[_Part]
    reasoning_content: str | None = None
    reasoning_effort: str | float | None = None
    model_name: str | None = None
    tool_calls: list[_Call] | None = None
    observation: _Observation | None = None
    metrics: _Metrics | None = None
    llm_call_count: int | None = Field(None, ge=0)
    is_copied_context: bool | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> _Step:
        from datetime import datetime

        if self.timestamp is not None:
            datetime.fromisoformat(self.timestamp)
        only = ("reasoning_content", "reasoning_effort", "model_name", "tool_calls", "metrics")
        if self.source != "agent":
            wrong = [name for name in only if getattr(self, name) is not None]
            if wrong:
                raise ValueError(f"{', '.join(wrong)} on a step of the {self.source}")
        ids = {call.tool_call_id for call in self.tool_calls or ()}
        for result in self.observation.results if self.observation else ():
            if result.source_call_id is not None and result.source_call_id not in ids:
                raise ValueError(f"{result.source_call_id!r} is no call of this step")
        return self


class _Agent(_Strict):
    name: str
    version: str
    model_name: str | None = None
    tool_definitions: list[dict[str, Any]] | None = None
    extra: dict[str, Any] | None = None


class _Totals(_Strict):
    total_prompt_tokens: int | None = Field(None, ge=0)
    total_completion_tokens: int | None = Field(None, ge=0)
    total_cached_tokens: int | None = Field(None, ge=0)
    total_cost_usd: float | None = Field(None, ge=0)
    total_steps: int | None = Field(None, ge=0)
    extra: dict[str, Any] | None = None


class _Trajectory(_Strict):
    schema_version: Literal["ATIF-v1.8"]
    session_id: str | None = None
    trajectory_id: str | None = None
    agent: _Agent
    steps: list[_Step] = Field(min_length=1)
    notes: str | None = None
    final_metrics: _Totals | None = None
    continued_trajectory_ref: str | None = None
    extra: dict[str, Any] | None = None
    subagent_trajectories: list[_Trajectory] | None = None

    @model_validator(mode="after")
    def _numbered(self) -> _Trajectory:
        for expected, step in enumerate(self.steps, 1):
            if step.step_id != expected:
                raise ValueError(f"step {expected} has the step_id {step.step_id}")
        below = [each.trajectory_id for each in self.subagent_trajectories or ()]
        if None in below or len(below) != len(set(below)):
            raise ValueError("each subagent trajectory needs a trajectory_id of its own")
        return self


def problems(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with the document, each with its place; empty where it is valid."""
    try:
        _Trajectory.model_validate(document)
    except ValidationError as error:
        return [
            f"{'.'.join(str(part) for part in each['loc']) or 'document'}: {each['msg']}"
            for each in error.errors()
        ]
    return []
