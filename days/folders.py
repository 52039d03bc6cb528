"""The dated folders of later runs, and `latest`, which points to the newest run that kept what was known.

OUT is the first run's folder. A later one is a complete run of its own in OUT/days/2026-11-30/ (the second of a day:
2026-11-30_2), with log/day.json: {"before": the run it goes on from, as a path from OUT, "opened", and once it is closed
"closed", "passed", "why": lines that say what held or did not}. OUT/latest is a relative link.

    with claim_run_folder(out):
        day = next_day(out)                     # the one that a kill left open, or a new one
        make_day(out, day)                      # if it is new
        ...                                     # collect, train, ask
        close_day(out, day, passed, why)        # moves latest if it passed
        prune(out, most_bytes)

A kill between any two steps loses nothing: a day is open until log/day.json says that it is closed, which is written last,
and closing it again does the same.

    python -m days.folders back output/company      # latest is again the run before
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import logging
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from engines.processes import lock_folder
from utils import InputError, log_file, read_json, run_script, write_json

DAYS, LATEST, DAY_FILE = "days", "latest", "day.json"
FIRST = "first"  # the name of the first run in the ledger
BESIDE_FOLDER = "beside"  # of a day: the adapter of its new rows alone
NAME = re.compile(r"(\d{4}-\d\d-\d\d)(?:_(\d+))?")
NEXT = ".next"  # in DAYS: what there is of the next day already, such as the replies that a plan has asked for
ADAPTER = "adapter_model.safetensors"
KEPT_OF_ADAPTER = {"log", "train_log.json", "loss_curve.png"}  # the rest of lora/ is weights and what belongs to them

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Day:
    """A run in the folder `out`: the first, which is `out` itself, or that of a day."""

    out: Path
    run: Path

    @property
    def is_first(self) -> bool:
        return self.run == self.out

    @property
    def name(self) -> str:
        return FIRST if self.is_first else self.run.name

    @property
    def before(self) -> Day:
        """The run that a day goes on from."""
        return Day(self.out, run_before(self.out, self.run))

    def note(self, **told: object) -> None:
        """Add to log/day.json."""
        write_json(log_file(self.run / DAY_FILE), read_day(self.run) | told)


def all_runs(out: Path) -> list[Path]:
    """The first run and all later ones, the oldest first, whether they passed or not."""
    found = [path for path in (out / DAYS).glob("*") if NAME.fullmatch(path.name) and path.is_dir()]
    return [out, *sorted(found, key=date_and_number)]


def date_and_number(day: Path) -> tuple[str, int]:
    date, number = NAME.fullmatch(day.name).groups()
    return date, int(number or 1)


def read_day(run: Path) -> dict:
    """What log/day.json says of a run; of the first run, which has none, that it passed."""
    path = log_file(run / DAY_FILE)
    return read_json(path, "how a day ended") if path.is_file() else {"before": None, "passed": True}


def latest(out: Path) -> Path:
    """The run that `latest` points to; where there is no link, the newest one that passed.

    InputError if it points to no run, or if something else has that name.
    """
    link, runs = out / LATEST, all_runs(out)
    if not os.path.lexists(link):
        return next(run for run in reversed(runs) if read_day(run).get("passed"))
    target = Path(os.path.normpath(out / os.readlink(link))) if link.is_symlink() else None
    run = next((run for run in runs if Path(os.path.normpath(run)) == target), None)
    if run is None:
        found = "something else" if target is None else f"one to {target}"
        raise InputError(
            f"expected {link} to be a link to {out} or to a folder in {out / DAYS}, found {found}: remove it, then the "
            "newest run that passed is taken"
        )
    return run


def run_before(out: Path, run: Path) -> Path | None:
    """The run that another one goes on from; None for the first."""
    before = read_day(run)["before"]
    return None if before is None else out / before  # spelt as in all_runs, also where `out` has a ".." in it


def history(out: Path, run: Path) -> list[Path]:
    """The runs that led to a run, the first one first: none that did not pass, and none that was gone back from."""
    found: list[Path] = []
    before = run_before(out, run)
    while before is not None:
        found.append(before)
        before = run_before(out, before)
    return found[::-1]


def next_day(out: Path, today: datetime.date | None = None) -> Path:
    """The folder of the newest day if that is not closed yet, or of a new one, which is not made here.

    The name of a new one is today's date, or the newest day's if the clock has been set back, so that names stay in order.
    """
    runs = all_runs(out)
    if read_day(runs[-1]).get("passed") is None:
        return runs[-1]
    name = (today or datetime.date.today()).isoformat()
    if runs[1:]:
        date, number = date_and_number(runs[-1])
        name = f"{date}_{number + 1}" if date >= name else name
    return out / DAYS / name


def make_day(out: Path, day: Path) -> None:
    """Make the folder of a day that goes on from `latest`, of what is in NEXT."""
    unfinished, opened = out / DAYS / NEXT, datetime.datetime.now().isoformat(" ", "seconds")
    write_json(log_file(unfinished / DAY_FILE), {"before": os.path.relpath(latest(out), out), "opened": opened})
    unfinished.rename(day)


def close_day(out: Path, day: Path, passed: bool, why: Iterable[str]) -> None:
    """Move `latest` to a day if it `passed`, then write down that it is closed and `why` it did or did not pass."""
    if passed:
        move_latest(out, day)
    closed = datetime.datetime.now().isoformat(" ", "seconds")
    write_json(log_file(day / DAY_FILE), read_day(day) | {"closed": closed, "passed": passed, "why": [*why]})


def move_latest(out: Path, run: Path) -> None:
    """Let `latest` point to a run, from one moment to the next."""
    link, moved = out / LATEST, out / f".{LATEST}"
    try:
        moved.unlink(missing_ok=True)
        moved.symlink_to(os.path.relpath(run, out), target_is_directory=True)
        moved.replace(link)
    except OSError as error:
        moved.unlink(missing_ok=True)
        raise InputError(
            f"expected to make {link} a link to {run}, found {error.strerror}: move away what is there, or give an OUT on a "
            "file system that has links"
        ) from None


def go_back(out: Path) -> Path:
    """Let `latest` point to the run before, and return that; InputError if there is none, or if its adapter was pruned."""
    with lock_folder(out):
        run = latest(out)
        before = run_before(out, run)
        if before is None:
            raise InputError(f"expected a run before the latest of {out}, found only the first: nothing is changed")
        if not (before / "lora" / ADAPTER).is_file():
            raise InputError(
                f"expected the adapter of {before}, found that it was removed to save room: nothing is changed; train again "
                "on the documents of that day"
            )
        move_latest(out, before)
    return before


def prune(out: Path, most_bytes: float) -> list[Path]:
    """Remove the adapters, checkpoints and exports of the oldest runs until all together have at most `most_bytes`.

    Data, answers and reports stay, and so do the weights of the latest run, of the run before it, and of an open day; a
    line says so if these alone have more. Returns the runs whose weights were removed.
    """
    kept = {latest(out), run_before(out, latest(out))}
    sizes = {run: sum(map(size_of, weights_of(run))) for run in all_runs(out)}
    removed = []
    for run, size in sizes.items():
        if sum(sizes.values()) <= most_bytes:
            break
        if size and run not in kept and read_day(run).get("passed") is not None:
            for path in weights_of(run):
                path.unlink() if path.is_file() else shutil.rmtree(path)
            removed.append(run)
            sizes[run] = 0
            log.info("%s: adapter removed, %.0f MB", run, size / 1e6)
    if sum(sizes.values()) > most_bytes:
        message = "the adapters in %s have %.0f MB, more than %.0f: those of the latest run and the run before are kept"
        log.warning(message, out, sum(sizes.values()) / 1e6, most_bytes / 1e6)
    return removed


def weights_of(run: Path) -> list[Path]:
    """What can be removed of a run, its adapter first: without that, what is left is not taken for one."""
    adapter = [path for path in (run / "lora").glob("*") if path.name not in KEPT_OF_ADAPTER]
    exported = [run / name for name in ("export", BESIDE_FOLDER) if (run / name).is_dir()]
    return sorted(adapter, key=lambda path: (path.name != ADAPTER, path.name)) + exported


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(file.stat().st_size for file in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=["back"], help="let latest point to the run before")
    parser.add_argument("out", type=Path, help="the OUT of shells/run_all.sh")
    given = parser.parse_args()
    if not given.out.is_dir():
        raise InputError(f"expected a run in {given.out}, found no folder: give the OUT of shells/run_all.sh")
    print(f"{given.out / LATEST}: now {go_back(given.out)}")


if __name__ == "__main__":
    run_script(main)
