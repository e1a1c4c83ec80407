"""What is read from a run's folder: states, failures, time left, and what jobs used of what they asked for."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from workflow_scripts.lib import locks
from workflow_scripts.lib.jobs import Job
from workflow_scripts.lib.monitor import efficiency_report, summary
from workflow_scripts.lib.monitor.benchmarks import Measured, expected_seconds, read_benchmarks
from workflow_scripts.lib.monitor.efficiency import Use, advice, efficiency_of
from workflow_scripts.lib.monitor.logs import last_lines, last_progress, seconds_left
from workflow_scripts.lib.monitor.snakemake_folder import about_heads, failures, living_heads, marker_of
from workflow_scripts.lib.monitor.states import DONE, FAILED, QUEUED, RUNNING, WAITING, Seen, look

START = """[Tue Nov 24 17:10:15 2026]
rule import_images:
    output: {output}
    log: {log}
    jobid: 21
    resources: tmpdir=/tmp, mem_mb=1500
"""
ERROR = """[Tue Nov 24 17:10:20 2026]
Error in rule import_images:
    message: None
    jobid: 21
    output: {output}
    log: {log} (check log file(s) for error details)
    shell:
        python -m workflow_scripts.import_images --out {output} > {log} 2>&1
        (command exited with non-zero exit code)
Logfile {log}:
================================================================================
rule broken:
    output: what a log says is no output of Snakemake
