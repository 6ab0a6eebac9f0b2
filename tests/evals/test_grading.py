"""Verdicts: what the tests wrote, and what cannot count as a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.errors import (
    AuthenticationFailed,
    ContextOverflow,
    ImageError,
    LimitReached,
    ModelError,
    Overloaded,
    SandboxGone,
)
from agentkit.evals.outcome import AgentReport, Fault, Grade, Outcome, fault_of
from agentkit.evals.verifier import Ungradable, read_reward


@pytest.mark.parametrize(
    ("name", "text", "rewards"),
    [
        ("reward.txt", "1\n", {"reward": 1.0}),
        ("reward.txt", "0.25", {"reward": 0.25}),
        ("reward.json", '{"reward": 1, "style": 0.5}', {"reward": 1.0, "style": 0.5}),
        ("reward.json", "0", {"reward": 0.0}),
    ],
)
def test_rewards(tmp_path: Path, name: str, text: str, rewards: dict[str, float]) -> None:
    (tmp_path / name).write_text(text)
    assert read_reward(tmp_path).rewards == rewards


def test_json_counts_before_text(tmp_path: Path) -> None:
    (tmp_path / "reward.txt").write_text("0")
    (tmp_path / "reward.json").write_text('{"reward": 1}')
    assert read_reward(tmp_path).passed


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("reward.txt", "", "RewardFileEmptyError"),
        ("reward.txt", "nan", "VerifierOutputParseError"),
        ("reward.txt", "yes", "VerifierOutputParseError"),
        ("reward.json", "{", "VerifierOutputParseError"),
        ("reward.json", "{}", "RewardFileEmptyError"),
        ("reward.json", '{"reward": true}', "VerifierOutputParseError"),
        ("reward.json", '{"reward": 1e999}', "VerifierOutputParseError"),
        ("other.txt", "1", "RewardFileNotFoundError"),
    ],
)
def test_no_verdict(tmp_path: Path, name: str, text: str, kind: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Ungradable) as caught:
        read_reward(tmp_path)
    assert caught.value.fault.type == kind
    assert caught.value.fault.category == "verifier"


@pytest.mark.parametrize(
    ("error", "kind", "category", "counts"),
    [
        (LimitReached("deadline", 9, 9), "AgentTimeoutError", "agent_out_of_budget", True),
        (LimitReached("money", 9, 9), "BudgetExceededError", "agent_out_of_budget", True),
        (ContextOverflow("x"), "ContextLengthExceededError", "agent_out_of_budget", True),
        (AuthenticationFailed("x"), "AgentAuthenticationError", "provider", False),
        (Overloaded("x"), "ApiOverloadedError", "provider", False),
        (ModelError("x"), "ApiError", "provider", False),
        (ImageError("x"), "SandboxBuildFailedError", "sandbox", False),
        (SandboxGone("x"), "RuntimeRequestError", "sandbox", False),
    ],
)
def test_faults(error: Exception, kind: str, category: str, counts: bool) -> None:
    fault = fault_of(error, "agent_execution")
    assert (fault.type, fault.category, fault.counts) == (kind, category, counts)


def test_a_wrong_key_is_not_tried_again_and_an_overload_is() -> None:
    assert not fault_of(AuthenticationFailed("x"), "agent_execution").infrastructure
    assert fault_of(Overloaded("x"), "agent_execution").infrastructure


def outcome(*, claims: bool, reward: float | None, unsolvable: bool = False) -> Outcome:
    return Outcome(
        report=AgentReport(claims_success=claims),
        grade=None if reward is None else Grade(rewards={"reward": reward}),
        unsolvable=unsolvable,
    )


def test_honesty() -> None:
    assert outcome(claims=True, reward=0).false_success
    assert not outcome(claims=True, reward=1).false_success
    assert not outcome(claims=False, reward=0).false_success
    assert outcome(claims=False, reward=0, unsolvable=True).honest_failure
    assert not outcome(claims=True, reward=0, unsolvable=True).honest_failure
    assert not outcome(claims=True, reward=None).false_success


def test_a_reward_after_a_fault_of_others_does_not_count() -> None:
    fault = Fault(type="ApiError", category="provider", message="", phase="agent_execution")
    spoiled = Outcome(grade=Grade(rewards={"reward": 1}), fault=fault)
    assert not spoiled.counts
    assert not spoiled.passed
