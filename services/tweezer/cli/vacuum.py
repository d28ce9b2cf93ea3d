"""`tweezer vacuum`: deletes finished batches, as the first user."""

from typing import TYPE_CHECKING, Annotated

import typer

from tweezer.cli.operators import Operator, operate
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.terminal import answers

if TYPE_CHECKING:
    from tweezer.v1.operator_service_pb2 import VacuumResponse

_DAY_S = 24 * 3600

OlderThan = Annotated[
    float | None,
    typer.Option(
        "--older-than",
        metavar="DAYS",
        min=0,
        help="Delete batches that ended so many days ago or earlier.",
        show_default="$TWEEZER_BATCH_RETENTION_DAYS of the batch service",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
]


def vacuum(older_than: OlderThan = None, dry_run: DryRun = False, data_dir: DataDir = None) -> None:
    """Delete finished batches with their jobs, results and unused sequences."""

    async def delete(operator: Operator) -> None:
        from tweezer.database.timestamps import now_micros, to_timestamp
        from tweezer.v1.operator_service_pb2 import VacuumRequest
        from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

        request = VacuumRequest(dry_run=dry_run)
        if older_than is not None:
            before = max(0, now_micros() - round(older_than * _DAY_S * 1_000_000))
            request.ended_before.CopyFrom(to_timestamp(before))
        stub = OperatorServiceStub(operator.batch)
        done = await stub.Vacuum(request, metadata=operator.metadata)
        answers().print(_said(done, dry_run=dry_run), markup=False, soft_wrap=True)

    operate(delete, resolve_data_dir(data_dir))


def _said(done: "VacuumResponse", *, dry_run: bool) -> str:
    parts = [f"{done.batches} batches", f"{done.jobs} jobs"]
    if dry_run:
        said = f"would delete {', '.join(parts)} and {done.programs} sequences"
    else:
        parts.append(f"{done.results} results")
        said = f"deleted {', '.join(parts)} and {done.programs} sequences"
    if done.left_batches:
        said += f"; left {done.left_batches} batches whose jobs are not all final"
    return said
