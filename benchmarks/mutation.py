"""Puts small faults into the code one at a time: how many do the tests notice?

mutmut (https://mutmut.readthedocs.io) changes the functions in the modules that need no model, as set in pyproject.toml,
and for each change runs the tests that reach it. What it cannot change, and what once went unnoticed, is in
benchmarks/faults.toml: a name, a file, the old text, the new one, and the tests that must fail with it. Mutants without any
visible effect are listed with the reason in benchmarks/harmless_mutants.toml and not counted.

In:  nothing. Earlier results are kept in mutants/ and not tested again; `rm -r mutants` starts over.
Out: --results, {"tool", "modules": {name: {"mutants", "noticed", "harmless"}}, "made": all mutants there are, "mutants": those
     that were tested, "noticed", "harmless", "share": noticed / (mutants - harmless), "faults": {name: noticed or not},
     "seconds" of this start, "machine", "date", "commit", "versions"};
     --survivors, the mutants that nothing noticed, each as a diff.

    bash shells/setup.sh requirements-dev.txt
    .venv/bin/python benchmarks/mutation.py                      # hours on 2 cores; may be stopped and started
    .venv/bin/python benchmarks/mutation.py --per_module 85      # a sample: half as many
    .venv/bin/mutmut run "evaluation.win_rate*"                  # one module again, after its tests changed
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import provenance
from utils import InputError, parse_arguments, run_script, write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ROOT / "benchmarks" / "faults.toml"
HARMLESS = ROOT / "benchmarks" / "harmless_mutants.toml"
NOTICED = ("killed", "timeout", "segfault")  # a test fails, or no longer ends
UNTESTED = ("not checked", "suspicious")
LONGEST_FAULT_S = 600


@dataclass
class Arguments:
    results: str = field(default="results/mutation.json", metadata={"help": "The JSON file to write."})
    survivors: str = field(default="output/mutation_survivors.diff", metadata={"help": "The survivors, as a diff."})
    per_module: int | None = field(
        default=None, metadata={"help": "Test mutants until each module has this many results; default: all."}
    )
    workers: int = field(default=2, metadata={"help": "Mutants tested at the same time."})


def mutmut(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "mutmut", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"expected mutmut {arguments[0]} to end well, found {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def mutate(workers: int, per_module: int | None) -> None:
    """Test every mutant without a result, or enough in each module to make `per_module`; mutmut shows the progress."""
    models = ROOT / "mutants" / "models"  # tests on tokens need a tokenizer
    models.parent.mkdir(exist_ok=True)
    if not models.exists():
        models.symlink_to(ROOT / "models")
    if not per_module:
        run_mutmut(workers)
        return
    if not (ROOT / "mutants" / "mutmut-stats.json").is_file():  # some, so that mutmut writes all of them
        run_mutmut(workers, "utils.*__mutmut_1")
    if wanted := untested_sample(results(), per_module):
        run_mutmut(workers, *wanted)


def run_mutmut(workers: int, *mutants: str) -> None:
    """Test these mutants, given by name or pattern; by default all without a result."""
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(workers), *mutants]
    code = subprocess.run(command, cwd=ROOT).returncode
    if code:
        raise InputError(f"expected mutmut to test every mutant, found exit code {code}: see what it printed")


def results() -> dict[str, str]:
    """The result for each mutant: {"evaluation.win_rate.x_summarize__mutmut_3": "killed", ...}; "not checked" before."""
    return dict(line.split(": ") for line in map(str.strip, mutmut("results", "--all", "true").splitlines()) if line)


def untested_sample(found: dict[str, str], per_module: int) -> list[str]:
    """The mutants still to test so that each module has `per_module` results, spread evenly over the untested ones."""
    wanted = []
    for module in sorted({module_of(name) for name in found}):
        own = [name for name in found if module_of(name) == module]
        untested = [name for name in own if found[name] in UNTESTED]
        amount = min(len(untested), max(0, per_module - (len(own) - len(untested))))
        wanted += [untested[number * len(untested) // amount] for number in range(amount)]
    return wanted


def require_tested(found: dict[str, str], per_module: int | None) -> None:
    """InputError if mutants that should have a result have none."""
    untested = untested_sample(found, per_module or len(found))
    if untested:
        raise InputError(f"expected a result of every mutant, found none of {len(untested)}: start this again")


def function_of(mutant: str) -> str:
    """The function of evaluation.win_rate.x_share__mutmut_3 or budget.xǁClockǁend__mutmut_1: evaluation.win_rate.share, budget.Clock.end."""
    module, _, name = mutant.rpartition(".")
    name = name.rpartition("__mutmut_")[0]
    return f"{module}.{name.removeprefix('xǁ').replace('ǁ', '.') if 'ǁ' in name else name.removeprefix('x_')}"


def module_of(mutant: str) -> str:
    return mutant.rpartition(".")[0]


def changed_lines(diff: str, sign: str = "+") -> str:
    """The lines that a diff adds ("+") or removes ("-"), without indentation."""
    own = (line for line in diff.splitlines() if line.startswith(sign) and not line.startswith(f"{sign * 3} "))
    return "\n".join(line[1:].strip() for line in own)


def harmless(survivors: dict[str, str], sampled: Container[str] = ()) -> set[str]:
    """The mutants listed in HARMLESS: by function and new text, or anywhere by how they change a line.

    InputError if it lists one that is not a survivor, except for functions of which only a sample was tested.
    """
    named = tomllib.loads(HARMLESS.read_text(encoding="utf-8"))
    anywhere = named.pop("anywhere", [])
    left = {(function, one["becomes"]) for function, mutants in named.items() for one in mutants}
    found = {name for name, diff in survivors.items() if (function_of(name), changed_lines(diff)) in left}
    stale = left - {(function_of(name), changed_lines(survivors[name])) for name in found}
    stale = {one for one in stale if one[0] not in sampled}
    if stale:
        raise InputError(f"expected survivors alone in {HARMLESS.name}, found {sorted(stale)}: remove them")
    for one in anywhere:
        found |= {name for name, diff in survivors.items() if makes_change(diff, one["old"], one["new"])}
    return found


def makes_change(diff: str, old: str, new: str) -> bool:
    """Whether a diff does nothing but replace one `old` by `new`."""
    before, after = changed_lines(diff, "-"), changed_lines(diff)
    places = [match.start() for match in re.finditer(re.escape(old), before)]
    return any(after == before[:place] + new + before[place + len(old) :] for place in places)


def copy_tree(folder: Path) -> None:
    """Copy the files that git knows, in their current state, and link the demo model."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "models").symlink_to(ROOT / "models")


