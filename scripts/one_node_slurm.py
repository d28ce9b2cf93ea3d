"""A Slurm cluster of one node on loopback, for tests and benchmarks.

python scripts/one_node_slurm.py COMMAND [ARGUMENT ...]    runs a command inside of it

Needs root and Debian's slurm-wlm and munge. All that the daemons write lies in a folder of its own,
their ports are free ones, and they end with the cluster: a Slurm that the machine has is not
touched. Nothing is kept in cgroups, which containers often do not let us write.
"""

import os
import shutil
import signal
import socket
import subprocess  # nosec B404 # the daemons and commands of Slurm, without a shell
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

#: What must be installed.
DAEMONS: Final = ("munged", "slurmctld", "slurmd")

#: How long a daemon may take to answer, or to end, in seconds.
_PATIENCE_S: Final = 60.0

#: Nothing tells when a daemon answers, so it is asked this often.
_RETRY_S: Final = 0.1

_CONFIGURATION: Final = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort={slurmctld_port}
SlurmdPort={slurmd_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory_mib} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Returns the daemons that are not installed."""
    return [name for name in DAEMONS if _find(name) is None]


class OneNodeSlurm:
    """The cluster, as a context manager: it runs while the body does."""

    def __init__(self, name: str = "tweezer-test", *, cores: int = 4, memory_mib: int = 8192):
        self.name, self._cores, self._memory_mib = name, cores, memory_mib
        # munged wants every user to get to its socket, so this is in no folder of ours.
        self.folder = Path(tempfile.mkdtemp(prefix="tweezer-slurm-", dir="/tmp"))  # nosec B108
        self._ending = ExitStack()

    @property
    def environment(self) -> dict[str, str]:
        """What commands of Slurm need to find the cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Self:
        """Starts the daemons and returns when the node takes jobs."""
        self._ending.callback(shutil.rmtree, self.folder)
        try:
            self._start()
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the daemons, the last one first."""
        self._ending.close()

    def command(self, *words: str) -> str:
        """Runs a command of Slurm and returns what it writes."""
        return subprocess.run(  # nosec B603
            words,
            env={**os.environ, **self.environment},
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout

    def jobs(self) -> dict[str, str]:
        """Returns the state of each job that has not ended, by its identifier."""
        lines = self.command("squeue", "--noheader", "--format=%A %T").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def _start(self) -> None:
        self.folder.chmod(0o755)
        for name, mode in (("munge", 0o755), ("state", 0o700), ("spool", 0o755)):
            (self.folder / name).mkdir(mode=mode)
        munge = self.folder / "munge"
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        files = [f"--{name}={munge / name.removesuffix('-file')}" for name in _MUNGE_FILES]
        self._daemon(
            "munged", "--foreground", "--num-threads=2", f"--socket={munge}/socket", *files
        )
        self._until(lambda: self._answers("munge", "--no-input", f"--socket={munge}/socket"))
        ports = _free_ports(2)
        (self.folder / "slurm.conf").write_text(
            _CONFIGURATION.format(
                name=self.name,
                host=socket.gethostname().partition(".")[0],
                folder=self.folder,
                slurmctld_port=ports[0],
                slurmd_port=ports[1],
                cores=self._cores,
                memory_mib=self._memory_mib,
            )
        )
        self._daemon("slurmctld", "-D")
        self._until(lambda: self._answers("scontrol", "ping"))
        self._daemon("slurmd", "-D")
        self._until(lambda: self._node_is("idle"))
        self._ending.callback(self._cancel_all)

    def _cancel_all(self) -> None:
        # Jobs do not end with the daemons.
        self.command("scancel", "--me")
        self._until(lambda: not self.jobs())

    def _daemon(self, name: str, *options: str) -> None:
        path = _find(name)
        if path is None:
            raise FileNotFoundError(f"{name} is not installed")
        with (self.folder / f"{name}.out").open("wb") as output:
            process = subprocess.Popen(  # nosec B603
                [path, *options],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._ending.callback(_end, process)

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                outputs = sorted(self.folder.glob("*.out"))
                words = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in outputs)
                raise TimeoutError(f"a daemon of Slurm does not answer\n{words}")
            time.sleep(_RETRY_S)

    def _answers(self, *words: str) -> bool:
        try:
            self.command(*words)
        except subprocess.CalledProcessError:
            return False
        return True

    def _node_is(self, state: str) -> bool:
        return self.command("sinfo", "--noheader", "--format=%T").strip() == state


#: Files of munged, as its options name them.
_MUNGE_FILES: Final = ("key-file", "pid-file", "log-file", "seed-file")


def _find(name: str) -> str | None:
    # Debian puts daemons where only root looks for them.
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        ports = []
        for _ in range(number):
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
        return ports


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(words: Sequence[str]) -> int:
    """Runs a command inside a cluster and returns its exit code."""
    if not words:
        print(__doc__)
        return 2
    if absent := missing():
        print(f"not installed: {', '.join(absent)}", file=sys.stderr)
        return 1
    with OneNodeSlurm() as cluster:
        environment = {**os.environ, **cluster.environment}
        return subprocess.run(words, env=environment).returncode  # nosec B603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
