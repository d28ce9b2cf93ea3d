"""`tweezer up`: everything, in the foreground."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from tweezer.cli.certs import FOLDER
from tweezer.cli.data_lock import hold
from tweezer.cli.endpoints import Endpoints
from tweezer.cli.facts import read_account
from tweezer.cli.failure import Failure
from tweezer.cli.options import DataDir, EngineName, EngineOption, resolve_data_dir
from tweezer.cli.ports import is_everywhere
from tweezer.cli.signals import stop_requests
from tweezer.cli.stack import StackOptions, run_stack
from tweezer.cli.terminal import answers, fail, print_rows, warn


def up(
    host: Annotated[
        str, typer.Option(help="Address to listen on, for HTTP and for gRPC.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port of the REST API; 0 takes a free one.", min=0, max=65535)
    ] = 8000,
    batch_port: Annotated[
        int,
        typer.Option(help="gRPC port of the batch service; 0 takes a free one.", min=0, max=65535),
    ] = 8001,
    job_port: Annotated[
        int,
        typer.Option(help="gRPC port of the job service; 0 takes a free one.", min=0, max=65535),
    ] = 8002,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Jobs emulated at a time, by the engine `local`.",
            min=1,
            show_default="one per CPU core",
        ),
    ] = None,
    engine: EngineOption = None,
    data_dir: DataDir = None,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls",
            envvar="TWEEZER_TLS",
            help="Serve HTTPS and gRPC by TLS, with certificates made and renewed as by "
            "`tweezer certs`.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what the processes do.")
    ] = False,
) -> None:
    """Start everything and keep it running until Ctrl-C.

    The first start on a data folder creates a user with a random password and a project.
    """
    if workers is not None and engine not in (None, EngineName.LOCAL):
        fail("--workers is for the engine `local`")
    folder = resolve_data_dir(data_dir)
    options = StackOptions(
        data_dir=folder,
        tls_dir=folder / FOLDER if tls else None,
        host=host,
        port=port,
        batch_port=batch_port,
        job_port=job_port,
        workers=workers,
        engine=engine,
        log_level=_log_level(verbose),
    )
    try:
        with hold(options.data_dir) as lock:
            if options.tls_dir is not None:
                _certify(options.tls_dir, host)
            asyncio.run(_run(options, lock))
    except Failure as error:
        fail(str(error))


def _certify(folder: Path, host: str) -> None:
    from tweezer.cli.authority import Authority

    Authority(folder).certify([] if is_everywhere(host) else [host])


async def _run(options: StackOptions, lock: int) -> None:
    async def announce_and_wait(where: Endpoints) -> None:
        _announce(where, options)
        await requests.stop.wait()

    async with stop_requests() as requests:
        await run_stack(options, lock, requests, warn, announce_and_wait)


def _announce(where: Endpoints, options: StackOptions) -> None:
    rows = {"REST API": where.url, "gRPC": f"batch {where.batch}, job {where.job}"}
    if where.ca_file is not None:
        rows["authority"] = where.ca_file
    account = read_account(options.data_dir)
    if account is not None:
        rows |= {
            "user name": account.username,
            "password": account.password,
            "project": account.project_id,
        }
    console = answers()
    console.print("[bold green]Tweezer is running.[/]")
    print_rows(console, rows | {"data folder": str(options.data_dir)})
    console.print("Press Ctrl-C to stop.")


def _log_level(verbose: bool) -> str | None:
    if verbose:
        return "info"
    return None if "TWEEZER_LOG_LEVEL" in os.environ else "warning"
