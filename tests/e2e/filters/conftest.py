"""A system with batches and jobs in many states, which stay as they are."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

import grpc
import httpx
import pytest
from pulser import Pulse, Register, Sequence
from pulser.devices import MockDevice
from pulser.json.abstract_repr.deserializer import deserialize_device

from tweezer.database.sqlite import create_sqlite_engine
from tweezer.database.timestamps import now_micros
from tweezer.identity import store
from tweezer.identity.models import QueuePriority
from tweezer.identity.passwords import hash_password
from tweezer.identity.settings import IdentitySettings
from tweezer.v1.operator_service_pb2 import PauseBatchRequest, PauseDeviceRequest
from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

#: How long anything may take that ends by itself, in seconds.
PATIENCE: Final = 200

#: After this many seconds without work an open batch times out.
IDLE: Final = "10"

OTHER: Final = {"username": "other@localhost", "password": "not a secret"}

#: What the batches end up as.
STATUSES: Final = {"PENDING", "RUNNING", "DONE", "CANCELED", "TIMED_OUT", "ERROR", "PAUSED"}

Row = dict[str, Any]


def drive(device: Any) -> str:
    """A sequence with a variable amplitude, which cannot be built when that is negative."""
    register = Register.square(2, 6.0, prefix="q")
    if device is not MockDevice:
        register = register.with_automatic_layout(device)
    sequence = Sequence(register, device)
    omega = sequence.declare_variable("omega")
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(100, omega, 0.0, 0.0), "rydberg")
    return sequence.to_abstract_repr()


def jobs(*runs: int, omega: float = 1.0) -> list[Row]:
    return [{"runs": number, "variables": {"omega": omega}} for number in runs]


class Rows:
    """Batches and jobs in many states, oldest first, with what lists do not show of them."""

    def __init__(self, stack: Any, clients: ExitStack) -> None:
        self._stack = stack
        self._mine = clients.enter_context(stack.api())
        self._me = self._data(self._mine.get("/account/api/v1/auth/info"))["id"]
        self.projects = {"default": stack.facts["project_id"], **self._add_people()}
        # A token says which projects it is for, so these come after.
        self.api: httpx.Client = clients.enter_context(stack.api())
        self._theirs = clients.enter_context(stack.api(self._their_token()))
        self._emulated = drive(MockDevice)
        specs = self._data(self.api.get("/api/v1/devices/specs/FRESNEL"))["specs"]
        self._real = drive(deserialize_device(specs))
        self._batch_ids: list[str] = []
        self._job_ids: list[str] = []
        self._origins: dict[str, str] = {}
        self._users: dict[str, str] = {}
        self._finished()
        self._unfinished()
        self.batches, self.jobs = self._when_they_rest()
        #: A batch of a project that the caller does not belong to.
        self.hidden = next(row["id"] for row in self.batches if row["status"] is None)

    def _finished(self) -> None:
        first = self._create("default", jobs(10, 20, 30), tags=["a", "b"])
        self._create("high", jobs(5), tags=["a"])
        self._create("free", jobs(7, 8, omega=-1.0), tags=["b"])
        self._create("default", [*jobs(10), *jobs(10, omega=-1.0)], tags=["c", "a"])
        self._create("high", jobs(50, 20), by=self._theirs)
        self._create("theirs", jobs(10), by=self._theirs, tags=["a"])
        self._create("default", jobs(20, 40), path="/third-party-access/ovh", tags=["b"])
        self._create("free", [], open=True, tags=["c"])
        self._create("default", jobs(10), open=True)
        self._until(lambda: self._status(first) == "DONE")
        again = self.api.post(f"/api/v1/batches/{first}/rebatch", params={"min_runs": 15})
        self._note(self._data(again))
        self._until(lambda: not self._with_status("PENDING", "RUNNING"))

    def _unfinished(self) -> None:
        running = self._create("default", jobs(10), open=True, tags=["a"])
        self._until(lambda: self._counts(running) == {"DONE": 1})
        for device in ("EMU_FREE", "FRESNEL"):
            self._operate("PauseDevice", PauseDeviceRequest(device_type=device))
        added = self.api.post(f"/api/v2/batches/{running}/jobs", json=jobs(10, 60))
        self._note(self._data(added))
        self._create("default", jobs(10))
        self._create("high", jobs(10, 10), tags=["b", "c"])
        self._create("free", jobs(5), open=True)
        real = {"sequence_builder": self._real, "device_type": "FRESNEL"}
        self._create("high", jobs(100, 200), **real)
        paused = self._create("default", jobs(30), tags=["a"])
        self._operate("PauseBatch", PauseBatchRequest(batch_id=paused))
        for more in (real, {}):
            self._act(f"batches/{self._create('free', jobs(10, 20), **more)}/cancel")
        self._create("default", jobs(10, 15, 20), by=self.api)
        self._act(f"jobs/{self._job_ids[-2]}/cancel")

    def _when_they_rest(self) -> tuple[list[Row], list[Row]]:
        """Reads everything one by one until it is the same twice."""
        before = None
        while True:
            now = (
                [self._one("batches", i) for i in self._batch_ids],
                [self._one("jobs", i) for i in self._job_ids],
            )
            if now == before and {row["status"] for row in now[0]} >= STATUSES:
                return now
            before = now

    def _one(self, kind: str, identifier: str) -> Row:
        answer = self.api.get(f"/api/v2/{kind}/{identifier}")
        if answer.status_code == 404:  # another's, which no list shows
            return {"id": identifier, "status": None}
        row = self._data(answer)
        for key in ("sequence_builder", "job_ids", "sequence"):
            row.pop(key, None)
        if kind == "batches":
            return row
        return {**row, "origin": self._origins[identifier], "user_id": self._users[row["batch_id"]]}

    def _create(
        self, project: str, new: list[Row], by: Any = None, path: str = "", **more: Any
    ) -> str:
        body = {
            "project_id": self.projects[project],
            "sequence_builder": self._emulated,
            "device_type": "EMU_FREE",
            "jobs": new,
            **more,
        }
        made = self._data((by or self.api).post(f"/api/v1{path}/batches", json=body))
        self._note(made, "OVH" if path else "CLIENT")
        identifier: str = made["id"]
        return identifier

    def _note(self, batch: Row, origin: str = "CLIENT") -> None:
        if batch["id"] not in self._batch_ids:
            self._batch_ids.append(batch["id"])
            self._users[batch["id"]] = batch["user_id"]
        new = [job["id"] for job in batch["jobs"] if job["id"] not in self._origins]
        self._job_ids += new
        self._origins |= dict.fromkeys(new, origin)

    def _act(self, path: str) -> None:
        self._data(self.api.patch(f"/api/v2/{path}"))

    def _operate(self, method: str, request: Any) -> None:
        # The command would take longer than an open batch waits for more jobs.
        metadata = [("authorization", self.api.headers["authorization"])]
        with grpc.insecure_channel(self._stack.facts["grpc"]["batch"]) as channel:
            call = getattr(OperatorServiceStub(channel), method)
            call(request, metadata=metadata, timeout=PATIENCE)

    def _status(self, batch_id: str) -> Any:
        return self._data(self.api.get(f"/api/v1/batches/{batch_id}/status"))["status"]

    def _counts(self, batch_id: str) -> Any:
        status = self._data(self.api.get(f"/api/v1/batches/{batch_id}/status"))
        return status["jobs_count_per_status"]

    def _with_status(self, *statuses: str) -> Any:
        return self._data(self.api.get("/api/v1/batches", params={"status": statuses}))

    def _until(self, reached: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < deadline, "it never came to that"

    def _add_people(self) -> Mapping[str, str]:
        """Adds projects of other priorities, and a user who shares one of them."""
        priorities = [("high", QueuePriority.HIGH), ("free", QueuePriority.FREE)]
        shared = IdentitySettings(data_dir=self._stack.data_dir)
        engine = create_sqlite_engine(shared.identity_database_file)
        now = now_micros()
        try:
            with engine.connect() as c, c.begin():
                found = {n: store.add_project(c, n, now, priority) for n, priority in priorities}
                for name in found:
                    store.add_member(c, found[name], self._me, now)
                found["theirs"] = store.add_project(c, "theirs", now, QueuePriority.CRITICAL)
                hashed = hash_password(OTHER["password"])
                other = store.add_user(c, OTHER["username"], hashed, now)
                for name in ("high", "theirs"):
                    store.add_member(c, found[name], other, now)
        finally:
            engine.dispose()
        return found

    def _their_token(self) -> str:
        form = {"grant_type": "password", **OTHER}
        answer = self._mine.post(self._stack.facts["token_endpoint"], data=form)
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    @staticmethod
    def _data(answer: httpx.Response) -> Any:
        return answer.raise_for_status().json()["data"]


@pytest.fixture(scope="module")
def rows(
    start_stack: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rows]:
    folder = tmp_path_factory.mktemp("filters") / "data"
    stack = start_stack(folder, "--workers", "2", TWEEZER_OPEN_BATCH_IDLE_S=IDLE)
    with ExitStack() as clients:
        yield Rows(stack, clients)
