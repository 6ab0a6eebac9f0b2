"""Watch a session as it happens, and say something in the middle."""

from __future__ import annotations

import asyncio

from _model import call, model

from agentkit import Agent, events, tool


@tool(read_only=True)
def temperature(city: str) -> float:
    """Return the temperature in a city in degrees Celsius."""
    return {"Turku": -3.5, "Oulu": -11.0}.get(city, 4.0)


agent = Agent("forecaster", instructions="You answer briefly.", tools=[temperature])


async def main() -> None:
    """Stream one question, steer it, and print what happens."""
    async with agent.session() as session:
        async for event in session.stream("Is Turku or Oulu warmer?"):
            match event:
                case events.ModelDelta(kind="content"):
                    print(event.text, end="", flush=True)
                case events.ToolStarted():
                    print(f"-> {event.tool}({event.arguments})")
                    if event.arguments == {"city": "Turku"}:
                        await session.steer("Give the difference, too.")
                case events.ToolFinished():
                    print(f"<- {event.content}")
                case events.Steered():
                    print(f"** {event.text}")
                case events.SessionFinished():
                    ratio = session.result.cache_hit_ratio
                    print(f"\n[{event.status}, {ratio:.0%} of the input from the cache]")
                case _:
                    pass


SCRIPT = [
    call("temperature", city="Turku"),
    call("temperature", city="Oulu"),
    "Turku, with -3.5 °C against -11 °C: 7.5 degrees warmer.",
]

if __name__ == "__main__":
    with model(SCRIPT):
        asyncio.run(main())
