"""The supervisor with small processes: scripts that say on standard output what they see."""

import asyncio
import os
import select
import signal
import sys
from dataclasses import replace

import pytest

from tweezer.cli.child import Child, ProcessSpec
from tweezer.cli.supervisor import ProcessFailed, Supervisor

#: Says `<name> up <pid>`, waits for SIGTERM or the end of its input, then says how it ended.
POLITE = """
import os, signal, sys, threading
def end(why):
    os.write(1, f"{sys.argv[1]} {why}\\n".encode())
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: end("terminated"))
threading.Thread(target=lambda: (sys.stdin.read(), end("abandoned")), daemon=True).start()
print(f"{sys.argv[1]} up {os.getpid()}", flush=True)
while True:
    signal.pause()
"""

#: Does not react to SIGTERM, and has a child of its own that does not either.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if (child := os.fork()) == 0:
    time.sleep(600)
print(f"{sys.argv[1]} up {child}", flush=True)
time.sleep(600)
"""

FAILS = "import sys; sys.exit('nothing works')"


class Recorder:
    """Takes in what the processes write and what the supervisor says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._output, self._news = b"", asyncio.Event()

    def echo(self, output: bytes) -> None:
        self._output += output
        self._news.set()

    @property
    def lines(self) -> list[str]:
        return self._output.decode().splitlines()

    def notes(self) -> list[str]:
        """What the processes have said, without the process ids."""
        return [" ".join(line.split()[:2]) for line in self.lines]

    def process_id(self, name: str) -> int:
        """The process that the latest `up` of the name tells of."""
        return [int(line.split()[2]) for line in self.lines if line.startswith(f"{name} up ")][-1]

    async def see(self, note: str, times: int = 1) -> None:
        """Waits until the processes have said something."""
        async with asyncio.timeout(30):
            while self.notes().count(note) < times:
                self._news.clear()
                await self._news.wait()

    def spec(self, name: str, script: str, *arguments: str) -> ProcessSpec:
        command = (sys.executable, "-c", script, name, *arguments)
        return ProcessSpec(name, command, {}, lambda: self.see(f"{name} up"))

    def supervisor(self, *stages: list[ProcessSpec], **settings) -> Supervisor:
        return Supervisor(stages, echo=self.echo, say=self.said.append, **settings)


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


async def ready_at_once() -> None:
    return None


def ready_anyway(name: str, script: str, *arguments: str) -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-c", script, name, *arguments), {}, ready_at_once)


