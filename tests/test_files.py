"""Files and arguments: what is written is whole, what cannot be read is named in one line."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from conftest import ROOT

import utils
from engines.adapter import trained_system_prompt
from utils import (
    InputError,
    find_log_file,
    log_file,
    parse_arguments,
    read_json,
    require_file,
    run_script,
    write_json,
    write_text,
)


def write(path, value) -> str:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return str(path)


def test_written_json_is_read_back_and_leaves_no_other_file(tmp_path):
    write_json(tmp_path / "new" / "a.json", [{"问": "答"}])
    assert read_json(tmp_path / "new" / "a.json", "a list") == [{"问": "答"}]
    assert (tmp_path / "new" / "a.json").read_text("utf-8") == '[\n {\n  "问": "答"\n }\n]\n'
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


def test_what_nobody_opens_first_is_in_the_log_and_read_where_an_earlier_version_wrote_it(tmp_path):
    old, new = tmp_path / "a.meta.json", tmp_path / "log" / "a.meta.json"
    assert log_file(str(old)) == find_log_file(str(old)) == new
    old.touch()
    assert (log_file(old), find_log_file(str(old))) == (new, old)
    new.parent.mkdir()
    new.touch()
    assert log_file(old) == find_log_file(old) == new
    old.unlink()
    assert find_log_file(old) == new


@pytest.fixture
def full_disk():
    """No file may grow over 32 MiB, what the tests print into one neither: what a full disk does to a write that has begun."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("old", ["the old text", None])
def test_a_write_that_fails_midway_keeps_the_old_file(tmp_path, full_disk, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with pytest.raises(InputError, match=f"expected to write {path}, found File too large: free the disk"):
        write_text(path, "x" * (33 << 20))
    assert [file.read_text() for file in tmp_path.iterdir()] == ([old] if old else [])


def test_a_text_that_is_no_utf8_keeps_the_old_file(tmp_path):
    write_text(tmp_path / "a.txt", "the old text")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "half a pair: \ud800")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the old text"]


def test_a_value_that_is_no_json_and_a_folder_that_is_a_file_leave_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [object()])
    with pytest.raises(InputError, match=r"expected to write .*b\.json, found (Not a directory|File exists)"):
        write_json(tmp_path / "a.json" / "b.json", [])
    assert [file.read_text() for file in tmp_path.iterdir()] == ["[\n 1\n]\n"]


KILLED = """
import os, signal, sys
import utils
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
utils.write_json(sys.argv[1], ["the new value"] * 10_000)
"""


def test_a_kill_while_a_file_is_written_leaves_the_old_one_whole(tmp_path):
    write_json(tmp_path / "a.json", ["the old value"])
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.json")], cwd=ROOT, timeout=60)
    assert killed.returncode == -signal.SIGKILL and read_json(tmp_path / "a.json", "a list") == ["the old value"]
    (unfinished,) = [path for path in tmp_path.iterdir() if path.name != "a.json"]
    assert unfinished.name.startswith(".a.json."), "no pattern such as *.json finds it"


