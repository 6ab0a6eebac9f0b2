"""Errors are told apart by status and message, in the shapes of several servers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agentkit.errors import (
    AuthenticationFailed,
    BalanceEmpty,
    ConcurrencyLimited,
    ContentRefused,
    ContextOverflow,
    ModelError,
    ModelRetired,
    ModelUnknown,
    Overloaded,
    RateLimited,
    RequestInvalid,
    ServerFault,
)
from agentkit.models.faults import classify, message_of, retry_after
from agentkit.testing.faults import HTTP

CASES: list[tuple[int, str, type[ModelError]]] = [
    (401, "Authentication Fails", AuthenticationFailed),
    (403, "forbidden", AuthenticationFailed),
    (402, "Insufficient Balance", BalanceEmpty),
    (429, "insufficient_quota: you exceeded your quota", BalanceEmpty),
    (429, "Rate limit reached for TPM", RateLimited),
    (400, "This model's maximum context length is 1048576 tokens.", ContextOverflow),
    (400, "request (6013 tokens) exceeds the available context size (4096)", ContextOverflow),
    (413, "Payload Too Large", ContextOverflow),
    (404, "The model `x` does not exist.", ModelUnknown),
    (400, "Model Not Exist", ModelUnknown),
    (400, "Content Exists Risk", ContentRefused),
    (400, "Missing field", RequestInvalid),
    (422, "unknown variant `huge`", RequestInvalid),
    (307, "", RequestInvalid),
    (503, "Loading model", Overloaded),
    (529, "overloaded", Overloaded),
    (500, "boom", ServerFault),
    (504, "<html><h1>Gateway Time-out</h1></html>", ServerFault),
]


@pytest.mark.parametrize(("status", "message", "kind"), CASES)
def test_status_and_message_decide(status: int, message: str, kind: type[ModelError]) -> None:
    error = classify(status, json.dumps({"error": {"message": message, "code": "whatever"}}))
    assert type(error) is kind
    assert error.status == status
    assert message in str(error)


@pytest.mark.parametrize(
    "text",
    [
        '{"error": {"message": "what is wrong"}}',
        '{"error": "what is wrong"}',
        '{"object": "error", "message": "what is wrong"}',
        '{"detail": "what is wrong"}',
        "<html><body>what is\n wrong</body></html>",
    ],
)
def test_the_sentence_is_found_in_every_shape(text: str) -> None:
    assert message_of(text) == "what is wrong"


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"error": null}', "\x00"])
def test_a_body_without_sense_is_survived(text: str) -> None:
    assert isinstance(classify(400, text), RequestInvalid)
    assert isinstance(classify(500, text), ServerFault)


def test_a_retired_model_names_its_successor() -> None:
    text = json.dumps(HTTP["400-model"].body)
    error = classify(400, text, model="deepseek-reasoner")
    assert isinstance(error, ModelRetired)
    assert "2026-07-24; use deepseek-flash with thinking" in error.hint
    assert "deepseek-v4-pro" in classify(400, text, model="gpt-9").hint


def test_a_stated_limit_of_concurrency() -> None:
    error = classify(429, json.dumps(HTTP["429-balance"].body))
    assert isinstance(error, ConcurrencyLimited)
    assert error.concurrency == 25
    assert "top up" in error.hint
    nothing = "exceeds your concurrency limit of 0 based on your remaining balance"
    assert type(classify(429, nothing)) is BalanceEmpty


def test_the_providers_id_of_the_request_is_kept() -> None:
    assert classify(500, "", {"x-ds-trace-id": "abc"}).request_id == "abc"


def test_retry_after_in_seconds_and_as_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < (retry_after({"retry-after": date}) or 0) <= 60
    for useless in ("", "soon", "1e9", "nan"):
        assert retry_after({"retry-after": useless}) is None
    assert retry_after({"retry-after": "-5"}) == 0.0
