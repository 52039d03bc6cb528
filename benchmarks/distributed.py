"""What was tested of several ranks, GPUs and vLLM on a machine without GPUs; writes results/distributed.json.

Each fault that would end a day on GPUs has its tests in the tables here; they run in this environment, two ranks over gloo.
The continuous feeding of vLLM is tested with --vllm_python against its CPU build, which is not in requirements.txt.

In:  nothing.
Out: --out, {"faults": {"1": its tests, or their outcome if they did not pass, ...}, "two_ranks": {flag: true, false or
     "skipped"}, "vllm_cpu": {flag: ..., "date", "versions"}, "tests": {test: outcome}, "machine", "date", "commit",
     "versions"}. Without --vllm_python, "vllm_cpu" is kept from the file.

    python benchmarks/distributed.py                                                      # about 10 minutes on 2 cores
    python benchmarks/distributed.py --vllm_python .venv-optional/bin/python              # about 5 more

    .venv-optional is made by: OPTIONAL=yes bash shells/test.sh tests/test_vllm_engine.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import commit, machine, today, versions
from utils import InputError, parse_arguments, read_json, run_script, write_json

ROOT = Path(__file__).resolve().parents[1]
LONGEST_S = 3600.0
RANKS = "tests/test_distributed.py::"
REPLAY = RANKS + "test_replayed_answers_are_made_once_while_the_other_rank_waits"
VALIDATION = RANKS + "test_validation_on_two_ranks_finds_the_loss_of_one"
BUDGET = RANKS + "test_deepspeed_trains_to_a_time_budget"
KILLED = RANKS + "test_a_killed_launcher_leaves_no_worker_and_the_next_start_goes_on"
FAULTS = {
    "1": (  # gradients that are not numbers
        "tests/test_trainer.py::test_padding_is_on_the_right_and_no_mask_is_passed",
        "tests/test_trainer.py::test_cudnn_attention_is_off_in_training",
        "tests/test_trainer.py::test_what_is_not_a_number_stops_the_run_and_names_step_and_rows",
    ),
    "2": (  # what a GPU needs is not installed where the shells look
        "tests/test_setup_shell.py::test_where_there_is_a_gpu_what_needs_one_is_installed",
        "tests/test_setup_shell.py::test_a_driver_too_old_is_one_line_with_the_remedy",
        "tests/test_placement.py::test_a_gpu_without_vllm_is_said_in_one_line_with_the_remedy",
    ),
    "3": (  # one GPU of eight works
        "tests/test_placement.py::test_copies_fill_the_usable_gpus",
        "tests/test_gpus.py::test_gpus_that_others_use_are_left_out_and_named_in_one_line",
        "tests/test_gpus.py::test_the_share_of_a_slurm_job_is_respected",
    ),
    "4": ("tests/test_trainer.py::test_validation_asks_liger_kernels_for_logits",),
    "5": (REPLAY + "[zero3]",),  # replay under ZeRO-3 hangs
    "6": (BUDGET,),  # DeepSpeed with a time budget crashes
    "7": (  # QLoRA is not read back
        "tests/test_read_back.py::test_what_rounding_explains_goes_by_what_was_computed_how",
        "tests/test_read_back.py::test_float32_weights_under_bfloat16_autocast_are_compared_as_such",
    ),
    "8": (  # too many examples an update on many GPUs
        "tests/test_recommended.py::test_an_update_has_so_many_tokens_that_a_training_has_some_hundreds",
        "tests/test_launch.py::test_ranks_that_would_have_too_little_to_do_are_not_started",
        RANKS + "test_updates_by_tokens_are_the_default_at_any_count_of_ranks",
    ),
    "9": (  # the base copied into every rank's memory; a model that does not fit
        "tests/test_trainer.py::test_the_adapter_alone_is_saved_under_deepspeed_too",
        "tests/test_launch.py::test_sharding_goes_by_weights_card_and_number",
    ),
    "10": (  # two models in memory
        "tests/test_judge_process.py::test_the_judge_is_gone_and_all_is_written_before_the_next_model_comes",
        "tests/test_judge_process.py::test_a_drift_that_fails_loses_nothing",
    ),
    "11": (  # workers that outlive their launcher
        KILLED,
        "tests/test_processes.py::test_the_next_start_ends_what_a_killed_run_left_and_names_it",
        "tests/test_processes.py::test_two_runs_do_not_share_a_folder",
    ),
    "12": (VALIDATION,),  # validation loss divided by the number of ranks
}
TWO_RANKS = {
    "replay": (REPLAY + "[ddp]",),
    "validation": (VALIDATION,),
    "validation_loss_same": (VALIDATION,),
    "zero3_replay": (REPLAY + "[zero3]",),
    "deepspeed_budget": (BUDGET,),
    "launcher_killed": (KILLED,),
}
VLLM = {
    "continuous": ("tests/test_vllm_engine.py::test_continuous_feeding_keeps_vllm_full_and_is_journaled_in_groups",),
    "two_copies": ("tests/test_vllm_engine.py::test_two_copies_answer_as_one_and_stale_replies_are_dropped",),
    "stale": ("tests/test_vllm_engine.py::test_stale_requests_of_a_stopped_call_are_not_answered_in_the_next",),
}


@dataclass
class Arguments:
    out: str = "results/distributed.json"
    vllm_python: str | None = field(default=None, metadata={"help": "The Python of an environment with vllm-cpu."})


def test_names(table: dict[str, tuple[str, ...]]) -> list[str]:
    """All tests of a table, each once."""
    return list(dict.fromkeys(test for tests in table.values() for test in tests))


def run_tests(python: str, tests: list[str]) -> dict[str, str]:
    """{test: "passed", "failed" or "skipped"} from pytest in one environment; the worst one for a test with several cases."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = [python, "-m", "pytest", "-q", "-o", "addopts=", f"--junitxml={report}", *tests]
        try:
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"expected {python} to run the tests, found {error}: give another Python") from None
        print(done.stdout[-3000:], flush=True)
        if done.returncode > 1 or not report.is_file():  # 1: tests have failed
            raise InputError(
                f"expected pytest to run {len(tests)} tests, found exit code {done.returncode}: {done.stderr[-1000:]}"
            )
        return outcomes(report, tests)


