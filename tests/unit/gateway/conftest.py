from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, settings

CONTRACT = Path(__file__).parents[2] / "contract" / "pasqal-cloud-api.yaml"

# How long an example takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    return yaml.load(CONTRACT.read_text(), Loader=yaml.CSafeLoader)
