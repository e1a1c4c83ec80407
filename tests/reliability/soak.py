"""A soak: kill -9 at random moments over the tiny chain, and count what is lost, changed or made twice.

python -m tests.reliability.soak                                     100 kills
python -m tests.reliability.soak --kills 10 --minutes 5 --seed 1     a taste

Each round starts `snakemake` as a user does, waits a random time and kills the head, the head and its jobs, or one job;
the next round is the same command. When the chain is done, its results are compared with those of an undisturbed run
and removed, and it begins again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from tests.workflow.study import SNAKEMAKE, TARGETS, TINY, Study, assumed, make_study
from workflow_scripts.lib.files import write_json
from workflow_scripts.lib.progress import progress

OUT = Path("results/reliability/soak.json")
RESULTS = "results/tiny"
POLICIES = [f"{RESULTS}/policies/{name}.r1/policy.json" for name in ("sd15_sft", "flow_grpo_pickscore")]
CHAIN = (*SNAKEMAKE, *TARGETS, *POLICIES)
PACKAGE, WARM = "workflow_scripts.", "workflow_scripts.lib.warm"
NO_RESULTS = ("logs", "benchmarks", "state")
VICTIMS = ("head", "head and jobs", "job")
SHORTEST, MEAN = 2.0, 8.0  # seconds from the start of a head to the kill, exponentially distributed
GIVES_UP_WITHIN = 300.0  # seconds after the death of a job; another may have to end first
States = dict[str, tuple[int, int]]


@dataclass
class Counts:
    """What the soak counts. A shard is lost or made again only if it was whole at the kill."""

    seed: int
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VICTIMS, 0))
    whole_chains: int = 0
    files_compared: int = 0
    files_lost: int = 0
    files_changed: int = 0
    shards_made_again: int = 0
    files_made_again: int = 0
    most_files_made_again_after_a_kill: int = 0
    minutes: float = 0.0


class Soak:
    """A study that is disturbed, and how it looks when it is not."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.study, self.counts, self.random = grpo_study(folder / "study"), Counts(seed), random.Random(seed)
        self.study.run(*CHAIN)
        self.whole = results(self.study.checksums(RESULTS))
        self.begin_anew()

    def begin_anew(self) -> None:
        """Remove all that was made."""
        shutil.rmtree(self.study.root / "results")
        shutil.rmtree(self.study.root / ".snakemake")

    def kill_once(self) -> None:
        """Run until a random moment, kill, and count what the kill before this one cost."""
        before = self.states()
        head = self.study.start(*CHAIN, warm=True)
        if not ended_within(head, SHORTEST + self.random.expovariate(1 / (MEAN - SHORTEST))):
            victim = self.random.choice(VICTIMS)
            kill(head, victim, self.random)
            self.counts.kills[victim] += 1
        self.compare_states(before)
        if head.returncode == 0:
            self.compare_results()
            self.begin_anew()

    def states(self) -> States:
        """Inode and time of every result; jobs that lost their head may still be at work."""
        found = {}
        for path in (self.study.root / RESULTS).rglob("*"):
            with suppress(FileNotFoundError):
                about = path.stat()
                if stat.S_ISREG(about.st_mode):
                    found[str(path.relative_to(self.study.root))] = (about.st_ino, about.st_mtime_ns)
        return results(found)

    def compare_states(self, before: States) -> None:
        """Which files that were whole before are not the same files now."""
        after = self.states()
        again = [path for path, state in before.items() if after.get(path) != state]
        self.counts.shards_made_again += sum("-shard" in path for path in again)
        self.counts.files_made_again += len(again)
        self.counts.most_files_made_again_after_a_kill = max(self.counts.most_files_made_again_after_a_kill, len(again))

    def compare_results(self) -> None:
        """A chain that has ended against the undisturbed one."""
        made = results(self.study.checksums(RESULTS))
        self.counts.whole_chains += 1
        self.counts.files_compared += len(self.whole)
        self.counts.files_lost += len(self.whole.keys() - made.keys())
        self.counts.files_changed += sum(made[path] != self.whole[path] for path in self.whole.keys() & made.keys())

    def finish(self) -> None:
        """Let the last chain end undisturbed."""
        self.study.run(*CHAIN)
        self.compare_results()


def grpo_study(root: Path) -> Study:
    """The study of the workflow's tests, with a short run of GRPO, in a fresh folder."""
    study = make_study(root)
    study.edit(TINY, lambda scale: scale["overrides"]["runs"]["grpo"].update(generator_epochs=assumed(2)))
    return study


def results(files: dict) -> dict:
    """Without logs, timings, states of trainings that go on, locks and temporary files."""
    return {
        path: value
        for path, value in files.items()
        if not set(NO_RESULTS) & set(Path(path).parts) and not Path(path).name.startswith(".")
    }


def ended_within(head, seconds: float) -> bool:
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and head.poll() is None:
        time.sleep(0.01)
    return head.poll() is not None


def kill(head, victim: str, random_numbers: random.Random) -> None:
    """kill -9. A head that loses a job gives up by itself; jobs that lose their head go on."""
    jobs = jobs_of(head.pid)
    if victim == "job" and jobs:
        os.kill(random_numbers.choice(jobs), signal.SIGKILL)
        head.wait(timeout=GIVES_UP_WITHIN)
        return
    (os.kill if victim == "head" else os.killpg)(head.pid, signal.SIGKILL)
    head.wait()


def jobs_of(head: int) -> list[int]:
    """Processes of a head that run a step of the workflow, not the shells around them nor what they share."""
    with suppress(psutil.NoSuchProcess):
        below = {one.pid: one.cmdline()[1:3] for one in psutil.Process(head).children(recursive=True)}
        steps = [pid for pid, words in below.items() if words[:1] == ["-m"] and words[1].startswith(PACKAGE)]
        return sorted(pid for pid in steps if below[pid][1] != WARM)
    return []


def soak(kills: int, minutes: float, seed: int) -> Counts:
    """Kill until there were `kills`, or until `minutes` have passed; then let the chain end and compare."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        one = Soak(Path(folder), seed)
        for _ in progress(rounds(one.counts, kills, start + 60 * minutes), kills, "kills"):
            one.kill_once()
        one.finish()
    one.counts.minutes = round((time.monotonic() - start) / 60, 1)
    return one.counts


def rounds(counts: Counts, kills: int, deadline: float) -> Iterable[int]:
    """Until there were enough kills, or the time is over."""
    while (done := sum(counts.kills.values())) < kills and time.monotonic() < deadline:
        yield done


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--minutes", type=float, default=60, help="ends after these even with fewer kills")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    counts = soak(args.kills, args.minutes, args.seed)
    write_json(OUT, asdict(counts))
    print("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in asdict(counts).items()))
    if counts.files_lost or counts.files_changed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