def tests_pass(folder: Path, tests: list[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    code = subprocess.run(command, cwd=folder, capture_output=True, timeout=LONGEST_FAULT_S).returncode
    if code not in (0, 1):
        raise InputError(f"expected tests that pass or fail, found exit code {code} of pytest {' '.join(tests)}")
    return code == 0


def check_faults() -> dict[str, bool]:
    """Whether the tests for each fault in FAULTS fail with it. InputError if they fail without it, or its place is missing."""
    faults = tomllib.loads(FAULTS.read_text(encoding="utf-8"))["fault"]
    noticed = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_tree(folder)
        if not tests_pass(folder, sorted({test for fault in faults for test in fault["tests"]})):
            raise InputError(f"expected the tests in {FAULTS.name} to pass without a fault, found one that fails")
        for fault in faults:
            file = folder / fault["file"]
            whole = file.read_text(encoding="utf-8")
            if whole.count(fault["old"]) != 1:
                raise InputError(
                    f"expected the old text of {fault['name']!r} once in {fault['file']}: correct {FAULTS.name}"
                )
            file.write_text(whole.replace(fault["old"], fault["new"]), encoding="utf-8")
            noticed[fault["name"]] = not tests_pass(folder, fault["tests"])
            file.write_text(whole, encoding="utf-8")
            print(f"{'noticed' if noticed[fault['name']] else 'NOT NOTICED'}: {fault['name']}", flush=True)
    return noticed


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    if arguments.per_module is not None and arguments.per_module < 1:
        raise InputError(f"expected --per_module of 1 or more, found {arguments.per_module}: leave it out to test all")
    started = time.time()
    faults = check_faults()
    mutate(arguments.workers, arguments.per_module)
    everything = results()
    require_tested(everything, arguments.per_module)
    found = {name: outcome for name, outcome in everything.items() if outcome not in UNTESTED}
    sampled = {function_of(name) for name in everything.keys() - found.keys()}
    survivors = {name: mutmut("show", name) for name, outcome in found.items() if outcome not in NOTICED}
    named = harmless(survivors, sampled)
    write_text(arguments.survivors, "\n".join(diff for name, diff in survivors.items() if name not in named))

    mutants = Counter(map(module_of, found))
    lost = Counter(map(module_of, survivors))
    excused = Counter(map(module_of, named))
    counts = {
        "made": len(everything),
        "mutants": len(found),
        "noticed": len(found) - len(survivors),
        "harmless": len(named),
    }
    write_json(
        arguments.results,
        {
            "tool": f"mutmut {importlib.metadata.version('mutmut')}",
            "modules": {
                name: {"mutants": number, "noticed": number - lost[name], "harmless": excused[name]}
                for name, number in sorted(mutants.items())
            },
            **counts,
            "share": round(counts["noticed"] / (counts["mutants"] - counts["harmless"]), 4),
            "faults": faults,
            "seconds": round(time.time() - started, 1),
            "machine": provenance.machine(),
            "date": provenance.today(),
            "commit": provenance.commit(),
            "versions": provenance.versions(),
        },
    )
    print(counts)


if __name__ == "__main__":
    run_script(main)
