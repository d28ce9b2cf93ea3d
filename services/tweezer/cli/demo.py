"""`tweezer demo`: two programs through the REST API, and what they give."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from tweezer.cli import endpoints
from tweezer.cli.data_lock import hold
from tweezer.cli.endpoints import Endpoints
from tweezer.cli.facts import ConnectionFacts, connection_facts, read_account
from tweezer.cli.failure import Failure
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.signals import StopRequests, stop_requests, until_set
from tweezer.cli.stack import StackOptions, run_stack
from tweezer.cli.terminal import answers, fail, warn

#: Exit code after Ctrl-C, as shells count it.
_INTERRUPTED: Final = 130


def demo(
    data_dir: DataDir = None,
    temporary: Annotated[
        bool, typer.Option("--temporary", help="Use a temporary stack, whatever runs.")
    ] = False,
) -> None:
    """Run two example programs and show their results.

    They run on the stack of the data folder, or, when none runs there, on a temporary one that is
    gone afterwards.
    """
    running = None if temporary else _running(resolve_data_dir(data_dir))
    if running is None and data_dir is not None and not temporary:
        fail(f"nothing runs on {data_dir}: start it with `tweezer up`, or leave out --data-dir")
    try:
        stopped = asyncio.run(_use(running) if running else _use_temporary())
    except Failure as failure:
        fail(str(failure))
    if stopped:
        raise typer.Exit(_INTERRUPTED)


def _running(data_dir: Path) -> ConnectionFacts | None:
    # In this order: a stack that starts for the first time makes the account before it serves.
    where, account = endpoints.read(data_dir), read_account(data_dir)
    return connection_facts(account, where) if account and where else None


async def _use(facts: ConnectionFacts) -> bool:
    async with stop_requests() as requests:
        await until_set(requests.stop, _demonstrate(facts))
        return requests.stop.is_set()


async def _use_temporary() -> bool:
    console = answers()
    console.print("Starting a temporary Tweezer ...")
    with tempfile.TemporaryDirectory(prefix="tweezer-demo-") as folder:
        async with stop_requests() as requests:
            await _run_stack(Path(folder), requests)
    console.print("The temporary Tweezer is stopped and its folder removed.")
    return requests.stop.is_set()


async def _run_stack(folder: Path, requests: StopRequests) -> None:
    async def use(where: Endpoints) -> None:
        account = read_account(folder)
        assert account is not None  # the first start has just written it
        await _demonstrate(connection_facts(account, where))

    options = StackOptions(data_dir=folder, log_level="warning")
    with hold(folder) as lock:
        await run_stack(options, lock, requests, warn, use)


async def _demonstrate(facts: ConnectionFacts) -> None:
    # Pulser takes seconds to import; in a thread, so that the stack is looked after meanwhile.
    demonstrate = await asyncio.to_thread(_import_demonstrate)
    await demonstrate(facts, answers())


def _import_demonstrate() -> Callable[[ConnectionFacts, Console], Awaitable[None]]:
    from tweezer.cli.demonstration import demonstrate

    return demonstrate
