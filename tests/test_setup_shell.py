"""shells/setup.sh: which requirements it installs on which machine, by a Python and an nvidia-smi that only take notes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = """#!/usr/bin/env bash
case "$*" in
    "-m venv --clear "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && touch "$4/pyvenv.cfg" ;;
    "-m pip install -r"*)
        echo "${*:4}${PIP_EXTRA_INDEX_URL:+ from the CPU index}" >> "$NOTES"
        [ ! -e "$NOTES.offline" ] || exit 1
        [ -e "$NOTES.torch" ] || echo "2.13.0${PIP_EXTRA_INDEX_URL:++cpu}" > "$NOTES.torch" ;;
    "-m pip uninstall --yes torch") echo "no torch" >> "$NOTES"; rm "$NOTES.torch" ;;
    *'m.version("torch")'*) cat "$NOTES.torch" ;;
esac
"""
NVIDIA_SMI = """#!/usr/bin/env bash
[ -n "${DRIVER:-}" ] || { echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."; exit 9; }
printf '%s\\n' "$DRIVER" "$DRIVER"
"""
CPU, GPU, DEV = "-rrequirements.txt", "-rrequirements-gpu.txt", "-rrequirements-dev.txt"
NEW, OLD = "580.65.06", "575.57.08"


@pytest.fixture
def setup(tmp_path):
    """Run setup.sh on a file; returns (exit code, what pip was told since the last call, standard error)."""
    (tmp_path / "shells").mkdir()
    (tmp_path / "bin").mkdir()
    for path in (ROOT / "shells" / "setup.sh", *ROOT.glob("requirements*.txt")):
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    for name, text in (("python3", PYTHON), ("nvidia-smi", NVIDIA_SMI)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    notes = tmp_path / "notes"

    def run(file: str = "requirements.txt", **environment: str):
        notes.write_text("")
        keep = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "NOTES": str(notes), "HOME": str(tmp_path)}
        command = ["bash", str(tmp_path / "shells" / "setup.sh"), file]
        result = subprocess.run(command, env={**keep, **environment}, capture_output=True, text=True, timeout=60)
        return result.returncode, notes.read_text().splitlines(), result.stderr

    run.offline = notes.with_suffix(".offline")
    return run


def test_without_a_gpu_the_small_build_is_installed_once(setup):
    assert setup()[:2] == (0, [f"{CPU} from the CPU index"])
    assert setup()[:2] == (0, [])
    assert setup("requirements-dev.txt")[:2] == (0, [f"{DEV} from the CPU index"])
    assert setup("requirements-dev.txt")[:2] == setup()[:2] == (0, [])


def test_where_there_is_a_gpu_what_needs_one_is_installed(setup):
    assert setup(DRIVER=NEW)[:2] == (0, [GPU])
    assert setup(DRIVER=NEW)[:2] == (0, [])
    assert setup("requirements-dev.txt", DRIVER="590.44.01")[:2] == (0, [DEV])  # besides
    assert setup("requirements-dev.txt", DRIVER=NEW)[:2] == setup("requirements-gpu.txt", DRIVER=NEW)[:2] == (0, [])
    assert setup()[:2] == (0, [])  # the same environment on a machine without


def test_for_tests_on_a_gpu_both_are_installed(setup):
    assert setup("requirements-dev.txt", DRIVER=NEW)[:2] == (0, [f"{GPU} {DEV}"])


def test_a_gpu_that_appears_later_gets_its_packages_and_its_torch(setup):
    assert setup()[1] == [f"{CPU} from the CPU index"]
    assert setup(DRIVER=NEW)[:2] == (0, ["no torch", GPU])  # 2.13.0+cpu would do for torch==2.13.0
    assert setup(DRIVER=NEW)[:2] == (0, [])


def test_a_torch_that_could_not_be_replaced_is_installed_by_the_next_call(setup):
    setup()
    setup.offline.touch()
    assert setup(DRIVER=NEW)[0] != 0
    setup.offline.unlink()
    assert setup()[:2] == (0, [f"{CPU} from the CPU index"])


@pytest.mark.parametrize("driver", [OLD, "580.65.05", "99.9"])
def test_a_driver_too_old_is_one_line_with_the_remedy(setup, driver, tmp_path):
    code, commands, output = setup(DRIVER=driver)
    assert code == 2 and commands == [] and not (tmp_path / ".venv").exists()
    (line,) = output.splitlines()
    assert (
        line.startswith("error: expected NVIDIA's driver 580.65.06 or newer") and f"found {driver}: update it" in line
    )
    assert setup(DRIVER=driver, GPU="no")[:2] == (0, [f"{CPU} from the CPU index"])  # what the line names
    assert setup(DRIVER=driver, GPU="yes")[:2] == (0, ["no torch", GPU])


def test_a_machine_may_install_for_another(setup):
    assert setup("requirements-gpu.txt")[:2] == (0, [GPU])
    code, commands, output = setup(GPU="2")
    assert code == 2 and commands == [] and "found GPU=2" in output


@pytest.mark.parametrize(("given", "seen"), [("no", ""), ("yes", "1"), ("", "1")])
def test_without_a_gpu_means_that_the_scripts_see_none(setup, tmp_path, given, seen):
    """Even if .venv was made for one: what is installed stays."""
    assert setup(DRIVER=NEW)[0] == 0
    script = 'source shells/setup.sh requirements.txt && echo "seen: $CUDA_VISIBLE_DEVICES"'
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "NOTES": str(tmp_path / "notes"), "DRIVER": NEW}
    environment |= {"GPU": given, "CUDA_VISIBLE_DEVICES": "1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == f"seen: {seen}"


STAGES = ["collect_data", "finetune_lora_ds", "inference", "evaluate", "run_all", "chat", "serve", "export"]


@pytest.mark.parametrize("script", STAGES)
@pytest.mark.parametrize("lora", ["", "output/lora"])
def test_a_signal_to_a_script_reaches_its_stage(tmp_path, script, lora):
    """`kill` and `docker stop` signal the script alone; a stage that it started beside itself would go on without it."""
    (tmp_path / "my shells").mkdir()
    shutil.copy(ROOT / "shells" / f"{script}.sh", folder := tmp_path / "my shells")
    (tmp_path / "shells").mkdir()
    (tmp_path / "shells" / "setup.sh").write_text("")
    (tmp_path / "python").write_text('#!/usr/bin/env bash\n[ "$1" = -c ] && echo 0 || echo "$$ $*"\n')
    (tmp_path / "python").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MODEL": "a model", "LORA": lora}
    command = ["bash", str(folder / f"{script}.sh"), "--limit", "a b"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        started = running.stdout.read().splitlines()[-1]
    assert running.returncode == 0 and started.startswith(f"{running.pid} ")


def test_the_quickstart_stays_small(setup, tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "arguments.sh").write_text("")
    lines = (ROOT / "shells" / "quickstart.sh").read_text().splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith("source shells/setup.sh"))
    (tmp_path / "shells" / "quickstart.sh").write_text("\n".join(lines[: end + 1]))
    notes = tmp_path / "notes"
    notes.write_text("")
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "NOTES": str(notes), "DRIVER": NEW}
    done = subprocess.run(["bash", str(tmp_path / "shells" / "quickstart.sh")], env=environment, timeout=60)
    assert done.returncode == 0 and notes.read_text().splitlines() == [f"{CPU} from the CPU index"]
