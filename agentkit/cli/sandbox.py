"""``agentkit sandbox``: build the image, list and prune sandboxes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agentkit.cli.app import new_app

sandbox = new_app(help="Build the sandbox image, list and prune sandboxes.", no_args_is_help=True)


@sandbox.command("build")
def build(
    name: Annotated[
        str, typer.Argument(metavar="[base|python|node]", help="Which image.")
    ] = "base",
    force: Annotated[bool, typer.Option("--force", help="Also if it exists already.")] = False,
) -> None:
    """Build one of our images, if the engine does not have it as these files describe it."""
    from agentkit.errors import UsageError

    if name not in ("base", "python", "node"):
        raise UsageError(f"there is no image {name!r}", hint="Choose base, python or node")

    async def work(engine: Any) -> None:
        from agentkit.sandboxes.images import ensure_image

        tag = await engine.call(
            lambda: ensure_image(engine.client, f"agentkit-{name}", progress=print, force=force)
        )
        print(f"ready: {tag}")

    _with_engine(work)


@sandbox.command("list")
def list_sandboxes() -> None:
    """The sandboxes that the engine has, and whose they are."""

    async def work(engine: Any) -> None:
        from agentkit.sandboxes._owner import LABEL, SESSION, in_use

        entries = await engine.call(
            lambda: engine.api.containers(all=True, filters={"label": LABEL})
        )
        for entry in entries:
            labels = entry["Labels"]
            alive = "in use" if await in_use(engine, entry) else "left over"
            print(f"{entry['Id'][:12]}  {entry['Status']}  {alive}  {labels.get(SESSION, '')}")
        if not entries:
            print("no sandboxes")

    _with_engine(work)


@sandbox.command("prune")
def prune(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that a living process uses.")
    ] = False,
    session: Annotated[
        str, typer.Option("--session", metavar="ID", help="Only those of this session.")
    ] = "",
) -> None:
    """Remove the sandboxes of processes that are gone."""

    async def work(engine: Any) -> None:
        from agentkit.sandboxes._egress import remove_network
        from agentkit.sandboxes._owner import prune as remove_left_over
        from agentkit.sandboxes._snapshots import prune_images

        removed = await remove_left_over(engine, everything=everything, session=session)
        if not session:
            removed += await prune_images(engine, everything=everything)
            if await remove_network(engine):
                removed.append("the network of allow-lists")
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
