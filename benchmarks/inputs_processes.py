"""A run of benchmarks/inputs.py that starts our scripts: what it prints, how it ends, and what it asked of the server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.inputs_entries import ROOT, Entry
from benchmarks.odd_server import MODES, OddServer, asked_schema

TRACEBACK = r"Traceback \(most recent call last\)"
LONGEST_S = 900  # a run that takes longer has failed
NO_PROXY = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
NOWHERE = "http://127.0.0.1:9"  # a port at which nobody listens, as a proxy: no network
NO_NETWORK = dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), NOWHERE
)
KEYS = ("OPENAI_API_KEY", "HF_HUB_OFFLINE", "WANDB_API_KEY", "PYTHONIOENCODING", "COLUMNS", "LINES")  # not taken over


@dataclass
class Ended:
    """What a script left: its exit code, its output, the seconds it took, and the calls that the server had from it."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    calls: list[dict] = field(default_factory=list)


def environment(entry: Entry, port: int) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in KEYS} | NO_PROXY
    kept |= NO_NETWORK if entry.expected.get("disturb") == "no_network" else {}
    return kept | {key: value.replace("{port}", str(port)) for key, value in entry.expected.get("env", {}).items()}


@contextlib.contextmanager
def server(entry: Entry, mode: str | None = None, more: list[dict] | None = None):
    """The server of an entry, or one in `mode`; `more` are rules before its own."""
    rules = MODES[mode] if mode else entry.expected.get("rules", MODES[entry.expected.get("server", "ok")])
    gone = re.fullmatch(r"server_gone_after:(\d+)", entry.expected.get("disturb", ""))
    with OddServer([*(more or []), *rules], int(gone[1]) if gone and not mode else None) as running:
        yield running


def start(entry: Entry, running: OddServer, script: str, *words) -> Ended:
    """Run a script of ours to its end, with the entry's arguments, environment and terminal."""
    port, before = running.http.server_port, len(running.calls)
    words = [*map(str, words), *(word.replace("{port}", str(port)) for word in entry.expected.get("args", []))]
    command, began = [sys.executable, script, *words], time.monotonic()
    options = {"cwd": ROOT, "env": environment(entry, port), "stdin": subprocess.DEVNULL}
    if "tty" in entry.expected:
        code, output = in_terminal(command, options, *entry.expected["tty"])
        stdout, stderr = output, output
    else:
        try:
            done = subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=False, **options)
            code, stdout, stderr = (
                done.returncode,
                done.stdout.decode("utf-8", "replace"),
                done.stderr.decode("utf-8", "replace"),
            )
        except subprocess.TimeoutExpired:
            code, stdout, stderr = -1, "", f"still running after {LONGEST_S} s"
    return Ended(code, stdout, stderr, time.monotonic() - began, running.calls[before:])


def in_terminal(command: list[str], options: dict, columns: int, lines: int) -> tuple[int, str]:
    """The exit code and the output of a command whose output goes to a terminal of this size."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(command, stdout=slave, stderr=slave, **options)
    os.close(slave)
    watch = threading.Timer(LONGEST_S, process.kill)
    watch.start()
    pieces = []
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while piece := os.read(master, 65536):
            pieces.append(piece)
    os.close(master)
    watch.cancel()
    return process.wait(), b"".join(pieces).decode("utf-8", "replace")


def check_ended(checks: dict, ended: Ended) -> list[str]:
    """What is wrong with how a script ended and what it printed."""
    wrong = []
    code = checks.get("exit_code", ended.code)
    if code != ended.code and not (code == "not 0" and ended.code):
        last = ended.stderr.strip().splitlines()[-1:] or [""]
        wrong.append(f"exit_code: expected {code}, found {ended.code}: {last[0]}")
    lines = ended.stderr.split("\n")  # a carriage return stays in its line
    for pattern in checks.get("stderr_has", []):
        if not any(re.search(pattern, line) for line in lines):
            wrong.append(f"stderr_has: expected {pattern!r}, found {ended.stderr.strip()[-200:]!r}")
    for pattern in [*checks.get("stderr_lacks", []), TRACEBACK]:
        found = [line for line in lines if re.search(pattern, line)]
        more = f" before {lines[-2:]}" if pattern == TRACEBACK else ""
        wrong += [f"stderr_lacks: found {pattern!r} in {found[0]!r}{more}"] if found else []
    if checks.get("stdout_ascii") and not (ended.stdout.isascii() and ended.stderr.isascii()):
        wrong.append(f"stdout_ascii: found {[c for c in ended.stdout + ended.stderr if not c.isascii()][:20]}")
    if ended.seconds > checks.get("seconds_at_most", ended.seconds):
        wrong.append(f"seconds_at_most: expected {checks['seconds_at_most']}, found {ended.seconds:.0f}")
    return wrong + check_calls(checks.get("calls", {}), ended.calls)


def check_calls(checks: dict, calls: list[dict]) -> list[str]:
    """What is wrong with the calls that a server had."""
    wrong, refused = [], [place for place, call in enumerate(calls) if call["status"] != 200]
    after = [call["body"] for call in calls[max(refused[: checks.get("refused_at_most", 0)], default=-1) + 1 :]]
    for key, number in (("refused_at_most", len(refused)), ("at_most", len(calls))):
        if number > checks.get(key, number):
            wrong.append(f"calls: expected {key} {checks[key]}, found {number}")
    for name in checks.get("has", []):
        missing = sum(name not in body for body in after)
        wrong += (
            [f"calls: expected {name} in all, found {missing} of {len(after)} without"] if missing or not after else []
        )
    for name in checks.get("lacks", []):
        there = sum(name in body for body in after)
        wrong += [f"calls: expected {name} in none, found it in {there} of {len(after)}"] if there or not after else []
    if "format" in checks:
        forms = {(body.get("response_format") or {}).get("type", "none") for body in after if asked_schema(body)}
        wrong += (
            [] if forms == {checks["format"]} else [f"calls: expected format {checks['format']}, found {sorted(forms)}"]
        )
    return wrong


def asked_again(first: list[dict], second: list[dict]) -> list[str]:
    """That the second run asked for a reply that the first had; the check of the set-up, a call without a document, is free."""
    had = [json.dumps(call["body"], sort_keys=True) for call in first if call["status"] == 200]
    again = [json.dumps(call["body"], sort_keys=True) for call in second]
    repeated = [body for body in again if body in had]
    return [f"again: expected no call twice, found {len(repeated)}: {repeated[0][-200:]}"] if repeated else []


def write_answers(entry: Entry, folder: Path) -> tuple[str, str]:
    """Write the answers of a judge's run; the names of the tuned and the base model's file."""
    given = entry.expected["answers"]
    if isinstance(given[0], str):
        for name in given:
            (folder / name).write_bytes((entry.folder / name).read_bytes())
        return given[0], given[1]
    for model in ("tuned", "base"):
        rows = [{**row, "response": row[model], "fact": row["reference"], "kind": "qa"} for row in given]
        rows = [{key: value for key, value in row.items() if key not in ("tuned", "base")} for row in rows]
        (folder / f"{model}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return "tuned.json", "base.json"
