"""``agentkit models``: what is known of models, what they cost now, what is really served."""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from agentkit.models.catalogue import Catalogue, ModelFacts
    from agentkit.models.endpoint import Endpoint

_T = TypeVar("_T")

WAIT = 8.0
"""Seconds that the provider has to say what it serves."""


def models(
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="Ask this endpoint what it serves.")
    ] = "",
    api_key_env: Annotated[
        str, typer.Option("--api-key-env", metavar="NAME", help="The key's variable.")
    ] = "DEEPSEEK_API_KEY",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """The catalogue: names, aliases, prices now and when they change, and what is served.

    Exits 4 where the provider was asked and does not say.
    """
    from agentkit.cli.options import Options
    from agentkit.cli.settings import settle
    from agentkit.models.catalogue import Catalogue

    catalogue = Catalogue.load(settle(Options()).models)
    now = datetime.now(UTC)
    rows = [_row(catalogue, facts, now) for facts in catalogue]
    told = _ask_provider(base_url, api_key_env)
    if json:
        print(jsonlib.dumps({"models": rows, **asdict(told)}, indent=1))
    else:
        _tell(rows)
        _tell_provider(told, catalogue)
    if told.problem and told.asked:
        raise typer.Exit(4)


@dataclass(frozen=True, slots=True)
class Told:
    """What the provider says about itself."""

    asked: bool = False
    served: list[str] | None = None
    balance: str | None = None
    """None where the endpoint tells none."""
    can_pay: bool | None = None
    problem: str = ""


def _row(catalogue: Catalogue, facts: ModelFacts, now: datetime) -> dict[str, Any]:
    price = catalogue.price(facts.name, now)
    change = catalogue.next_change(facts.name, now)
    then = catalogue.price(facts.name, change) if change else None
    return {
        "name": facts.name,
        "aliases": list(facts.aliases),
        "context": facts.context,
        "served": facts.served,
        "retired": facts.retired.isoformat() if facts.retired else None,
        "successor": facts.successor,
        "price": _price(price),
        "peak": bool(price and price.peak),
        "changes": change.isoformat() if change else None,
        "then": _price(then),
        "source": facts.source,
    }


def _price(price: Any) -> dict[str, float] | None:
    return {"hit": price.hit, "miss": price.miss, "output": price.output} if price else None


def _tell(rows: list[dict[str, Any]]) -> None:
    from agentkit.cli import text

    print("US dollars per million tokens: input from the cache, other input, output")
    for row in rows:
        names = ", ".join([row["name"], *row["aliases"]])
        print(text.for_stream(f"\n{names}"))
        if row["retired"]:
            print(f"  retired {row['retired'][:10]}; use {row['successor']}")
            continue
        now = _money(row["price"])
        peak = " (peak hours)" if row["peak"] else ""
        print(f"  now {now}{peak}, window {text.tokens(row['context'])} tokens")
        if row["changes"]:
            print(f"  from {row['changes'][:16].replace('T', ' ')} UTC {_money(row['then'])}")


def _money(price: dict[str, float] | None) -> str:
    if price is None:
        return "price unknown"
    return f"${price['hit']:g} / ${price['miss']:g} / ${price['output']:g}"


def _ask_provider(base_url: str, variable: str) -> Told:
    from agentkit.cli.settings import require_url
    from agentkit.errors import AgentkitError, ModelError

    if base_url:
        require_url(base_url, "--base-url")
    url = base_url or os.environ.get("AGENTKIT_BASE_URL", "")
    key = os.environ.get(variable, "")
    if not url and not key:
        return Told(problem=f"not asked: {variable} is not set")
    served: list[str] | None = None
    try:
        served = ask_served(url, key)
        balance = ask_balance(url, key)
    except AgentkitError as error:
        lists_none = isinstance(error, ModelError) and error.status == 404
        hint = ". Check the base URL; some servers list no models"
        return Told(True, served, problem=f"{error.what}{hint}" if lists_none else str(error))
    can_pay, amount = balance or (None, None)
    return Told(True, served, amount, can_pay)


def ask_served(url: str, key: str) -> list[str]:
    """Ask an endpoint for the names that it serves.

    Raises:
        ModelError: it does not say, or not in time.
    """
    return _in_time(url, key, lambda endpoint: endpoint.models())


def ask_balance(url: str, key: str) -> tuple[bool, str] | None:
    """Whether the account can pay, and its money in words; None where an endpoint tells none.

    Raises:
        ModelError: the key is refused, or there is no answer in time.
    """
    from agentkit.errors import RequestInvalid

    try:
        told = _in_time(url, key, lambda endpoint: endpoint.balance())
    except RequestInvalid:  # only DeepSeek has this address
        return None
    infos: list[dict[str, Any]] = told.get("balance_infos") or []
    amounts = [f"{each.get('total_balance', '?')} {each.get('currency', '')}" for each in infos]
    return bool(told.get("is_available")), ", ".join(amounts) or "nothing"


def _in_time(url: str, key: str, question: Callable[[Endpoint], Awaitable[_T]]) -> _T:
    import anyio

    from agentkit.errors import Unreachable

    try:
        return anyio.run(_ask, url, key, question)
    except TimeoutError:
        raise Unreachable(
            f"{url or 'api.deepseek.com'} gave no answer within {WAIT:g} s",
            hint="Check the network and the base URL",
        ) from None


async def _ask(url: str, key: str, question: Callable[[Endpoint], Awaitable[_T]]) -> _T:
    import anyio

    from agentkit.models.endpoint import connect

    endpoint = connect(url, key)
    try:
        with anyio.fail_after(WAIT):
            return await question(endpoint)
    finally:
        with anyio.CancelScope(shield=True):
            await endpoint.aclose()


def _tell_provider(told: Told, catalogue: Catalogue) -> None:
    from agentkit.cli import text

    if told.served is not None:
        print("\nthe provider says it serves:")
        for name in told.served:
            known = "" if catalogue.model(name).known else " (not in the catalogue: price unknown)"
            print(f"  {text.clean(name)}{known}")
    if told.problem:
        what = "what the provider serves" if told.served is None else "the account"
        print(f"\n{what}: {text.clean(told.problem)}")
    if told.balance is not None:
        little = "" if told.can_pay else ", too little for requests"
        print(f"the account holds {text.clean(told.balance)}{little}")
