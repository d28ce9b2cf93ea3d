"""One process of ours in the hands of a test."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: How long anything may take that ends by itself, in seconds.
PATIENCE_S: Final = 120.0

_CRASHING: Final = str(Path(__file__).parents[1] / "crashing_process.py")


class Service:
    """A process that is started, hurt, and started again."""

    def __init__(
        self, name: str, role: str, environment: Mapping[str, str], folder: Path, *, may_crash: bool
    ) -> None:
        self.name, self.role = name, role
        self.messages = folder / f"{name}.stderr"
        #: Names the crash point at which it, or another replica, dies; gone once one has.
        self._armed = folder / f"{role}.armed"
        self._may_crash = may_crash
        self.sessions: set[int] = set()  # of every process started so far
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.is_special = False  # whether it runs with settings that the others do not have

    @property
    def pid(self) -> int:
        """Identifier of the process."""
        return self._present.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, **settings: str) -> None:
        """Starts it as `tweezer up` does."""
        assert self._process is None, f"{self.name} has ended by itself:\n{self.last_words()}"
        self.is_special = bool(settings)
        command = ["-m", f"tweezer.{self.role}"]
        if self._may_crash:
            command = [_CRASHING, self.role, str(self._armed)]
        with self.messages.open("ab") as messages:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                # The write end is ours alone: when the test dies, the process stops.
                stdin=subprocess.PIPE,
                stdout=messages,
                stderr=messages,
                env={**os.environ, **self._environment, **settings},
                start_new_session=True,
            )
        self.sessions.add(self._process.pid)

    def arm(self, point: str) -> None:
        """Lets it die at a crash point, or another replica if that passes it first."""
        assert self._may_crash
        draft = self._armed.with_suffix(".draft")
        draft.write_text(point)
        draft.replace(self._armed)

    def kill(self) -> None:
        """Ends it at once, and it alone: what it has started must see to itself."""
        self._present.kill()
        self.wait()

    def stop(self) -> int:
        """Asks it to stop, waits for the end and returns the exit code."""
        self._present.terminate()
        return self.wait()

    def wait(self) -> int:
        """Waits until it ends and returns the exit code."""
        code = self._present.wait(PATIENCE_S)
        process, self._process = self._present, None
        assert process.stdin is not None
        process.stdin.close()
        return code

    def wait_for_crash(self) -> None:
        """Waits until it has died at the point that it was armed for."""
        code = self.wait()
        assert code == -signal.SIGKILL, f"{self.name} ended with {code}:\n{self.last_words()}"
        assert not self._armed.exists(), f"{self.name} was killed, but not at the point"

    def freeze(self) -> None:
        """Stops it as it is; it keeps its connections and does nothing."""
        self._present.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._present.send_signal(signal.SIGCONT)

    def last_words(self) -> str:
        """Returns the end of what it has written."""
        return self.messages.read_text(errors="replace")[-4000:] if self.messages.exists() else ""

    @property
    def _present(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} does not run"
        return self._process
