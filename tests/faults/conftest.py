"""Deployments to break."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from breaking.deployment import Deployment


@pytest.fixture(scope="session")
def deploy() -> Iterator[Callable[..., Deployment]]:
    """Makes deployments and leaves nothing of them."""
    made: list[Deployment] = []

    def make(folder: Path, **options: Any) -> Deployment:
        made.append(Deployment(folder, **options))
        return made[-1]

    yield make
    for deployment in made:
        for service in deployment.services.values():
            if service.running:
                service.thaw()
        deployment.kill()
