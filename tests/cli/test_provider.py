"""``agentkit models`` and ``doctor`` ask a provider about itself and tell what it says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agentkit.testing import FakeDeepSeek

from .conftest import Cli, Ran

Start = Callable[..., FakeDeepSeek]
COMMANDS = ["models", "doctor"]


def ask(cli: Cli, command: str, url: str, key: str = "right", *more: str) -> Ran:
    return cli(command, "--base-url", url, *more, env={"DEEPSEEK_API_KEY": key})


def line(ran: Ran, name: str) -> str:
    """The line of ``doctor`` about one thing."""
    return next(each for each in ran.out.splitlines() if each[2:].startswith(name))


@pytest.fixture
def plain() -> Iterator[str]:
    """A server that lists one model and has no accounts, as local ones do."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/models"
            body = json.dumps({"data": [{"id": "small"}]} if known else {}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_what_is_served_and_what_is_left(cli: Cli, fake_deepseek: Start) -> None:
    url = fake_deepseek([], balance=7.5, api_key="right").base_url
    ran = ask(cli, "models", url)
    assert ran.code == 0
    assert "serves:\n  deepseek-flash\n  deepseek-v4-pro\n" in ran.out
    assert "the account holds 7.50 USD\n" in ran.out
    told = json.loads(ask(cli, "models", url, "right", "--json").out)
    assert (told["served"], told["balance"], told["can_pay"], told["problem"]) == (
        ["deepseek-flash", "deepseek-v4-pro"], "7.50 USD", True, "",
    )  # fmt: skip
    ran = ask(cli, "doctor", url)
    assert line(ran, "endpoint").startswith("✓")
    assert "serves deepseek-flash, deepseek-v4-pro" in line(ran, "endpoint")
    assert line(ran, "balance") == "✓ balance   7.50 USD"
    assert ran.code == ("✗" in ran.out)


def test_an_empty_account(cli: Cli, fake_deepseek: Start) -> None:
    url = fake_deepseek([], balance=0.0).base_url
    assert "0.00 USD, too little for requests" in ask(cli, "models", url).out
    ran = ask(cli, "doctor", url)
    assert line(ran, "balance").startswith("✗")
    assert "Top up the account" in ran.out
    assert ran.code == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_key(cli: Cli, fake_deepseek: Start, command: str) -> None:
    key = "sk-very-secret-1234"
    ran = ask(cli, command, fake_deepseek([], api_key="right").base_url, key)
    assert ran.code == (4 if command == "models" else 1)
    assert "Authentication Fails" in ran.out
    assert key not in ran.out + ran.err
    if command == "doctor":
        assert line(ran, "endpoint").startswith("✗")
        assert line(ran, "balance").startswith("✗")


def test_an_endpoint_without_accounts(cli: Cli, plain: str) -> None:
    ran = ask(cli, "models", plain)
    assert ran.code == 0
    assert "  small (not in the catalogue: price unknown)" in ran.out
    assert "account" not in ran.out
    told = line(ask(cli, "doctor", plain), "balance")
    assert told == "✓ balance   this endpoint tells none"


def test_an_address_where_nothing_is_listed(cli: Cli, plain: str) -> None:
    ran = ask(cli, "models", plain + "/nowhere")
    assert ran.code == 4
    assert "404" in ran.out
    assert "Check the base URL" in ran.out


def test_nobody_answers(cli: Cli) -> None:
    ran = ask(cli, "models", "http://127.0.0.1:9")
    assert ran.code == 4
    assert "deepseek-flash" in ran.out, "the catalogue is told all the same"
    assert "no answer from http://127.0.0.1:9" in ran.out


def test_without_a_key_nobody_is_asked(cli: Cli) -> None:
    ran = cli("models")
    assert ran.code == 0
    assert "not asked: DEEPSEEK_API_KEY is not set" in ran.out
    ran = cli("doctor")
    assert ran.code == 1
    assert line(ran, "key").startswith("✗")
    assert "export DEEPSEEK_API_KEY" in ran.out
