"""A real SLURM cluster on one machine, for tests: Debian's daemons on the loopback interface, four virtual nodes.

Nodes cpu1 and cpu2 make the partition `cpu`, gpu1 and gpu2 the partition `gpu`; their eight GPUs are character devices
that nothing opens. It needs root (as containers give it) and `apt-get install slurmctld slurmd slurm-client munge`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")  # the steps of a job know no other place
GPUS = range(4)
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/socket/munge
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=defer,batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=15
KillWait=2
DefMemPerCPU=100
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=8 RealMemory=16000 State=UNKNOWN
NodeName=cpu2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=8 RealMemory=16000 State=UNKNOWN
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17003 CPUs=16 RealMemory=64000 Gres=gpu:a100:4 State=UNKNOWN
NodeName=gpu2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17004 CPUs=16 RealMemory=64000 Gres=gpu:h100:4 State=UNKNOWN
PartitionName=cpu Nodes=cpu[1-2] Default=YES MaxTime=60 State=UP
PartitionName=gpu Nodes=gpu[1-2] MaxTime=120 State=UP
"""
GRES = """
NodeName=gpu1 Name=gpu Type=a100 File={root}/gpu[0-3]
NodeName=gpu2 Name=gpu Type=h100 File={root}/gpu[0-3]
"""


def lacking() -> str:
    """Why no cluster can be started here; empty if one can."""
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        return f"SLURM is not installed ({', '.join(missing)}); apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid():
        return "only root can start SLURM's daemons"
    if SYSTEM_CONF.exists() and not SYSTEM_CONF.is_symlink():
        return f"{SYSTEM_CONF} belongs to a cluster of this machine"
    if any(one.info["name"] == "slurmctld" for one in psutil.process_iter(["name"])):
        return "SLURM runs here already, perhaps for other tests"
    return ""


class Cluster:
    """The cluster in a folder, from `start` to `stop`."""

    def __init__(self, root: Path) -> None:
        self.root, self.pid_files = root, []

    def start(self) -> None:
        """Start all daemons; returns when all four nodes are idle."""
        self._write_files()
        self._start_munge()
        self._daemon(["slurmctld"], "slurmctld.pid")
        for node in ("cpu1", "cpu2", "gpu1", "gpu2"):
            (self.root / "spool" / node).mkdir(parents=True)
            self._daemon(["slurmd", "-N", node], f"{node}.pid")
        wait_until(lambda: len(set(self._idle())) == 4, "all nodes are idle")

    def kill_node(self, node: str) -> None:
        """kill -9 of a node's daemon and of all jobs: as if it lost power. SLURM notices after SlurmdTimeout."""
        os.kill(int((self.root / f"{node}.pid").read_text()), signal.SIGKILL)
        for step in [one for one in psutil.process_iter(["name"]) if one.info["name"] == "slurmstepd"]:
            for process in (step, *step.children(recursive=True)):  # the step first: it can tell nobody
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def start_node(self, node: str) -> None:
        """Start the daemon of a node again."""
        self._daemon(["slurmd", "-N", node], f"{node}.pid")
        wait_until(lambda: node in self._idle(), f"{node} is idle")

    def stop(self) -> None:
        """End all daemons, the newest first."""
        for path in reversed(self.pid_files):
            pid = int(path.read_text())
            with suppress(ProcessLookupError):  # a node that was killed
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"{path.stem} has ended")
        SYSTEM_CONF.unlink(missing_ok=True)
        SYSTEM_CONF.with_name("gres.conf").unlink(missing_ok=True)

    def _write_files(self) -> None:
        (self.root / "state").mkdir(parents=True)
        for i in GPUS:
            os.mknod(self.root / f"gpu{i}", 0o600 | 0o020000, os.makedev(1, 3))  # as /dev/null
        SYSTEM_CONF.parent.mkdir(exist_ok=True)
        for name, text in (("slurm.conf", CONF), ("gres.conf", GRES)):
            (self.root / name).write_text(text.format(root=self.root, host=socket.gethostname()))
            link = SYSTEM_CONF.with_name(name)
            link.unlink(missing_ok=True)
            link.symlink_to(self.root / name)

    def _start_munge(self) -> None:
        folder, sockets = self.root / "munge", self.root / "socket"
        folder.mkdir(mode=0o700)
        sockets.mkdir(mode=0o755)
        key = folder / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"key-file": key, "socket": sockets / "munge", "pid-file": folder / "munged.pid"}
        files |= {"log-file": folder / "log", "seed-file": folder / "seed"}
        self._daemon(["munged", "--force", *(f"--{name}={path}" for name, path in files.items())], "munge/munged.pid")

    def _daemon(self, command: list[str], pid_file: str) -> None:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        path = self.root / pid_file
        wait_until(lambda: path.is_file() and path.read_text().strip().isdigit(), f"{command[0]} runs")
        self.pid_files = [*(one for one in self.pid_files if one != path), path]

    @staticmethod
    def _idle() -> list[str]:
        command = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60, *, poll: float = 0.2) -> None:
    """Return when something holds, looked at every `poll` seconds; TimeoutError where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(poll)