"""
FILES = {"output": "results/a.json", "log": "results/logs/a.log"}
HOLD = "import sys, time; from pathlib import Path; from workflow_scripts.lib.locks import hold; "
HOLD += "file = hold(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def job(output: str = "results/a.json", rule: str = "import_images", needed: bool = True, **wildcards: str) -> Job:
    benchmark = f"results/benchmarks/{rule}/{Path(output).stem}.jsonl"
    return Job(rule, wildcards, [], [output], [f"results/logs/{Path(output).stem}.log"], benchmark, 0, 1, {}, needed)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Snakemake's folder of a run in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("log", "incomplete", "locks", "heads"):
        (tmp_path / ".snakemake" / name).mkdir(parents=True)
    return Path(".snakemake")


@pytest.fixture
def holder():
    """A function: another process that holds a lock until the test ends; it is returned, to be killed."""
    processes = []

    def start(path: Path) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(Path(path).absolute())], stdout=-1, text=True,
                                   cwd=Path(__file__).parents[2])  # fmt: skip
        assert process.stdout.readline() == "held\n"
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def mark(folder: Path, output: str, external_id: str | None = None) -> Path:
    path = folder / "incomplete" / urlsafe_b64encode(output.encode()).decode()
    path.write_text(json.dumps({"external_jobid": external_id}))
    return path


def write_log(folder: Path, *blocks: str, name: str = "1.snakemake.log") -> None:
    (folder / "log" / name).write_text("".join(block.format(**FILES) for block in blocks))


def state_of(folder: Path, of: Job | None = None) -> str:
    return look([of or job()], folder)[0].state


def test_looking_is_light():
    modules = "jobs, monitor.states, monitor.summary, monitor.efficiency_report"
    code = "import sys; " + "; ".join(f"import workflow_scripts.lib.{name}" for name in modules.split(", "))
    code += "; print({'torch', 'numpy', 'pandas', 'snakemake'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# ---- failures in Snakemake's own logs


def test_a_job_that_failed_is_found_with_its_log(folder):
    write_log(folder, START, ERROR)
    assert failures(folder) == {"results/a.json": ["results/logs/a.log"]}
    assert state_of(folder) == FAILED


def test_a_job_that_began_again_has_not_failed(folder):
    write_log(folder, START, ERROR, name="1.snakemake.log")
    write_log(folder, START, name="2.snakemake.log")
    os.utime(folder / "log/1.snakemake.log", (1, 1))
    assert failures(folder) == {}


def test_a_job_that_will_be_tried_again_waits(folder):
    write_log(folder, START, ERROR, "Trying to restart job 21.\n")
    assert state_of(folder) == WAITING


def test_what_the_user_ended_has_not_failed(folder):
    write_log(folder, START, "Terminating processes on user request, this might take some time.\n", ERROR)
    assert state_of(folder) == WAITING


# ---- markers, heads and SLURM


def test_a_marker_means_running_while_a_head_lives_and_interrupted_without(folder, holder):
    mark(folder, "results/a.json")
    assert (found := look([job()], folder)[0]).state == WAITING and found.begun
    head = holder(folder / "heads/other-1.lock")
    assert state_of(folder) == RUNNING
    head.kill()
    head.wait()
    assert state_of(folder) == WAITING


def test_a_name_that_snakemake_cuts_is_found(folder):
    from snakemake.persistence.file import FilePersistence

    output = "results/" + "/".join(["a" * 100] * 4) + ".json"
    FilePersistence(path=folder)._mark_incomplete(output, "12")
    assert marker_of([output], folder).external_id == "12"


def test_a_writer_without_a_head_is_running(folder, holder):
    Path("results").mkdir()
    holder(locks.lock_of(Path("results/a.json")))
    assert state_of(folder) == RUNNING


def test_looking_leaves_locks_as_they_are(folder, holder):
    dead = folder / "heads/other-1.lock"
    dead.touch()
    (folder / "locks/0.output.lock").touch()
    assert living_heads(folder) == [] and "was killed and left its locks" in about_heads(folder)[0]
    assert dead.exists() and (folder / "locks/0.output.lock").exists()
    holder(folder / "heads/other-2.lock")
    assert about_heads(folder)[0].startswith(
        f"head: process {living_heads(folder)[0]['pid']} on {socket.gethostname()}"
    )


COMMENT = "rule_import_images"


@pytest.mark.parametrize(
    "number, answer, state",
    [
        ("7", f"7|RUNNING|HERE|{COMMENT}", RUNNING),
        ("7", f"7|PENDING|HERE|{COMMENT}", QUEUED),
        ("7", f"8|RUNNING|HERE|{COMMENT}", WAITING),
        (None, f"8|RUNNING|HERE|{COMMENT}", RUNNING),
        (None, f"8|RUNNING|/elsewhere|{COMMENT}", WAITING),
        (None, "8|RUNNING|HERE|rule_another", WAITING),
        ("7", "", WAITING),
    ],
)
def test_slurm_says_what_its_jobs_do_when_no_head_lives(folder, monkeypatch, tmp_path, number, answer, state):
    answer = answer.replace("HERE", str(Path.cwd()))
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "squeue").write_text(f"#!/bin/sh\necho '{answer}'\n")
    (tools / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    mark(folder, "results/a.json", number)
    assert state_of(folder) == state


def test_without_squeue_a_head_that_lives_vouches_for_its_slurm_jobs(folder, holder, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    mark(folder, "results/a.json", "7")
    assert state_of(folder) == WAITING
    holder(folder / "heads/other-1.lock")
    assert state_of(folder) == RUNNING


def test_what_is_not_needed_is_done(folder):
    write_log(folder, ERROR)
    assert state_of(folder, job(needed=False)) == DONE


# ---- time left


def took(rule: str, seconds: float, memory_mb=None, cpu_seconds=None, threads=1, **about) -> Measured:
    """A finished job, about which no more is known than what is given."""
    unknown = {"wildcards": {}, "asked": {}, "path": Path("results/benchmarks/none.jsonl")}
    return Measured(rule, seconds, memory_mb, cpu_seconds, threads, **unknown | about)


def test_the_jobs_most_alike_say_how_long_one_takes():
    measured = [
        took("sample", 10, wildcards={"policy": "a", "set": "eval"}),
        took("sample", 20, wildcards={"policy": "b", "set": "eval"}),
        took("sample", 400, wildcards={"policy": "a", "set": "train"}),
        took("score", 1, wildcards={"policy": "c", "set": "eval"}),
    ]
    assert expected_seconds("sample", {"policy": "c", "set": "eval"}, measured) == 15
    assert expected_seconds("sample", {"policy": "b", "set": "eval"}, measured) == 20
    assert expected_seconds("train", {}, measured) is None


def test_a_log_says_how_much_is_left(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("Loading: 50%\rLoading: 100%\nsampling: 120/2000 (6%), 3.2/s, 1:02:05 left\nepoch 3: loss 1\n")
    assert last_progress(log) == "sampling: 120/2000 (6%), 3.2/s, 1:02:05 left"
    assert seconds_left(log) == pytest.approx(3725, abs=5)
    os.utime(log, (time.time() - 60, time.time() - 60))
    assert seconds_left(log) == pytest.approx(3665, abs=5)
    log.write_text("training: 1/9 (11%), 9000.0 s each, 2 days, 3:04:05 left\n")
    assert seconds_left(log) == pytest.approx(2 * 86400 + 3 * 3600 + 245, abs=5)
    assert last_lines(tmp_path / "none.log") == [] and seconds_left(tmp_path / "none.log") is None


def test_what_runs_is_less_what_it_has_run():
    measured = [took("import_images", 100)]
    assert summary.seconds_of(Seen(job(), RUNNING, seconds=30), measured) == 70
    assert summary.seconds_of(Seen(job(), RUNNING, seconds=300), measured) == 0
    assert summary.seconds_of(Seen(job(), WAITING), measured) == 100
    assert summary.seconds_of(Seen(job(), WAITING), []) is None


# ---- the report


def report_of(*seen: Seen, measured=(), heads=("no head runs",)) -> str:
    return summary.report(seen, measured, heads)


def test_the_report_counts_by_rule_and_shows_failing_logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text("first\n\nerror: " + "long " * 40 + "\n")
    text = report_of(
        Seen(job("b.json", "score_images", needed=False), DONE),
        Seen(job("c.json", "score_images"), RUNNING, 61),
        Seen(job("d.json", "score_images"), WAITING),
        Seen(job("a.json"), FAILED, logs=["a.log"]),
        Seen(job("e.json", "train_dpo"), WAITING, begun=True),
        measured=[took("score_images", 100), took("import_images", 1)],
    )
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:5]}
    assert rows["score_images"] == ["3", "1", "1", "-", "1", "-", "0:02:19"]
    assert rows["train_dpo"] == ["1", "-", "-", "-", "1", "-", "not", "known"]
    assert rows["total"] == ["5", "1", "1", "-", "2", "1"]
    assert "failed\n  import_images: a.json\n    log: a.log\n      first\n      error: long" in text
    assert "interrupted; the same command goes on\n  train_dpo: e.json" in text
    assert "0:02:20 of job time" in text and "never measured: train_dpo" in text
    assert max(map(len, text.splitlines())) <= summary.COLUMNS
    assert "\x1b" not in text


@pytest.mark.parametrize("found, status", [([DONE], 0), ([DONE, WAITING], 3), ([RUNNING], 3), ([WAITING, FAILED], 1)])
def test_exit_statuses(found, status):
    assert summary.exit_status([Seen(job(), state) for state in found]) == status


def test_colour_is_of_states_only():
    assert summary.coloured("1", FAILED) == "\x1b[31m1\x1b[0m"
    assert summary.coloured("1", WAITING) == "1"


# ---- efficiency


def write_benchmark(path: Path, **line) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(line) + "\n")


def test_benchmarks_are_read_with_and_without_what_was_asked(tmp_path):
    folder = tmp_path / "results/benchmarks"
    asked = {"rule_name": "encode_given_images", "threads": 2, "resources": {"mem_mb": 4000, "runtime": 10}}
    write_benchmark(folder / "encode_latents/a.jsonl", s=60.0, max_rss=1000.0, cpu_time=90.0, **asked)
    write_benchmark(folder / "score_images/a/b.jsonl", s=1.0, max_rss="NA", cpu_time="NA")
    (folder / "score_images/half.jsonl").write_text('{"s": 1')
    full, short = read_benchmarks([folder])
    assert (full.rule, full.seconds, full.memory_mb, full.cpu_seconds, full.threads) == (
        "encode_given_images", 60, 1000, 90, 2)  # fmt: skip
    assert (short.rule, short.memory_mb, short.cpu_seconds, dict(short.asked)) == ("score_images", None, None, {})


def test_efficiency_is_of_the_job_that_used_most_of_what_it_asked_for(tmp_path):
    log = tmp_path / "results/logs/sample_images/b.log"
    log.parent.mkdir(parents=True)
    log.write_text("sampling\npeak GPU memory: 20000 of 80000 MB\n")
    asked = {"mem_mb": 32_000, "runtime": 60}
    path = tmp_path / "results/benchmarks/sample_images/b.jsonl"
    [row] = efficiency_of([
        took("sample_images", 600, 11_000, 900, 2, asked=asked),
        took("sample_images", 1200, 9_000, 900, 2, asked={**asked, "mem_mb": 64_000}, path=path),
    ])  # fmt: skip
    assert (row.jobs, row.median_seconds, row.longest_seconds) == (2, 900, 1200)
    assert row.cpu == 1800 / (2 * 1800)
    assert row.memory_mb == Use(11_000, 32_000) and row.minutes == Use(20, 60)
    assert row.gpu_memory_mb == Use(20_000, 80_000)
    assert advice(row) == ["sample_images asks for 32,000 MB and used at most 11,000: mem_mb 16000 would do"]


def test_what_runs_on_other_nodes_is_not_taken_for_idle():
    asked = {"mem_mb": 384_000, "runtime": 60, "mpi": "srun"}
    [row] = efficiency_of([took("train_dpo", 1200, 50, 3, 16, asked=asked)])
    assert (row.memory_mb, row.cpu, row.minutes) == (None, None, Use(20, 60))
    assert advice(row) == []


@pytest.mark.parametrize(
    "used, said",
    [
        ({"memory_mb": 3700}, "mem_mb 6000 is safer"),
        ({"memory_mb": 2100}, None),
        ({"memory_mb": 900}, "mem_mb 2000 would do"),
        ({"seconds": 59 * 60}, "runtime 118 is safer"),
        ({"seconds": 20 * 60}, None),
        ({"seconds": 10 * 60}, "runtime 30 would do"),
        ({"threads": 8, "cpu_seconds": 2000.0}, "threads 3 would do"),
        ({"threads": 2, "cpu_seconds": 1200.0}, None),
    ],
)
def test_advice(used, said):
    one = took(**{"rule": "a", "seconds": 1200.0, **used}, asked={"mem_mb": 4000, "runtime": 60})
    found = advice(efficiency_of([one])[0])
    assert [line.partition(": ")[2] for line in found] == ([said] if said else [])


def test_the_report_of_a_warm_scale_leaves_out_what_was_not_seen():
    rows = efficiency_of([took("a", 60, 20, 1.0, 1, asked={"mem_mb": 1500, "runtime": 15})])
    cold, warm = (efficiency_report.report(rows, warm=one) for one in (False, True))
    assert "20 of 1,500" in cold and "2%" in cold and "1.0 of 15" in cold
    assert "20 of 1,500" not in warm and "1.0 of 15" in warm and "warm process" in warm
    assert efficiency_report.report([], warm=False) == efficiency_report.NOTHING