def test_a_text_is_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    """Else a crash of the machine after the renaming may leave the name on an empty file."""
    path, sync, synced = tmp_path / "a.txt", os.fsync, []

    def watched(number: int) -> None:
        file = os.fstat(number)
        synced.append((file.st_ino, file.st_size, [path.name for path in tmp_path.iterdir()]))
        sync(number)

    monkeypatch.setattr(os, "fsync", watched)
    write_text(path, "four")
    assert synced == [(path.stat().st_ino, 4, [f".a.txt.{os.getpid()}"])]  # each process has a name of its own


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected some JSON at PATH, found nothing: give another file"),
        (b"", "expected some JSON at PATH, found an empty file: give another file"),
        (b'["a\xff"]', "expected some JSON in UTF-8 at PATH, found byte 0xff at 3: save it as UTF-8"),
        (b'[1,\n "a" "b"]',
         "expected some JSON as JSON at PATH, found '\"b\"]' in line 2 column 6 (Expecting ',' delimiter): correct it"),
        (b"[1,", "expected some JSON as JSON at PATH, found its end in line 1 column 4 (Expecting value): correct it"),
        (b"nonsense of many words in it",
         "expected some JSON as JSON at PATH, found 'nonsense of many wor' in line 1 column 1 (Expecting value): correct it"),
    ],
)  # fmt: skip
def test_json_that_cannot_be_read_is_named_with_its_place(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_json(path, "some JSON")
    assert str(error.value) == message.replace("PATH", str(path))


def test_a_byte_order_mark_before_json_is_passed_over(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json", "a list") == [1]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match=f"expected a text at {tmp_path}, found a folder: give a file"):
        require_file(tmp_path, "a text", "give a file")
    (tmp_path / "a.txt").write_text("a")
    assert require_file(str(tmp_path / "a.txt"), "a text", "give a file") == tmp_path / "a.txt"


def fails(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("expected a, found b: c"), 2, "error: expected a, found b: c\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/etc/out"),
            2,
            "error: expected to use /etc/out, found Permission denied: choose another place\n",
        ),
        (KeyboardInterrupt(), 130, "stopped: finished work is kept, run this again to continue\n"),
    ],
)
def test_a_script_ends_with_one_line_and_its_code(capsys, error, code, said):
    with pytest.raises(SystemExit) as ended:
        run_script(fails(error))
    assert ended.value.code == code and capsys.readouterr().err == said


@pytest.fixture
def loud_libraries():
    """Levels of logging as a script finds them."""
    names = ("httpx", "httpx2", "httpcore", "openai", "matplotlib")
    levels = {name: logging.getLogger(name).level for name in names}
    level = logging.root.level
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    logging.root.setLevel(level)
    for name, kept in levels.items():
        logging.getLogger(name).setLevel(kept)


def test_a_script_says_what_it_does_and_not_each_call_of_its_libraries(capsys, monkeypatch, loud_libraries):
    def main():
        for name in ("ours", "httpx", "httpx2", "httpcore", "openai", "matplotlib"):
            logging.getLogger(name).info("%s does something", name)
        logging.getLogger("openai").warning("trouble")
        logging.getLogger("ours").debug("details")

    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own
    run_script(main)
    assert capsys.readouterr() == ("", "ours does something\ntrouble\n")


def test_the_help_begins_with_the_first_line_of_the_script(monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["__main__"], "__doc__", "Makes something.\n\nAnd more about it.")
    monkeypatch.setattr(sys, "argv", ["script.py", "--help"])
    with pytest.raises(SystemExit):
        parse_arguments()
    assert "\n\nMakes something.\n" in (said := capsys.readouterr().out) and "more about it" not in said


@dataclass
class Switches:
    asked: bool = field(default=True, metadata={"help": "Also ask."})
    quiet: bool = field(default=False, metadata={"help": "Say less."})


def test_the_help_of_a_switch_that_turns_something_off_does_not_say_the_opposite(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["script.py", "--help"])
    with pytest.raises(SystemExit):
        parse_arguments(Switches)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("Also ask.") == 1 and said.endswith(
        "--no_asked, --no-asked Turns --asked off. --quiet [QUIET] Say less. (default: False)"
    )
    for words, found in (([], True), (["--no_asked"], False), (["--asked", "False"], False), (["--asked"], True)):
        assert parse_arguments(Switches, words=words) == (Switches(found),)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), OSError(errno.EPIPE, "Broken pipe", "a"), PermissionError("no file")]
)
def test_a_fault_of_the_program_is_not_taken_for_one_of_the_user(error):
    with pytest.raises(type(error)):
        run_script(fails(error))


@dataclass
class Words:
    name: str = "a"
    number: int = 1


@dataclass
class More:
    share: float = 0.5


