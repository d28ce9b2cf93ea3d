"""Which engines this service has, and which jobs each of them runs."""

import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.engines.engine import Engine
from tweezer.execution.engines.local import LocalEngine
from tweezer.execution.engines.slurm_resources import SlurmOptions
from tweezer.execution.engines.worker import WorkerSettings
from tweezer.execution.settings import ExecutionSettings
from tweezer.process.run import StartFailed

Kind = TypeVar("Kind", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Station:
    """An engine, and the device types whose jobs it runs."""

    engine: Engine
    device_types: tuple[str, ...]


def build_stations(settings: ExecutionSettings) -> list[Station]:
    """Returns what the settings ask for, not started: one engine per kind of worker.

    Raises:
        StartFailed: What the engine needs is not installed.
    """
    try:
        return _BUILDERS[settings.execution_engine](settings)
    except ModuleNotFoundError as error:
        engine = settings.execution_engine
        raise StartFailed(
            f"the engine `{engine}` needs {error.name}, which is not installed: "
            f"pip install 'tweezer[{engine}]'"
        ) from error


def _local(settings: ExecutionSettings) -> list[Station]:
    engine = LocalEngine(
        settings.execution_workers,
        max_memory_bytes=settings.execution_worker_memory_bytes,
        emulators=_emulators(settings.execution_device_types),
    )
    return [Station(engine, settings.execution_device_types)]


def _dask(settings: ExecutionSettings) -> list[Station]:
    # Not at the top: only this engine needs Dask.
    from tweezer.execution.engines.dask import DaskEngine
    from tweezer.execution.engines.dask_connection import connector
    from tweezer.execution.engines.dask_link import DaskJobs

    _quiet()
    address = settings.dask_address
    connect = connector(address, settings.dask_tls)
    worker = _remote_worker(settings)
    return [
        Station(
            DaskEngine(connect, DaskJobs(worker, resources=dict(asked) or None), name=address),
            device_types,
        )
        for asked, device_types in _kinds(
            settings.execution_device_types,
            lambda device: tuple(sorted(settings.dask_resources.get(device, {}).items())),
        ).items()
    ]


def _slurm(settings: ExecutionSettings) -> list[Station]:
    # Not at the top: only this engine needs Dask and dask-jobqueue.
    from tweezer.execution.engines.slurm import SlurmEngine

    _quiet()
    options = SlurmOptions(
        folder=str(settings.slurm_folder or settings.data_dir.absolute() / "slurm"),
        host=settings.slurm_host,
        idle_s=settings.slurm_idle_s,
        jobs_ahead=settings.slurm_jobs_ahead,
    )
    worker = _remote_worker(settings)
    return [
        Station(SlurmEngine(worker, resources, options), device_types)
        for resources, device_types in _kinds(
            settings.execution_device_types, settings.slurm_resources_of
        ).items()
    ]


_BUILDERS: Mapping[str, Callable[[ExecutionSettings], list[Station]]] = {
    "local": _local,
    "dask": _dask,
    "slurm": _slurm,
}


def _kinds(
    device_types: tuple[str, ...], kind_of: Callable[[str], Kind]
) -> dict[Kind, tuple[str, ...]]:
    kinds: dict[Kind, tuple[str, ...]] = {}
    for device_type in device_types:
        kind = kind_of(device_type)
        kinds[kind] = (*kinds.get(kind, ()), device_type)
    return kinds


def _quiet() -> None:
    # What Dask does all day is its affair; what happens to jobs is told by us. Not before its
    # import, which sets the level.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


def _emulators(device_types: tuple[str, ...]) -> dict[str, str]:
    return {device: EMULATORS[device] for device in device_types}


def _remote_worker(settings: ExecutionSettings) -> WorkerSettings:
    # The default is about this machine; elsewhere the limit of the Dask worker counts.
    own = "execution_worker_memory_bytes" in settings.model_fields_set
    return WorkerSettings(
        _emulators(settings.execution_device_types),
        settings.execution_worker_memory_bytes if own else None,
    )