def outcomes(report: Path, tests: list[str]) -> dict[str, str]:
    """The outcome of each test in a JUnit report; a test without a case was skipped by its module."""
    found: dict[str, list[str]] = {test: [] for test in tests}
    for case in ElementTree.parse(report).iter("testcase"):
        identity = f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}"
        bad, skipped = (
            any(case.find(tag) is not None for tag in tags) for tags in (("failure", "error"), ("skipped",))
        )
        for test in {identity, identity.partition("[")[0]} & found.keys():
            found[test].append("failed" if bad else "skipped" if skipped else "passed")
    return {test: worst_outcome(results) for test, results in found.items()}


def worst_outcome(results: list[str]) -> str:
    return next((result for result in ("failed", "skipped", "passed") if result in results), "skipped")


def outcome_flags(table: dict[str, tuple[str, ...]], found: dict[str, str]) -> dict[str, bool | str]:
    """For each line of a table, whether all its tests passed; "skipped" if one was not run."""
    results = {name: worst_outcome([found[test] for test in tests]) for name, tests in table.items()}
    return {name: result if result == "skipped" else result == "passed" for name, result in results.items()}


def tested_faults(found: dict[str, str]) -> dict[str, str]:
    """The tests of each fault, after their outcome if one did not pass."""
    lines = {}
    for number, tests in FAULTS.items():
        result, text = worst_outcome([found[test] for test in tests]), ", ".join(tests)
        lines[number] = text if result == "passed" else f"{result}: {text}"
    return lines


def read_versions(python: str) -> dict[str, str]:
    """The package versions in another environment."""
    program = "import json, provenance; print(json.dumps(provenance.versions()))"
    done = subprocess.run([python, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def vllm_outcomes(arguments: Arguments) -> dict:
    """The outcome of the tests against vLLM, now or from the earlier results."""
    if arguments.vllm_python is None:
        before = read_json(arguments.out, "earlier results") if Path(arguments.out).is_file() else {}
        return before.get("vllm_cpu") or {**dict.fromkeys(VLLM, "skipped"), "date": None}
    found = run_tests(arguments.vllm_python, test_names(VLLM))
    return {**outcome_flags(VLLM, found), "date": today(), "versions": read_versions(arguments.vllm_python)}


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    began = time.monotonic()
    found = run_tests(sys.executable, test_names(FAULTS | TWO_RANKS))
    result = {
        "faults": tested_faults(found),
        "two_ranks": outcome_flags(TWO_RANKS, found),
        "vllm_cpu": vllm_outcomes(arguments),
        "tests": found,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "versions": versions(),
        "machine": machine(),
        "date": today(),
        "commit": commit(),
    }
    write_json(arguments.out, result)
    bad = sorted(test for test, outcome in found.items() if outcome != "passed")
    vllm = [name for name in VLLM if result["vllm_cpu"][name] is not True]
    print(f"{len(found) - len(bad)} of {len(found)} tests passed" + "".join(f"\n{found[test]}: {test}" for test in bad))
    if vllm:
        print(f"not tested with vLLM, or failed: {', '.join(vllm)}")
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    run_script(main)
