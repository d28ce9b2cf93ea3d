"""What a process that runs programs of users finds around it: nothing that opens anything.

Programs are only ever parsed. This is for the day on which a parser has a hole.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

#: Variables that Python, its libraries and the linker need; all others are left behind. What a
#: credential might be called, nobody can list: database passwords, cloud keys, agents' sockets.
_NEEDED: Final = frozenset(
    {
        *(
            "PATH",
            "HOME",
            "LANG",
            "LANGUAGE",
            "TZ",
            "TMPDIR",
            "TEMP",
            "TMP",
            "SYSTEMROOT",
            "VIRTUAL_ENV",
        ),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME"),
    }
)
_NEEDED_PREFIXES: Final = ("LC_", "PYTHON", "OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "COVERAGE_")

#: Open files and sockets a worker may have; shared libraries need none once they are loaded.
_MOST_FILES: Final = 256

#: Held by who hides something: another would show again what must still be hidden.
_HIDING: Final = threading.Lock()


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns what of an environment a worker gets."""
    return {name: value for name, value in environment.items() if _is_needed(name)}


def _is_needed(name: str) -> bool:
    return name in _NEEDED or name.startswith(_NEEDED_PREFIXES)


@contextmanager
def only_worker_environment() -> Iterator[None]:
    """Hides from the processes that this one starts meanwhile what a worker does not get.

    A process that is started by exec can always read what it was started with, so that forgetting
    it there would be too late. What this process itself reads, `os.environ`, stays whole: workers
    are started in a thread, while others go on.
    """
    with _HIDING:
        # By name: another thread may delete a variable between its name and its value.
        hidden = [name for name in os.environ if not _is_needed(name)]
        for name in hidden:
            os.unsetenv(name)
        try:
            yield
        finally:
            for name in hidden:
                if (value := os.environ.get(name)) is not None:
                    os.putenv(name, value)


def confine() -> None:
    """Takes from the calling process what a worker has no use for: its place, dumps, most files."""
    os.chdir("/")
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    # A dump would hold the sequences of users, and be readable to whoever finds it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