def test_the_command_line_fills_each_dataclass(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script.py", "--share", "0.25", "--number", "7"])
    assert parse_arguments(Words, More) == (Words("a", 7), More(0.25))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "b", "--other"], "expected arguments that --help lists, found --other: correct or remove it"),
        (["--other", "3"], "expected arguments that --help lists, found --other 3: correct or remove it"),
        (["--number", "many"], "script.py: argument --number: invalid int value: 'many' (see --help)"),
    ],
)
def test_a_wrong_command_line_is_named(monkeypatch, words, message):
    monkeypatch.setattr(sys, "argv", ["/somewhere/script.py", *words])
    with pytest.raises(InputError) as error:
        parse_arguments(Words)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--old", "3", "--wrong"], "--old, which was removed: give --name"),
        (["--old=3"], "--old, which was removed: give --name"),
        (["--no-more", "--old"], "--no_more, which was removed: set NO_MORE; --old, which was removed: give --name"),
    ],
)
def test_an_argument_that_went_is_answered_with_what_to_do_instead(tmp_path, monkeypatch, words, message):
    monkeypatch.setattr(utils, "REMOVED_ARGUMENTS", tmp_path / "gone.toml")
    utils.REMOVED_ARGUMENTS.write_text('old = "give --name"\nno_more = "set NO_MORE"\n')
    monkeypatch.setattr(sys, "argv", ["script.py", *words])
    with pytest.raises(InputError) as error:
        parse_arguments(Words)
    assert str(error.value) == f"expected arguments that --help lists, found {message}"


def test_an_adapter_says_what_system_prompt_it_was_trained_with(tmp_path):
    assert trained_system_prompt(tmp_path) is None
    write(tmp_path / "knowledge_update.json", {"system_prompt": "Be brief."})
    assert trained_system_prompt(tmp_path) == "Be brief."
    write(tmp_path / "knowledge_update.json", "{")
    with pytest.raises(InputError, match=r"^expected the adapter's settings as JSON at"):
        trained_system_prompt(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.jsonl", '{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("a.json", '{"a": 1}\r\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ("a.jsonl", ' {"a": 1}\n', [{"a": 1}]),
        ("a.ndjson", '"问"', ["问"]),
        ("a.json", '{"a": 1}', {"a": 1}),
        ("a.jsonl", '\n[{"a": 1}]', [{"a": 1}]),
    ],
)
def test_json_lines_are_a_list_whatever_the_file_is_called(tmp_path, name, text, rows):
    path = write(tmp_path / name, text)
    assert read_json(path, "rows", or_lines=True) == rows


@pytest.mark.parametrize("text", ['{"a": 1}\n{"a": "cut o', '{"a": 1}\nand more\n'])
def test_a_broken_line_is_named(tmp_path, text):
    path = write(tmp_path / "a.jsonl", text)
    with pytest.raises(InputError, match=r"as JSON at .*a\.jsonl, found .* in line 2 column"):
        read_json(path, "rows", or_lines=True)


def test_json_lines_are_no_json_where_one_value_is_expected(tmp_path):
    with pytest.raises(InputError, match="Extra data"):
        read_json(write(tmp_path / "a.json", "{}\n{}"), "settings")


def test_what_a_terminal_cannot_show_is_written_another_way():
    """Cron and docker give a terminal without any language; a report of Chinese texts ended with a traceback there."""
    code = r"""
import sys, utils
def main():
    print("\u706f\u5854 \xb13")
    print("\u706f\u5854", file=sys.stderr)
    if sys.argv[1:]:
        raise utils.InputError("\u706f\u5854")
utils.run_script(main)
"""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    for more, code_expected in ([], 0), (["fail"], 2):
        command = [sys.executable, "-c", code, *more]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60)
        assert (ended.returncode, ended.stdout) == (code_expected, b"\\u706f\\u5854 \\xb13\n")
        assert ended.stderr.startswith(b"\\u706f\\u5854\n")


def test_no_output_fails_for_a_character_that_its_stream_lacks(monkeypatch):
    shown = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    utils.set_up_terminal()
    print("灯")
    print("塔", file=sys.stderr)
    assert shown.getvalue() == b"\\u706f\n\\u5854\n"


@pytest.mark.parametrize(("key", "address", "expected"), [("sk-1", None, "sk-1"), ("", "http://here", "none")])
def test_the_key_of_an_api_is_in_the_environment(monkeypatch, key, address, expected):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert utils.require_key(address) == expected


def test_libraries_draw_no_bars_into_a_file(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "")
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    told = []
    library = SimpleNamespace(
        utils=SimpleNamespace(logging=SimpleNamespace(disable_progress_bar=lambda: told.append(1)))
    )
    monkeypatch.setitem(sys.modules, "transformers", library)
    utils.set_up_terminal()
    assert os.environ["TQDM_DISABLE"] == "1" and told, "one that is imported already is told too"