def ends(process_id: int) -> bool:
    """Tells whether a process is gone, or goes within some seconds."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], 10)
        return bool(readable)
    finally:
        os.close(descriptor)


async def test_start_returns_when_all_are_ready(recorder):
    supervisor = recorder.supervisor([recorder.spec("a", POLITE)], [recorder.spec("b", POLITE)])
    await supervisor.start()
    assert set(recorder.notes()) == {"a up", "b up"}
    await supervisor.stop(asyncio.Event())


async def test_one_process_is_started_when_another_serves(recorder):
    serves = asyncio.Event()
    first = replace(recorder.spec("first", POLITE), ready=serves.wait)
    second = replace(recorder.spec("second", POLITE), after="first")
    supervisor = recorder.supervisor([second], [first])
    starting = asyncio.create_task(supervisor.start())
    await recorder.see("first up")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(recorder.see("second up"), 0.3)  # far longer than it would take
    serves.set()
    await starting
    assert recorder.notes() == ["first up", "second up"]
    await supervisor.stop(asyncio.Event())


async def test_nothing_is_started_after_a_process_that_cannot_start(recorder):
    never = asyncio.Event()
    bad = replace(recorder.spec("bad", FAILS), ready=never.wait)
    supervisor = recorder.supervisor([replace(recorder.spec("good", POLITE), after="bad"), bad])
    with pytest.raises(ProcessFailed, match="bad ended with code 1"):
        await supervisor.start()
    await supervisor.stop(asyncio.Event())
    assert recorder.notes() == ["nothing works"]


async def test_a_process_that_dies_while_others_start_ends_the_start(recorder):
    first = recorder.spec("first", POLITE)
    second = replace(recorder.spec("second", POLITE), ready=asyncio.Event().wait, after="first")
    supervisor = recorder.supervisor([first, second])
    starting = asyncio.create_task(supervisor.start())
    await recorder.see("second up")
    os.kill(recorder.process_id("first"), signal.SIGKILL)
    with pytest.raises(ProcessFailed, match="first was ended by signal 9"):
        await starting
    await supervisor.stop(asyncio.Event())


async def test_stages_are_stopped_one_after_the_other(recorder):
    stages = [[recorder.spec(name, POLITE)] for name in ("first", "second", "third")]
    supervisor = recorder.supervisor(*stages)
    await supervisor.start()
    await supervisor.stop(asyncio.Event())
    assert recorder.notes()[3:] == ["first terminated", "second terminated", "third terminated"]
    assert recorder.said == []


async def test_a_process_that_cannot_start_ends_the_start_with_its_last_words(recorder):
    supervisor = recorder.supervisor([recorder.spec("good", POLITE), recorder.spec("bad", FAILS)])
    with pytest.raises(ProcessFailed, match="bad ended with code 1:\nnothing works"):
        await supervisor.start()
    await supervisor.stop(asyncio.Event())


async def test_a_start_that_takes_too_long_is_given_up(recorder):
    spec = ProcessSpec("slow", (sys.executable, "-c", "input()"), {}, asyncio.Event().wait)
    supervisor = recorder.supervisor([spec], start_timeout=0.1)
    with pytest.raises(ProcessFailed, match="not ready"):
        await supervisor.start()
    await supervisor.stop(asyncio.Event())


async def test_a_process_that_dies_is_started_again(recorder):
    supervisor = recorder.supervisor([recorder.spec("a", POLITE)])
    await supervisor.start()
    keeping = asyncio.create_task(supervisor.keep_running())
    os.kill(recorder.process_id("a"), signal.SIGKILL)
    await recorder.see("a up", times=2)
    assert "a was ended by signal 9; starting it again" in recorder.said[0]
    keeping.cancel()
    await supervisor.stop(asyncio.Event())
    assert recorder.notes() == ["a up", "a up", "a terminated"]


async def test_a_process_that_always_dies_is_given_up(recorder, monkeypatch):
    monkeypatch.setattr("tweezer.cli.restarts._FIRST_DELAY", 0.0)
    supervisor = recorder.supervisor([ready_anyway("bad", FAILS)])
    await supervisor.start()
    with pytest.raises(ProcessFailed, match=r"(?s)nothing works.*giving up"):
        await supervisor.keep_running()
    await supervisor.stop(asyncio.Event())


async def test_a_stubborn_process_is_killed_with_its_children_after_the_grace_time(recorder):
    supervisor = recorder.supervisor([recorder.spec("a", STUBBORN)], stop_grace=0.1)
    await supervisor.start()
    await supervisor.stop(asyncio.Event())
    assert recorder.said == ["a does not stop: killing it"]
    assert ends(recorder.process_id("a"))


async def test_force_kills_without_waiting_for_the_grace_time(recorder):
    supervisor = recorder.supervisor([recorder.spec("a", STUBBORN)], stop_grace=600)
    await supervisor.start()
    force = asyncio.Event()
    stopping = asyncio.create_task(supervisor.stop(force))
    force.set()
    await asyncio.wait_for(stopping, 30)
    assert recorder.said == []  # it was given no time to stop
    assert ends(recorder.process_id("a"))


async def test_a_stop_that_is_cancelled_still_kills(recorder):
    supervisor = recorder.supervisor([recorder.spec("a", STUBBORN)], stop_grace=600)
    await supervisor.start()
    stopping = asyncio.create_task(supervisor.stop(asyncio.Event()))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await supervisor._children["a"].ended()
    assert ends(recorder.process_id("a"))


async def test_what_a_dead_process_leaves_behind_is_killed(recorder):
    spec = recorder.spec("a", STUBBORN)
    child = await Child.start(spec, [], recorder.echo)
    await spec.ready()
    os.kill(child._process.pid, signal.SIGKILL)
    assert await child.ended() == -signal.SIGKILL
    assert ends(recorder.process_id("a"))


async def test_stopping_what_never_started_does_nothing(recorder):
    await recorder.supervisor([recorder.spec("a", POLITE)]).stop(asyncio.Event())
    assert recorder.lines == []


async def test_a_program_that_does_not_exist_fails_and_leaks_no_descriptor(recorder):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        await Child.start(
            ProcessSpec("ghost", ("/no/such/program",), {}, ready_at_once), [], recorder.echo
        )
    await asyncio.sleep(0)  # the loop closes the pipe at its next turn
    assert len(os.listdir("/proc/self/fd")) == before


KILLED_SUPERVISOR = """
import asyncio, os, signal, sys
from tweezer.cli.child import ProcessSpec
from tweezer.cli.supervisor import Supervisor
child, witness = sys.argv[1], int(sys.argv[2])
up = asyncio.Event()
async def main():
    spec = ProcessSpec("a", (sys.executable, "-c", child, str(witness)), {}, up.wait)
    supervisor = Supervisor([[spec]], echo=lambda _: up.set(), say=print, inherited=[witness])
    await supervisor.start()
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""

#: Says on a pipe that its input has closed.
WITNESS = """
import os, sys
print("up", flush=True)
sys.stdin.read()
os.write(int(sys.argv[1]), b"abandoned")
"""


async def test_a_killed_supervisor_takes_its_processes_with_it():
    reading, writing = os.pipe()
    try:
        supervising = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED_SUPERVISOR, WITNESS, str(writing), pass_fds=[writing]
        )
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        # Reading ends when the last process that holds the other end is gone.
        assert await asyncio.to_thread(pipe.read) == b"abandoned"
    assert await supervising.wait() == -signal.SIGKILL
