"""What the command line asks a provider about itself: models and money."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentkit.cli.models import ask_balance, ask_served
from agentkit.errors import AuthenticationFailed
from agentkit.testing import FakeDeepSeek

Start = Callable[..., FakeDeepSeek]


def test_models_and_balance_are_asked(fake_deepseek: Start) -> None:
    server = fake_deepseek([], balance=7.5)
    assert ask_served(server.base_url, "k") == ["deepseek-flash", "deepseek-v4-pro"]
    assert ask_balance(server.base_url, "k") == (True, "7.50 USD")


def test_an_empty_account_is_told(fake_deepseek: Start) -> None:
    assert ask_balance(fake_deepseek([], balance=0.0).base_url, "k") == (False, "0.00 USD")


def test_an_endpoint_without_accounts_tells_nothing(fake_deepseek: Start) -> None:
    assert ask_balance(fake_deepseek([]).base_url + "/other", "k") is None


def test_a_wrong_key_is_an_error(fake_deepseek: Start) -> None:
    with pytest.raises(AuthenticationFailed):
        ask_balance(fake_deepseek([], api_key="right").base_url, "wrong")
