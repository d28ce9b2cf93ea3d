"""Starts processes, keeps them running, and stops them in an order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from tweezer.cli.child import Child, Echo, ProcessSpec
from tweezer.cli.failure import Failure
from tweezer.cli.restarts import MAX_DEATHS, WINDOW, Restarts

#: How long all processes together may take to become ready, in seconds.
START_TIMEOUT: Final = 120.0

#: How long a process may take to stop before it is killed, in seconds.
STOP_GRACE: Final = 20.0

Say = Callable[[str], None]


class ProcessFailed(Failure):
    """A process cannot be started or kept running; the text is for the user."""


class Supervisor:
    """Runs a set of processes.

    `stages` names them in the order in which they are stopped: the second stage is asked to stop
    when the first has ended. They are started all at once, but for those that a specification puts
    after another.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[ProcessSpec]],
        *,
        echo: Echo,
        say: Say,
        inherited: Sequence[int] = (),
        start_timeout: float = START_TIMEOUT,
        stop_grace: float = STOP_GRACE,
    ) -> None:
        self._stages, self._echo, self._say = stages, echo, say
        self._inherited = inherited
        self._start_timeout, self._stop_grace = start_timeout, stop_grace
        self._children: dict[str, Child] = {}

    async def start(self) -> None:
        """Starts everything and returns when everything is ready.

        A process that ends before that is not started again: what stops it now, a wrong setting
        or a port that is taken, would stop it the next time.
        """
        try:
            async with asyncio.timeout(self._start_timeout), asyncio.TaskGroup() as tasks:
                await self._await_ready(tasks)
        except TimeoutError:
            raise ProcessFailed(f"not ready after {self._start_timeout:.0f} s") from None
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def keep_running(self) -> None:
        """Starts processes that die again; ends, by ProcessFailed, when that does not help."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for stage in self._stages:
                    for spec in stage:
                        tasks.create_task(self._keep_running(spec))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def stop(self, force: asyncio.Event) -> None:
        """Stops everything, by force after the grace time or as soon as `force` is set."""
        try:
            for stage in self._stages:
                await asyncio.gather(*(self._end(spec.name, force) for spec in stage))
        finally:
            # Only when the lines above were interrupted is there anything left to kill.
            for child in self._children.values():
                if child.running:
                    child.kill()

    async def _launch(self, spec: ProcessSpec) -> None:
        self._children[spec.name] = await Child.start(spec, self._inherited, self._echo)

    async def _await_ready(self, tasks: asyncio.TaskGroup) -> None:
        specs = [spec for stage in self._stages for spec in stage]
        serves = {spec.name: asyncio.Event() for spec in specs}
        starts = [tasks.create_task(self._start(spec, serves, tasks)) for spec in specs]
        for event in serves.values():
            await event.wait()
        for start in starts:
            start.cancel()

    async def _start(
        self, spec: ProcessSpec, serves: Mapping[str, asyncio.Event], tasks: asyncio.TaskGroup
    ) -> NoReturn:
        """Starts a process and sees to it that it does not end."""
        if spec.after is not None:
            await serves[spec.after].wait()
        await self._launch(spec)
        tasks.create_task(_note_ready(spec, serves[spec.name]))
        code = await self._children[spec.name].ended()
        raise ProcessFailed(self._report(spec.name, code))

    async def _keep_running(self, spec: ProcessSpec) -> None:
        restarts = Restarts()
        while True:
            code = await self._children[spec.name].ended()
            delay = restarts.delay_after_death(asyncio.get_running_loop().time())
            if delay is None:
                raise ProcessFailed(
                    f"{self._report(spec.name, code)}\n"
                    f"It died more than {MAX_DEATHS} times within {WINDOW:.0f} s: giving up."
                )
            self._say(f"{_end_in_words(spec.name, code)}; starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)
            await self._launch(spec)

    async def _end(self, name: str, force: asyncio.Event) -> None:
        child = self._children.get(name)
        if child is None or not child.running:
            return
        if not force.is_set():
            child.terminate()
            if await self._ends_in_time(child, force):
                return
            if not force.is_set():
                self._say(f"{name} does not stop: killing it")
        child.kill()
        await child.ended()

    async def _ends_in_time(self, child: Child, force: asyncio.Event) -> bool:
        ended = asyncio.create_task(child.ended())
        forced = asyncio.create_task(force.wait())
        try:
            await asyncio.wait(
                {ended, forced},
                timeout=self._stop_grace,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return ended.done()
        finally:
            ended.cancel()
            forced.cancel()

    def _report(self, name: str, code: int) -> str:
        words = self._children[name].last_words
        return f"{_end_in_words(name, code)}" + (f":\n{words}" if words else "")


async def _note_ready(spec: ProcessSpec, serves: asyncio.Event) -> None:
    await spec.ready()
    serves.set()


def _end_in_words(name: str, code: int) -> str:
    return f"{name} was ended by signal {-code}" if code < 0 else f"{name} ended with code {code}"
