"""What every command line of the workflow shares: its parser, its exit statuses and how it ends when told to."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from .errors import UserError
from .files import disk_full_message, is_disk_full
from .warm import run_warm

Key, Value = TypeVar("Key"), TypeVar("Value")
USER_ERROR, INTERRUPTED, TERMINATED = 2, 130, 143


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser described by the first line of a module's docstring (`cli.parser(__doc__)`).

    Abbreviated options are refused: a command copied from a log must mean the same after new options were added.
    """
    return argparse.ArgumentParser(
        prog=f"python -m workflow_scripts.{Path(sys.argv[0]).stem}",
        description=(doc or "").strip().partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )


def add_hardware(options: argparse.ArgumentParser) -> None:
    """Where a network runs, and in which arithmetic."""
    options.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    help_dtype = "float32, bfloat16 or float16; the last two on a GPU only"
    options.add_argument("--dtype", default="float32", help=help_dtype)


def form(shape: str, *types: Callable[[str], Any]) -> Callable[[str], tuple]:
    """An argparse type for arguments of a shape such as "TITLE:COLUMN=PATH": its parts, none empty, each of its type.

    Without `types` all are texts. The first "=" divides, and the last ":" on its side of it.
    """
    name, _, value = shape.partition("=")
    pattern = re.compile(f"{re.sub('[A-Z]+', '([^=]+)', name)}={re.sub('[A-Z]+', '(.+)', value)}")
    types = types or (str,) * pattern.groups

    def parse(argument: str) -> tuple:
        wrong = argparse.ArgumentTypeError(f"'{argument}' is not of the form {shape}")
        if not (found := pattern.fullmatch(argument)):
            raise wrong
        try:
            return tuple(kind(part) for kind, part in zip(types, found.groups(), strict=True))
        except ValueError:
            raise wrong from None

    return parse


def grouped(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    """All values of each key, in order."""
    groups: dict[Key, list[Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def run(main: Callable[[], None], *, warm: bool = False) -> None:
    """Call `main`; a UserError or a full disk becomes one line on stderr and exit status 2, an interrupt status 130.

    SIGTERM (a cluster's time limit, `scancel`) ends the process with status 143 after the finally-blocks have run;
    a second one ends it at once. Every other error keeps its traceback. With `warm` the command may run in the warm
    process, which has the heavy libraries imported (see `warm.py`).
    """
    try:
        if warm and (status := run_warm(sys.modules["__main__"].__spec__.name)) is not None:
            sys.exit(status)
        signal.signal(signal.SIGTERM, _terminate)
        main()
        _tell_gpu_memory()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except UserError as error:
        _fail(str(error))
    except Exception as error:
        if not is_disk_full(error):
            raise
        _fail(disk_full_message(Path(getattr(error, "filename", None) or ".").absolute().parent))


def _tell_gpu_memory() -> None:
    """Into the log, for `report_efficiency`: what this process used of its GPU, if it used one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        size = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        peak = torch.cuda.max_memory_reserved()  # with what the allocator keeps: what a smaller GPU would have to have
        print(f"peak GPU memory: {peak // 10**6} of {size // 10**6} MB", file=sys.stderr, flush=True)


def _terminate(signum: int, frame: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_DFL)
    sys.exit(TERMINATED)


def _fail(message: str) -> None:
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(USER_ERROR)
