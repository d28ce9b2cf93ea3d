"""`tweezer vacuum` says what it did."""

import pytest
from typer.testing import CliRunner

from tweezer.cli.main import app
from tweezer.cli.vacuum import _said
from tweezer.v1.operator_service_pb2 import VacuumResponse


@pytest.mark.parametrize(
    ("done", "dry_run", "said"),
    [
        (
            VacuumResponse(batches=2, jobs=7, results=6, programs=1),
            False,
            "deleted 2 batches, 7 jobs, 6 results and 1 sequences",
        ),
        (
            VacuumResponse(batches=2, jobs=7, programs=1),
            True,
            "would delete 2 batches, 7 jobs and 1 sequences",
        ),
        (
            VacuumResponse(left_batches=3),
            False,
            "deleted 0 batches, 0 jobs, 0 results and 0 sequences;"
            " left 3 batches whose jobs are not all final",
        ),
    ],
)
def test_what_it_says(done: VacuumResponse, dry_run: bool, said: str) -> None:
    assert _said(done, dry_run=dry_run) == said


def test_it_needs_a_running_stack(tmp_path) -> None:
    result = CliRunner().invoke(app, ["vacuum", "--dry-run", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "start it with `tweezer up`" in result.stderr


def test_days_are_not_negative(tmp_path) -> None:
    result = CliRunner().invoke(app, ["vacuum", "--older-than", "-1", "--data-dir", str(tmp_path)])
    assert result.exit_code == 2
