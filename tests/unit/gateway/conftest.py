from pathlib import Path
from typing import Any

import pytest
import yaml

CONTRACT = Path(__file__).parents[2] / "contract" / "pasqal-cloud-api.yaml"


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    return yaml.load(CONTRACT.read_text(), Loader=yaml.CSafeLoader)
