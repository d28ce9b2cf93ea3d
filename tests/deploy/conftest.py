"""Each process that a file in deploy/ starts, for every test here."""

import os

import pytest
from deployments import STARTED, Started


@pytest.fixture(params=STARTED, ids=lambda started: started.name)
def started(request: pytest.FixtureRequest) -> Started:
    """Each process that a file in deploy/ starts."""
    found: Started = request.param
    return found


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away what the machine of the test sets itself."""
    for name in list(os.environ):
        if name.startswith(("TWEEZER_", "AWS_")):
            monkeypatch.delenv(name)
