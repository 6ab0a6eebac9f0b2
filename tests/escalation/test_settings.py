"""Ladder files and ladders that cannot be used are refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit import Agent, Ladder, Rung, UsageError
from agentkit.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

TWO = '[[rung]]\nmodel = "deepseek-flash"\n[[rung]]\nmodel = "deepseek-v4-pro"\n'


def load(folder: Path, text: str) -> Ladder:
    file = folder / "ladder.toml"
    file.write_text(text)
    return Ladder.load(str(file))


def test_a_file_with_everything(tmp_path: Path) -> None:
    ladder = load(
        tmp_path,
        TWO
        + 'forms = ["consult"]\n[policy]\ncool_down = 5\nforms = ["note", "hand-off"]\n'
        + "[policy.thresholds]\nhand-off = 7\nre-plan = 2.5\n[policy.caps]\nconsult = 9\n"
        + "[policy.chances]\nconsult = 0.5\n[models.mine]\nhit = 0\nmiss = 1\noutput = 2\n",
    )
    assert ladder.policy is not None
    assert ladder.rungs[1].forms == ("consult",)
    assert ladder.policy.cool_down == 5
    assert ladder.policy.forms == {"note", "hand-off"}
    assert (ladder.policy.thresholds.handoff, ladder.policy.thresholds.replan) == (7.0, 2.5)
    assert ladder.policy.caps.consult == 9
    assert ladder.policy.chances["consult"] == 0.5
    assert "mine" in ladder.models


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TWO + "[policy]\nspeed = 1\n", "unknown setting 'speed'"),
        (TWO + '[policy]\ncool_down = "long"\n', "must be a number"),
        (TWO + "[policy]\ncool_down = -1\n", "must not be below 0"),
        (TWO + '[policy]\nforms = ["jump"]\n', "no form 'jump'"),
        (TWO + "[policy.caps]\nflights = 1\n", "unknown setting 'flights'"),
        (TWO + "[policy.chances]\nnote = 2\n", "from 0 to 1"),
        (TWO + 'forms = ["jump"]\n', "no form 'jump'"),
        (TWO + "[polcy]\n", "unknown table or setting 'polcy'"),
        ("policy = 3\n" + TWO, "must be a table"),
        ("rung = 3\n", "no [[rung]] table"),
        ("rung = [3]\n", "is not a table"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (Rung("deepseek-v5-pro"), "no model of this name is known"),
        (Rung("deepseek-flash"), "leads back to rung 1"),
        (Rung("deepseek-v4-flash"), "leads back to rung 1"),
        (Rung("other", base_url="http://127.0.0.1:1"), "has no price"),
        (Rung("deepseek-chat"), "was retired"),
        (Rung("deepseek-v4-pro", api_key_env="NO_SUCH_KEY"), "NO_SUCH_KEY is not set"),
    ],
)
async def test_a_ladder_that_could_not_be_climbed_is_refused_at_the_start(
    second: Rung, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "k")
    ladder = Ladder("bad", (Rung("deepseek-flash"), second))
    agent = Agent("a", ladder=ladder, store=MemoryStore())
    with pytest.raises(UsageError) as caught:
        async with agent.session():
            pass
    assert words in str(caught.value)
