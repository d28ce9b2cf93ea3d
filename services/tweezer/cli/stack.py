"""A whole Tweezer on one machine: which processes it has and how they find each other."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tweezer.cli import endpoints
from tweezer.cli.child import ProcessSpec
from tweezer.cli.endpoints import Endpoints
from tweezer.cli.failure import Failure
from tweezer.cli.notices import VARIABLE, Notices
from tweezer.cli.ports import address, hold_ports, local_address
from tweezer.cli.signals import StopRequests, until_set
from tweezer.cli.supervisor import Supervisor
from tweezer.process.tls import Tls

_LOOPBACK: Final = "127.0.0.1"
_EXECUTION: Final = "execution"
_BATCH_INTERNAL: Final = "batch, internal"
_JOB_INTERNAL: Final = "job, internal"

Use = Callable[[Endpoints], Awaitable[None]]


class CannotConnect(Failure):
    """The settings do not let the processes reach each other; the text says which."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What the user can choose about a stack."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    batch_port: int = 0
    job_port: int = 0
    workers: int | None = None
    """Number of emulations at a time; None leaves it to the execution service."""
    engine: str | None = None
    """What runs the jobs; None leaves it to the environment."""
    log_level: str | None = None
    """Least severe messages that are shown; None leaves it to the environment."""
    tls_dir: Path | None = None
    """Folder of certificates; None leaves it to the environment."""


async def run_stack(
    options: StackOptions,
    lock: int,
    requests: StopRequests,
    say: Callable[[str], None],
    use: Use,
) -> None:
    """Runs a stack while `use` runs, or until a stop is requested.

    The first start on a data folder makes a user and a project.
    Raises CannotListen before anything is started, and ProcessFailed when a process cannot be
    kept running. `lock` is the descriptor that keeps the data folder locked.
    """
    with hold_ports(_wanted_ports(options)) as ports:
        where = _endpoints(options, ports)
        async with Notices() as notices:
            supervisor = Supervisor(
                await _stages(notices, _environment(options, ports, where)),
                echo=_pass_on,
                say=say,
                inherited=[lock],
            )
            try:
                await until_set(requests.stop, supervisor.start())
                if not requests.stop.is_set():
                    endpoints.write(options.data_dir, where)
                    await until_set(requests.stop, use(where), supervisor.keep_running())
            finally:
                if requests.stop.is_set():
                    say("stopping; Ctrl-C again stops at once")
                endpoints.remove(options.data_dir)
                await supervisor.stop(requests.force)


def _wanted_ports(options: StackOptions) -> dict[str, tuple[str, int]]:
    return {
        "--port": (options.host, options.port),
        "--batch-port": (options.host, options.batch_port),
        "--job-port": (options.host, options.job_port),
        _EXECUTION: (_LOOPBACK, 0),
        _BATCH_INTERNAL: (_LOOPBACK, 0),
        _JOB_INTERNAL: (_LOOPBACK, 0),
    }


def _endpoints(options: StackOptions, ports: Mapping[str, int]) -> Endpoints:
    tls = _tls(options)
    scheme = "http" if tls.own is None else "https"
    return Endpoints(
        url=f"{scheme}://{local_address(options.host, ports['--port'])}",
        batch=local_address(options.host, ports["--batch-port"]),
        job=local_address(options.host, ports["--job-port"]),
        ca_file=None if tls.authority is None else str(tls.authority),
    )


def _tls(options: StackOptions) -> Tls:
    """Returns how the processes are connected to and connect to each other."""
    from tweezer.process.settings import ProcessSettings

    settings = ProcessSettings()
    if options.tls_dir is not None:
        settings = settings.model_copy(update={"tls_dir": options.tls_dir})
    tls = settings.tls
    if (tls.own is None) != (tls.authority is None):
        raise CannotConnect(
            "TWEEZER_TLS_CERT_FILE and TWEEZER_TLS_CA_FILE need each other: the processes call "
            "each other by TLS as well"
        )
    return tls


async def _stages(notices: Notices, environment: Mapping[str, str]) -> list[list[ProcessSpec]]:
    async def spec(name: str, after: str | None = None) -> ProcessSpec:
        told = {**environment, VARIABLE: await notices.listen(name)}
        command = (sys.executable, "-m", f"tweezer.{name}")
        return ProcessSpec(name, command, told, lambda: notices.ready(name), after)

    return [
        # No new requests; those that run are answered.
        [await spec("gateway")],
        # Jobs that run are handed back to the job service, which must be there to take them.
        [await spec(_EXECUTION)],
        # They need nobody to start; but starting is importing, and where cores are few they hold up
        # the gateway, which people wait for, and the execution service, which takes longest.
        [await spec("batch", after="gateway"), await spec("job", after="gateway")],
    ]


def _environment(
    options: StackOptions, ports: Mapping[str, int], where: Endpoints
) -> dict[str, str]:
    environment = {
        **os.environ,
        "TWEEZER_DATA_DIR": str(options.data_dir),
        "TWEEZER_STOP_ON_STDIN_CLOSE": "true",
        "TWEEZER_FIRST_USER": "true",
        "TWEEZER_BATCH_LISTEN": address(options.host, ports["--batch-port"]),
        "TWEEZER_JOB_LISTEN": address(options.host, ports["--job-port"]),
        "TWEEZER_EXECUTION_LISTEN": address(_LOOPBACK, ports[_EXECUTION]),
        "TWEEZER_GATEWAY_HOST": options.host,
        "TWEEZER_GATEWAY_PORT": str(ports["--port"]),
        "TWEEZER_BATCH_ADDRESS": where.batch,
        "TWEEZER_JOB_ADDRESS": where.job,
    }
    for name, option in (("BATCH", _BATCH_INTERNAL), ("JOB", _JOB_INTERNAL)):
        internal = address(_LOOPBACK, ports[option])
        environment[f"TWEEZER_{name}_INTERNAL_LISTEN"] = internal
        environment[f"TWEEZER_{name}_INTERNAL_ADDRESS"] = internal
    if options.tls_dir is not None:
        environment["TWEEZER_TLS_DIR"] = str(options.tls_dir)
    if options.workers is not None:
        environment["TWEEZER_EXECUTION_WORKERS"] = str(options.workers)
    if options.engine is not None:
        environment["TWEEZER_EXECUTION_ENGINE"] = options.engine
    if options.log_level is not None:
        environment["TWEEZER_LOG_LEVEL"] = options.log_level
    return environment


def _pass_on(output: bytes) -> None:
    try:
        sys.stderr.buffer.write(output)
        sys.stderr.buffer.flush()
    except BrokenPipeError:
        # Whoever read our messages is gone; the processes go on and are still listened to.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - stays open as long as the process
