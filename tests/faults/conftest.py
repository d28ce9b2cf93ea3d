"""Deployments to break."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from breaking.deployment import Deployment
from breaking.server import DatabaseServer

#: Replicas of each process where the database lets there be some.
REPLICAS = 2


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    """A server that only tests of faults use: they stop it."""
    server = DatabaseServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def deploy(request: pytest.FixtureRequest) -> Iterator[Callable[..., Deployment]]:
    """Makes deployments of a kind and leaves nothing of them.

    On files there is one of each process; on a server there are replicas.
    """
    made: list[Deployment] = []

    def make(backend: str, folder: Path, **options: Any) -> Deployment:
        if backend == "postgresql":
            server = request.getfixturevalue("database_server")
            options = {"server": server, "replicas": REPLICAS, **options}
        made.append(Deployment(folder, **options))
        return made[-1]

    yield make
    for deployment in made:
        for service in deployment.services.values():
            if service.running:
                service.thaw()
        deployment.kill()
