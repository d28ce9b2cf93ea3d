"""What Tweezer's requests are compared with: FastAPI handlers that do nothing else.

Under /memory the answers come from memory, under /database straight from Tweezer's tables, in files
of SQLite that are copied for this. None checks a token, a right or a sequence.
"""

import json
import os
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Response
from pydantic import BaseModel


class NewJob(BaseModel):
    """A job of a new batch."""

    runs: int
    variables: dict[str, Any] | None = None


class NewBatch(BaseModel):
    """A new batch."""

    project_id: str
    device_type: str
    sequence_builder: str
    jobs: list[NewJob]
    open: bool = False


def create_app() -> FastAPI:
    """Returns the application; BARE_FOLDER says where its files are."""
    folder = Path(os.environ["BARE_FOLDER"])
    app = FastAPI()
    answers: dict[str, Any] = json.loads((folder / "answers.json").read_text())
    tables = Tables(folder, answers["batch"]["data"])

    @app.get("/memory/batches/{batch_id}")
    async def memory_batch(batch_id: str) -> Response:
        return _answer(answers["batch"])

    @app.get("/memory/jobs")
    async def memory_jobs(limit: int = 100, offset: int = 0) -> Response:
        return _answer(answers["jobs"])

    @app.post("/memory/batches")
    async def memory_create(batch: NewBatch) -> Response:
        return _answer(answers[f"created {len(batch.jobs)}"])

    @app.get("/database/batches/{batch_id}")
    async def database_batch(batch_id: str) -> Response:
        return _answer(_success(tables.batch(batch_id)))

    @app.get("/database/jobs")
    async def database_jobs(limit: int = 100, offset: int = 0) -> Response:
        rows, total = tables.jobs(limit, offset)
        pagination = {"total": total, "start": offset, "end": offset + len(rows)}
        return _answer({**_success(rows), "pagination": pagination})

    @app.post("/database/batches")
    async def database_create(batch: NewBatch) -> Response:
        return _answer(_success(tables.create(batch)))

    return app


class Tables:
    """Tweezer's tables, without Tweezer."""

    def __init__(self, folder: Path, batch: dict[str, Any]) -> None:
        self._batches, self._jobs = _open(folder / "batch.db"), _open(folder / "job.db")
        self._project = batch["project_id"]
        of_batch = (batch["id"],)
        self._new_batch = _template(self._batches, "SELECT * FROM batch WHERE id = ?", of_batch)
        queued = "SELECT * FROM queued_batch WHERE id = ?"
        self._new_queued = _template(self._jobs, queued, of_batch)
        job = "SELECT * FROM job WHERE batch_id = ? LIMIT 1"
        self._new_job = _template(self._jobs, job, of_batch)

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Returns a batch with its sequence and the identifiers of its jobs."""
        row = self._batches.execute(
            "SELECT b.*, p.sequence FROM batch b LEFT JOIN program p ON p.hash = b.program_hash"
            " WHERE b.id = ?",
            (batch_id,),
        ).fetchone()
        ids = self._jobs.execute(
            "SELECT id FROM job WHERE batch_id = ? ORDER BY creation_order", (batch_id,)
        )
        return {**dict(row), "job_ids": [job_id for (job_id,) in map(tuple, ids)]}

    def jobs(self, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Returns a page of jobs, the newest first, and the number of all."""
        rows = self._jobs.execute(
            "SELECT id, parent_id, status, runs, batch_id, project_id, created_at, updated_at,"
            " start_at, end_at, variables_json, errors, progress, creation_order, slurm_job_id,"
            " slurm_cluster_name FROM job WHERE project_id = ?"
            " ORDER BY created_at DESC, seq DESC LIMIT ? OFFSET ?",
            (self._project, limit, offset),
        ).fetchall()
        count = "SELECT count(*) FROM job WHERE project_id = ?"
        (total,) = self._jobs.execute(count, (self._project,)).fetchone()
        return [dict(row) for row in rows], total

    def create(self, new: NewBatch) -> dict[str, Any]:
        """Stores a batch with its jobs, as rows like those that are there."""
        batch_id = str(uuid.uuid4())
        batch = {**self._new_batch, "id": batch_id, "jobs_count": len(new.jobs)}
        batch |= {"next_order": len(new.jobs)}
        jobs = [
            {
                **self._new_job,
                "id": str(uuid.uuid5(uuid.UUID(batch_id), str(order))),
                "batch_id": batch_id,
                "creation_order": order,
                "runs": job.runs,
                "variables_json": json.dumps(job.variables),
            }
            for order, job in enumerate(new.jobs)
        ]
        _insert(self._jobs, {"queued_batch": [{**self._new_queued, "id": batch_id}], "job": jobs})
        _insert(self._batches, {"batch": [batch]})
        return {**batch, "sequence_builder": new.sequence_builder, "jobs": jobs}


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _template(connection: sqlite3.Connection, query: str, values: tuple[Any]) -> dict[str, Any]:
    row = dict(connection.execute(query, values).fetchone())
    del row["seq"]
    return row


def _insert(connection: sqlite3.Connection, rows: dict[str, list[dict[str, Any]]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for table, of_table in rows.items():
        columns = list(of_table[0])
        places = ", ".join(f":{column}" for column in columns)
        names = ", ".join(f'"{column}"' for column in columns)
        connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", of_table)
    connection.execute("COMMIT")


def _success(data: Any) -> dict[str, Any]:
    return {"status": "success", "message": "OK.", "code": "200", "data": data}


def _answer(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
