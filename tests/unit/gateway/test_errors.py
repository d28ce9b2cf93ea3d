"""How the place of a fault is written."""

import pytest

from tweezer.gateway.errors import field_path


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("jobs[3].variables.omega", ["jobs", 3, "variables", "omega"]),
        ("jobs", ["jobs"]),
        ("tags[0]", ["tags", 0]),
        ("jobs[0].variables.ts[12]", ["jobs", 0, "variables", "ts", 12]),
        ("jobs[0].variables.3", ["jobs", 0, "variables", "3"]),
        ("jobs[0].variables.qubits.q-1 a", ["jobs", 0, "variables", "qubits", "q-1 a"]),
        ("", []),
    ],
)
def test_a_field_path_becomes_its_steps(field, path):
    assert field_path(field) == path
