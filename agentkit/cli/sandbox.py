"""``agentkit sandbox``: build the image, list and prune sandboxes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agentkit.cli.app import new_app

sandbox = new_app(help="Build the sandbox image, list and prune sandboxes.", no_args_is_help=True)


@sandbox.command("build")
def build(
    force: Annotated[bool, typer.Option("--force", help="Also if it exists already.")] = False,
) -> None:
    """Build the base image, if the engine does not have it."""

    async def work(engine: Any) -> None:
        from agentkit.sandboxes.images import ensure_base_image

        tag = await engine.call(
            lambda: ensure_base_image(engine.client, progress=print, force=force)
        )
        print(f"ready: {tag}")

    _with_engine(work)


@sandbox.command("list")
def list_sandboxes() -> None:
    """The sandboxes that the engine has, and whose they are."""

    async def work(engine: Any) -> None:
        from agentkit.sandboxes._owner import LABEL, OWNER, SESSION, owner_dead

        entries = await engine.call(
            lambda: engine.api.containers(all=True, filters={"label": LABEL})
        )
        for entry in entries:
            labels = entry["Labels"]
            alive = "left over" if owner_dead(labels.get(OWNER, "")) else "in use"
            print(f"{entry['Id'][:12]}  {entry['Status']}  {alive}  {labels.get(SESSION, '')}")
        if not entries:
            print("no sandboxes")

    _with_engine(work)


@sandbox.command("prune")
def prune(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that a living process uses.")
    ] = False,
) -> None:
    """Remove the sandboxes of processes that are gone."""

    async def work(engine: Any) -> None:
        from agentkit.sandboxes._owner import prune as remove_left_over
        from agentkit.sandboxes._snapshots import prune_images

        removed = await remove_left_over(engine, everything=everything)
        removed += await prune_images(engine, everything=everything)
        print(f"removed {', '.join(removed)}" if removed else "nothing to remove")

    _with_engine(work)


def _with_engine(work: Any) -> None:
    import anyio

    from agentkit.sandboxes._engine import connect

    async def run() -> None:
        engine = await connect()
        try:
            await work(engine)
        finally:
            with anyio.CancelScope(shield=True):
                await engine.close()

    anyio.run(run)
