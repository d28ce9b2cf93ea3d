"""Runs a process of ours that kills itself where a test wants it to.

python crashing_process.py NAME FILE: the process is `tweezer.NAME`. At each crash point it looks
into FILE; when that names the point, it removes FILE and is gone. Replicas have one FILE: that
which passes the point first dies, and the others go on.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

from tweezer.process.crash_points import arm


def main(name: str, file: str) -> int:
    """Runs the process; it ends by SIGKILL where the point is."""
    wanted = Path(file)

    def look(point: str) -> None:
        try:
            if wanted.read_text() != point:
                return
            wanted.unlink()
        except FileNotFoundError:
            return  # nobody shall die, or another replica has
        os.kill(os.getpid(), signal.SIGKILL)

    arm(look)
    code: int = importlib.import_module(f"tweezer.{name}.__main__").main()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
