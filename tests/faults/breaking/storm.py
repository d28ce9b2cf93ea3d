"""Carries out a plan of faults on a deployment."""

import asyncio
import os
import random
import signal
from collections.abc import Sequence

from breaking import kernel
from breaking.deployment import Deployment
from breaking.plan import SERVER, WORKER, Fault, Kind
from breaking.service import Service

#: What a process says that could not start because its database was away; whoever supervises it
#: starts it again.
_NO_DATABASE = "cannot be used"
_SENTENCE = 3  # lines, with what the driver adds
_LOOK_S = 0.2


class Storm:
    """Faults of one process follow each other; those of different ones overlap."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self._deployment, self._chance = deployment, random.Random(seed)
        self._locks = {name: asyncio.Lock() for name in (*deployment.services, WORKER, SERVER)}
        self.done: list[Fault] = []
        self.surprises: list[str] = []  # what happened to a process that was no fault of the plan

    async def rage(self, plan: Sequence[Fault]) -> None:
        """Carries out the plan; at the end every process runs."""
        supervision = asyncio.create_task(self._supervise())
        try:
            async with asyncio.TaskGroup() as group:
                for fault in plan:
                    await asyncio.sleep(fault.pause_s)
                    group.create_task(self._befall(fault))
            await self._deployment.ready(self._deployment.services)
        finally:
            supervision.cancel()
            await asyncio.wait([supervision])
        if not supervision.cancelled():
            supervision.result()  # raises what ended it

    async def _supervise(self) -> None:
        """Starts what could not start for want of a database, as `tweezer up` does."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for service in self._deployment.services.values():
                if not self._locks[service.name].locked():
                    self._start_again(service)

    def _start_again(self, service: Service) -> None:
        if not service.running and self._deployment.server is not None:
            code, words = service.wait(), service.last_words()
            if code != 1 or _NO_DATABASE not in "".join(words.splitlines()[-_SENTENCE:]):
                self.surprises.append(f"{service.name} ended by itself with {code}: {words}")
            service.start()

    async def _befall(self, fault: Fault) -> None:
        async with self._locks[fault.target]:
            if fault.target == WORKER:
                await self._hurt_worker(fault)
            elif fault.target == SERVER:
                await self._hurt_server(fault)
            else:
                await self._hurt(self._deployment[fault.target], fault)

    async def _hurt_server(self, fault: Fault) -> None:
        server = self._deployment.server
        assert server is not None
        await asyncio.to_thread(server.stop, at_once=fault.kind is Kind.KILL)
        await asyncio.sleep(fault.lasts_s)
        await asyncio.to_thread(server.start)
        self.done.append(fault)

    async def _hurt(self, service: Service, fault: Fault) -> None:
        self._start_again(service)
        if not service.running:
            self.surprises.append(f"{service.name} had ended by itself: {service.last_words()}")
            return
        if fault.kind is Kind.FREEZE:
            service.freeze()
            await asyncio.sleep(fault.lasts_s)
            service.thaw()
        else:
            if fault.kind is Kind.KILL:
                await asyncio.to_thread(service.kill)
            # A process that is asked to stop before it is up has no handler yet.
            elif (code := await asyncio.to_thread(service.stop)) not in (0, -signal.SIGTERM):
                self.surprises.append(f"{service.name} stopped with {code}")
            await asyncio.sleep(fault.lasts_s)
            service.start()
        self.done.append(fault)

    async def _worker_of(self, execution_pid: int) -> int:
        """Opens one of the workers; there may be none for a moment, or one that just ends."""
        while True:
            workers = kernel.workers_of(execution_pid)
            try:
                if workers:
                    return os.pidfd_open(self._chance.choice(workers))
            except ProcessLookupError:
                pass  # it ended since it was listed
            await asyncio.sleep(0.1)

    async def _hurt_worker(self, fault: Fault) -> None:
        execution = self._chance.choice(self._deployment.of("execution"))
        async with self._locks[execution.name]:
            # One that loses a worker before it is up gives up, for its supervisor to see.
            await self._deployment.ready([execution.name])
            descriptor = await self._worker_of(execution.pid)
        try:
            if fault.kind is Kind.KILL:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
                await asyncio.sleep(fault.lasts_s)
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
        except ProcessLookupError:
            return  # its service took it along
        finally:
            os.close(descriptor)
        self.done.append(fault)
