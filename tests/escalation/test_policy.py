"""The decision: evidence, calm, caps, money, price."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import UsageError
from agentkit.escalation import (
    Caps,
    Decision,
    Evidence,
    LaneSize,
    Policy,
    Reaction,
    Situation,
    Sizes,
    Target,
    Thresholds,
    Work,
    decide,
    step_down,
)
from agentkit.escalation.policy import SUITS, WEIGHTS
from agentkit.escalation.prices import FORMS
from agentkit.ladder import Ladder
from agentkit.models.catalogue import Catalogue

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
TARGETS = tuple(Target.of(rung, Catalogue.load(), AT) for rung in Ladder.preset("flash-pro").rungs)
FAILED, AGAIN = Evidence("check-failed", 4), Evidence("check-failed-again", 6)
POLICY = Policy()


def situation(*evidence: Evidence, tokens: int = 30_000, **more: Any) -> Situation:
    fields: dict[str, Any] = {"turn": 9, "rung": 0, "targets": TARGETS}
    fields["lane"] = LaneSize(tokens, cached=tokens - 2_000, head=3_000)
    return Situation(**fields | more, evidence=evidence)


def named(decision: Decision) -> set[str]:
    return {each.name for each in decision.offers if not each.refused}


def test_weak_evidence_changes_nothing() -> None:
    decision = decide(situation(Evidence("call-repeated", 3)), POLICY)
    assert (decision.action, decision.offers) == ("none", ())
    assert "0.5" in decision.reason
    assert decide(situation(), POLICY).action == "none"


def test_the_first_reaction_costs_nothing() -> None:
    decision = decide(situation(FAILED), POLICY)
    assert (decision.action, decision.rung) == ("note", 0)
    assert named(decision) == {"note deepseek-flash·high"}


def test_more_evidence_opens_dearer_forms() -> None:
    decision = decide(situation(FAILED, AGAIN), POLICY)
    assert decision.action == "consult"
    assert not any(name.startswith(("hand-off", "move")) for name in named(decision))
    third = decide(situation(FAILED, AGAIN, Evidence("check-failed-again", 8)), POLICY)
    assert any(name.startswith("hand-off") for name in named(third))


def test_a_request_for_help_is_answered_with_advice() -> None:
    assert decide(situation(Evidence("help-asked", 3)), POLICY).action == "consult"


def test_the_choice_is_the_least_price_per_rescue() -> None:
    decision = decide(situation(FAILED, AGAIN, Evidence("no-progress", 8)), POLICY)
    allowed = [each for each in decision.offers if not each.refused]
    assert decision.chosen is allowed[0]
    per_rescue = [each.quote.total / each.chance for each in allowed]
    assert per_rescue == sorted(per_rescue)
    assert decision.prices[allowed[0].name] == round(allowed[0].quote.total, 6)
    assert f"${allowed[0].quote.total:.4f}" in decision.reason


def test_a_short_history_is_moved_and_a_long_one_handed_off() -> None:
    evidence = (FAILED, AGAIN, Evidence("check-failed-again", 8))
    policy = replace(POLICY, forms=frozenset({"move", "hand-off"}))
    targets = (TARGETS[0], TARGETS[2])
    for tokens, form in ((4_000, "move"), (500_000, "hand-off")):
        work = Work(turns=8)
        found = decide(situation(*evidence, tokens=tokens, targets=targets, work=work), policy)
        assert found.action == form, tokens


def test_after_a_reaction_there_is_calm_and_then_only_news_count() -> None:
    after = (Reaction("note", 0, turn=8),)
    soon = decide(situation(FAILED, AGAIN, reactions=after), POLICY)
    assert (soon.action, "too early" in soon.reason) == ("none", True)
    later = situation(FAILED, AGAIN, reactions=after, turn=12)
    assert "nothing went wrong since" in decide(later, POLICY).reason
    news = replace(later, evidence=(*later.evidence, Evidence("check-failed-again", 11)))
    assert decide(news, POLICY).action != "none"


def test_caps_per_form_per_rung_and_in_all() -> None:
    evidence = (FAILED, AGAIN, Evidence("check-failed-again", 30))
    used = (Reaction("consult", 2, 10), Reaction("consult", 2, 20))
    policy = replace(POLICY, caps=Caps(consult=2))
    decision = decide(situation(*evidence, turn=30, reactions=used), policy)
    refused = {each.name: each.refused for each in decision.offers if each.refused}
    assert refused["consult deepseek-v4-pro·high"] == "used 2 times"
    on_rung = (Reaction("hand-off", 2, 10), Reaction("re-plan", 2, 20))
    policy = replace(POLICY, caps=Caps(handoff=9, replan=9))
    decision = decide(situation(*evidence, turn=30, reactions=on_rung), policy)
    refused = {each.name: each.refused for each in decision.offers if each.refused}
    assert refused["hand-off deepseek-v4-pro·high"] == "rung entered 2 times"
    assert "hand-off deepseek-v4-pro·max" not in refused
    all_used = tuple(Reaction("consult", 2, turn) for turn in range(6))
    policy = replace(POLICY, caps=Caps(consult=99, note=0))
    decision = decide(situation(*evidence, turn=30, reactions=all_used), policy)
    assert (decision.action, "nothing is left to try" in decision.reason) == ("stop", True)


def test_what_failed_with_a_model_is_worth_less_with_it() -> None:
    evidence = (FAILED, AGAIN, Evidence("check-failed-again", 30))
    fresh = decide(situation(*evidence, turn=30), POLICY)
    tried = (Reaction("hand-off", 3, 10),)
    again = decide(situation(*evidence, turn=30, reactions=tried), POLICY)
    chances = [
        next(o.chance for o in each.offers if o.name == "hand-off deepseek-v4-pro·high")
        for each in (fresh, again)
    ]
    assert chances[1] == pytest.approx(chances[0] * POLICY.again)


def test_money_and_turns_that_are_left_bound_the_price() -> None:
    evidence = (FAILED, AGAIN, Evidence("check-failed-again", 8))
    poor = decide(situation(*evidence, left_usd=0.002), POLICY)
    assert named(poor) == {"note deepseek-flash·high"}
    assert any(each.refused == "too dear for the money left" for each in poor.offers)
    late = decide(situation(*evidence, left_turns=3), POLICY)
    assert named(late) == {"note deepseek-flash·high"}


def test_a_closed_rung_is_never_taken_and_says_why() -> None:
    closed = tuple(
        replace(each, closed="served by the same model") if "pro" in each.name else each
        for each in TARGETS
    )
    decision = decide(situation(FAILED, AGAIN, targets=closed), POLICY)
    assert not any("pro" in name for name in named(decision))
    assert any(each.refused == "served by the same model" for each in decision.offers)


def test_on_the_top_rung_a_new_plan_or_a_fresh_start_is_all_there_is() -> None:
    evidence = (FAILED, AGAIN, Evidence("check-failed-again", 8))
    decision = decide(situation(*evidence, rung=3), POLICY)
    forms = {each.quote.form for each in decision.offers}
    assert forms == {"note", "retry", "re-plan"}
    assert {each.quote.rung for each in decision.offers} == {3}


def test_rollback_only_where_the_attempt_made_things_worse() -> None:
    evidence = (FAILED, AGAIN, Evidence("patch-reverted", 8))
    policy = replace(POLICY, forms=frozenset({"hand-off"}))
    assert decide(situation(*evidence, worse=True), policy).rollback
    assert not decide(situation(*evidence), policy).rollback
    consult = replace(POLICY, forms=frozenset({"consult"}))
    assert not decide(situation(*evidence, worse=True), consult).rollback


def test_a_missing_command_is_not_escalated() -> None:
    evidence = [Evidence("check-cannot-run", turn) for turn in range(1, 9)]
    decision = decide(situation(*evidence, left_usd=1.0), POLICY)
    assert decision.action in ("note", "consult")
    mixed = decide(situation(*evidence, AGAIN, Evidence("no-progress", 8)), POLICY)
    assert mixed.action in ("note", "consult"), "whatever else went wrong as well"


def test_a_model_that_cannot_write_calls_gets_no_advice_first() -> None:
    evidence = [Evidence("calls-invalid", turn) for turn in (2, 4, 6, 8)]
    assert decide(situation(*evidence), POLICY).action in ("retry", "hand-off", "move")


def test_without_prices_the_gentlest_open_form_comes_first() -> None:
    local = tuple(replace(each, price=None) for each in TARGETS)
    evidence = (FAILED, AGAIN, Evidence("check-failed-again", 8))
    decision = decide(situation(*evidence, targets=local), POLICY)
    assert decision.action == "note"
    assert not decision.offers[0].quote.priced


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"share": 1.5}, "share"),
        ({"chances": {"note": -0.1}}, "chances.note"),
        ({"chances": {"pray": 0.1}}, "'pray'"),
        ({"forms": frozenset({"prayer"})}, "'prayer'"),
        ({"cool_down": -1}, "cool_down"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Policy(**settings)


def test_every_form_has_its_threshold_cap_and_chance() -> None:
    for form in FORMS:
        assert Thresholds().of(form) > 0
        assert Caps().of(form) > 0
        assert 0 < POLICY.chances[form] < 1
    assert set(SUITS) <= set(WEIGHTS)


def test_stepping_down_pays_while_the_cheap_lane_is_warm_and_short() -> None:
    flash, pro, work = TARGETS[0], TARGETS[2], Work(turns=6)
    strong = LaneSize(40_000, cached=38_000)
    warm = step_down(LaneSize(60_000, cached=60_000), flash, strong, pro, work, Sizes())
    assert warm.back
    assert warm.back_usd < warm.stay_usd
    cold = step_down(LaneSize(900_000), flash, strong, pro, work, Sizes())
    assert not cold.back, "900k that went cold are dearer to read again than to stay"


KINDS = st.sampled_from(sorted(WEIGHTS))
EVIDENCE = st.builds(Evidence, kind=KINDS, turn=st.integers(0, 60))
REACTIONS = st.builds(
    Reaction, form=st.sampled_from(FORMS), rung=st.integers(0, 3), turn=st.integers(0, 60)
)


@given(
    evidence=st.lists(EVIDENCE, max_size=8),
    reactions=st.lists(REACTIONS, max_size=8),
    tokens=st.integers(1, 10**6),
    rung=st.integers(0, 3),
    left=st.none() | st.floats(0, 5),
    turns=st.none() | st.integers(0, 50),
)
def test_whatever_happens_the_decision_keeps_the_rules(
    evidence: list[Evidence],
    reactions: list[Reaction],
    tokens: int,
    rung: int,
    left: float | None,
    turns: int | None,
) -> None:
    now = situation(
        *evidence, tokens=tokens, turn=61, rung=rung, reactions=tuple(reactions),
        left_usd=left, left_turns=turns,
    )  # fmt: skip
    decision = decide(now, POLICY)
    assert decision == decide(now, POLICY)
    chosen = decision.chosen
    if decision.action in ("none", "stop"):
        assert chosen is None
        assert decision.rung == rung
        return
    assert chosen is not None
    assert not chosen.refused
    assert chosen.quote.rung >= rung
    used = [each for each in reactions if each.form == decision.action]
    assert len(used) < POLICY.caps.of(decision.action)
    assert decision.score >= POLICY.thresholds.of(decision.action)
    if left is not None and decision.action != "note":
        assert chosen.quote.total <= left * POLICY.share
