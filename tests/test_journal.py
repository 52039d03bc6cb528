"""What was answered is never asked again, whatever happened in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, collect_command

from engines import journal
from engines.chat import Reply
from engines.journal import JournaledEngine, append_line, read_journal, to_replies, weights_stamp
from provenance import meta_file
from utils import InputError

OLD_KEY = "5995f4ac4c07fb2ad1c5470ede782d92a5caf459fb5efb3ab05cda91ac2b2b18"


class Echo:
    """Answers with the prompt in capitals, two conversations a wave, and can be killed or fail on the way."""

    name = "echo"

    def __init__(self, killed_at: str = "", failing: str = ""):
        self.killed_at, self.failing, self.asked = killed_at, failing, []

    def waves(self, conversations, max_new_tokens):
        return [list(range(len(conversations)))[i : i + 2] for i in range(0, len(conversations), 2)]

    def chat(self, conversations, *, on_reply=None, **options):
        replies = []
        for index, [message] in enumerate(conversations):
            if message["content"] == self.killed_at:
                raise KeyboardInterrupt
            self.asked.append(message["content"])
            failed = message["content"] == self.failing
            replies.append(Reply("", error="no") if failed else Reply(message["content"].upper()))
            if on_reply:
                on_reply(index, replies[-1])
        return replies


class Continuous(Echo):
    """Has no waves: it is handed everything, and finishes from the last to the first."""

    def waves(self, conversations, max_new_tokens):
        return None

    def chat(self, conversations, *, on_reply=None, **options):
        last = len(conversations) - 1
        report = on_reply and (lambda index, reply: on_reply(last - index, reply))
        return super().chat(conversations[::-1], on_reply=report, **options)[::-1]


def test_what_is_written_is_utf8_whatever_the_locale_of_the_machine(tmp_path):
    program = """
import sys
from pathlib import Path
from engines.journal import append_line
from utils import read_json, write_json
folder = Path(sys.argv[1])
append_line(folder / "journal.jsonl", {"Zoë": "青石镇"})
write_json(folder / "rows.json", ["Zoë"])
assert read_json(folder / "rows.json", "rows") == ["Zoë"]
"""
    ascii_alone = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-", tmp_path], input=program.encode(), cwd=ROOT, env=ascii_alone, check=True)
    append_line(tmp_path / "journal.jsonl", {"Zoë": "青石镇"})  # as here, where it may be another
    assert (tmp_path / "journal.jsonl").read_bytes() == 2 * '{"Zoë": "青石镇"}\n'.encode()
    assert (tmp_path / "rows.json").read_bytes() == '[\n "Zoë"\n]\n'.encode()


def asked(words) -> list:
    return [[{"role": "user", "content": word}] for word in words]


def test_a_run_goes_on_where_the_last_one_was_killed(tmp_path):
    path = tmp_path / "out" / "data.journal.jsonl"
    with pytest.raises(KeyboardInterrupt):
        JournaledEngine(Echo(killed_at="d"), path).chat(asked("abcdef"))
    again, seen = Echo(), []
    engine = JournaledEngine(again, path)
    replies = engine.chat(asked("abcdef"), on_reply=lambda index, reply: seen.append((index, reply.text)))
    assert [reply.text for reply in replies] == list("ABCDEF")
    assert again.asked == list("cdef"), "one wave is repeated as a whole, the finished one is not"
    assert sorted(seen) == list(enumerate("ABCDEF")) and (engine.asked, engine.reused) == (4, 2)


def test_a_line_cut_by_a_kill_is_asked_again(tmp_path):
    path = tmp_path / "data.journal.jsonl"
    JournaledEngine(Echo(), path).chat(asked("abcd"))
    path.write_bytes(path.read_bytes()[:-9])
    again = Echo()
    JournaledEngine(again, path).chat(asked("abcd"))
    assert again.asked == ["c", "d"]
    assert all(json.loads(line) for line in path.read_text().splitlines()), "the torn line is gone"


@pytest.mark.parametrize("kind", [Echo, Continuous])
def test_what_is_left_of_a_partly_known_call_is_asked_as_it_was_meant(tmp_path, kind):
    class Noting(kind):
        def chat(self, conversations, *, temperature, seed, schemas, **options):
            words = [message["content"] for [message] in conversations]
            noted.extend(zip(words, temperature, seed, schemas, strict=True))
            return super().chat(conversations, **options)

    path, noted = tmp_path / "data.journal.jsonl", []
    options = {"temperature": [0.1, 0.2, 0.3, 0.4], "seed": [1, 2, 3, 4], "schemas": [{"enum": [n]} for n in range(4)]}
    some = {name: [values[0], values[2]] for name, values in options.items()}
    JournaledEngine(Echo(), path).chat(asked("ac"), **some)
    JournaledEngine(Noting(), path).chat(asked("abcd"), **options)
    assert sorted(noted) == [("b", 0.2, 2, {"enum": [1]}), ("d", 0.4, 4, {"enum": [3]})]


@pytest.mark.parametrize("kind", [Echo, Continuous])
def test_the_engine_is_given_the_length_of_a_reply(tmp_path, kind):
    class Noting(kind):
        def waves(self, conversations, max_new_tokens):
            lengths.append(max_new_tokens)
            return super().waves(conversations, max_new_tokens)

        def chat(self, conversations, *, max_new_tokens, **options):
            lengths.append(max_new_tokens)
            return super().chat(conversations, **options)

    lengths = []
    JournaledEngine(Noting(), tmp_path / "a.jsonl").chat(asked("a"))
    JournaledEngine(Noting(), tmp_path / "a.jsonl").chat(asked("a"), max_new_tokens=7)
    assert lengths == [256, 256, 7, 7]


def test_a_journal_of_an_earlier_version_is_gone_on_with(tmp_path):
    path, again = tmp_path / "data.journal.jsonl", Echo()
    reply = {"text": "A", "prompt_tokens": 1, "completion_tokens": 1, "finish_reason": "stop", "error": None}
    path.write_text(json.dumps({OLD_KEY: reply}) + "\n")
    schema = {"type": "string", "maxLength": 3}
    for order in (list, reversed):  # of the keys: the same schema
        again_schema = dict(order(list(schema.items())))
        engine = JournaledEngine(again, path, "a prompt")
        assert engine.chat(asked("a"), schemas=again_schema)[0].text == "A" and again.asked == []


def test_thoughts_in_a_journal_of_an_earlier_version_are_cut_and_a_reply_that_is_all_thoughts_is_asked_again(tmp_path):
    path, engine = tmp_path / "journal.jsonl", Echo()
    JournaledEngine(engine, path).chat(asked(["a", "b"]))
    path.write_text(path.read_text().replace('"A"', '"<think>Hm.</think>Ann"').replace('"B"', '"<think>Hm, and"'))
    replies = JournaledEngine(engine, path).chat(asked(["a", "b"]))
    assert [reply.text for reply in replies] == ["Ann", "B"] and engine.asked == ["a", "b", "b"]


def test_the_largest_wave_is_known(tmp_path):
    engine = JournaledEngine(Echo(), tmp_path / "a.jsonl")
    engine.chat(asked("abc"))
    engine.chat(asked("d"))
    assert engine.largest_wave == 2


def test_a_seed_counts_only_where_something_is_drawn(tmp_path):
    path = tmp_path / "data.journal.jsonl"
    JournaledEngine(Echo(), path).chat(asked("a"), seed=1)
    again = Echo()
    engine = JournaledEngine(again, path)
    engine.chat(asked("a"), seed=2)
    assert again.asked == [] and (engine.asked, engine.reused) == (0, 1)
    engine.chat(asked("a"), seed=2, temperature=0.1)
    assert again.asked == ["a"] and (engine.asked, engine.reused) == (1, 1)


def test_a_line_holds_whole_replies_and_is_on_the_disk_before_work_goes_on(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda number: synced.append(Path(f"/proc/self/fd/{number}").resolve().read_text())
    )
    path = tmp_path / "new" / "data.journal.jsonl"
    JournaledEngine(Echo(), path).chat(asked(["你", "b", "c"]))
    assert [text.count("\n") for text in synced] == [1, 2] and synced[-1] == path.read_text(encoding="utf-8")
    [first, second] = [list(json.loads(line).values()) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [reply["text"] for reply in first + second] == ["你", "B", "C"] and "你" in path.read_text(encoding="utf-8")


def test_a_journal_in_the_log_is_read_after_the_one_that_an_earlier_version_left_beside_it(tmp_path):
    old, new, read = tmp_path / "a.jsonl", tmp_path / "log" / "a.jsonl", []
    for path, value in ((new, 2), (old, 1)):
        append_line(path, value)
    read_journal(new, read.append, "a journal")
    read_journal(old, read.append, "a journal")
    assert read == [1, 2, 1]


def test_replies_are_found_in_both_files_and_each_line_is_read_once(tmp_path, monkeypatch):
    old, new = tmp_path / "a.jsonl", tmp_path / "log" / "a.jsonl"
    JournaledEngine(Echo(), old).chat(asked("ab"))
    JournaledEngine(Echo(), new).chat(asked("abcd"))
    again, lines = Echo(), []
    engine = JournaledEngine(again, new)
    monkeypatch.setattr(journal, "to_replies", lambda wave: lines.append(wave) or to_replies(wave))
    assert [reply.text for reply in engine.chat(asked("dacb"))] == list("DACB") and again.asked == []
    assert len(lines) == 2 and len(engine.known) == 4


def test_a_journal_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InputError,
        match=r"expected to write .*file/a\.jsonl, found .*: make it writable or free the disk, and run this again; "
        r"the content of the file is kept$",
    ):
        append_line(tmp_path / "file" / "a.jsonl", 1)


FULL = """
import resource, signal, sys
from pathlib import Path
from engines.journal import append_line
from utils import InputError
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails after a part of it, as on a full disk
append_line(path, ["first"])
resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        append_line(path, ["a line that is too long for what is left"])
    except InputError:
        continue
    sys.exit("written")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
append_line(path, ["last"])
"""


def test_a_disk_that_was_full_leaves_no_part_of_a_line_in_the_midst(tmp_path):
    path, read = tmp_path / "a.jsonl", []
    subprocess.run([sys.executable, "-c", FULL, str(path)], cwd=ROOT, check=True, timeout=60)
    read_journal(path, read.append, "a journal")
    assert read == [["first"], ["last"]]


@pytest.mark.parametrize(("text", "number"), [("[1]\nno\n[2]\n", 2), ("[1]\n[2]\n{}\n", 3), ("1\n", 1), ('{"a"\n', 1)])
def test_a_line_that_is_none_is_named_by_its_number_and_nothing_is_cut_off(tmp_path, text, number):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"a journal of lists at .*a\.jsonl, found something else in line {number}:"):
        read_journal(path, lambda value: value[0], "a journal of lists")
    assert path.read_text() == text


def test_whole_lines_are_read_in_order_and_only_a_torn_end_is_cut_off(tmp_path):
    path, read = tmp_path / "a.jsonl", []
    read_journal(path, read.append, "a journal")
    assert read == [] and not path.exists()
    for text in ("1\n2\n", "1\n2\n[3", "1\n2\n3"):
        path.write_text(text)
        read.clear()
        read_journal(path, read.append, "a journal")
        assert read == [1, 2] and path.read_text() == "1\n2\n"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_are_known_by_name_size_and_time(tmp_path, name):
    weights = tmp_path / name
    weights.write_bytes(b"some")
    os.utime(weights, ns=(1_000, 2_000))
    first = weights_stamp(str(tmp_path))
    assert json.loads(first) == [[name, 4, 2_000]]
    os.utime(weights, ns=(1_000, 3_000))
    assert json.loads(weights_stamp(str(tmp_path))) == [[name, 4, 3_000]]
    weights.write_bytes(b"other")
    os.utime(weights, ns=(1_000, 2_000))
    assert json.loads(weights_stamp(str(tmp_path))) == [[name, 5, 2_000]]
    (tmp_path / "notes.txt").write_text("no weights")
    assert len(json.loads(weights_stamp(str(tmp_path)))) == 1 and weights_stamp("a hub's/name") == "[]"


def test_another_question_model_schema_or_sampling_is_another_call(tmp_path):
    path = tmp_path / "data.journal.jsonl"
    JournaledEngine(Echo(), path).chat(asked("ab"))
    for conversations, options in (
        (asked("ac"), {}),
        (asked("a"), {"schemas": {"type": "string"}}),
        (asked("a"), {"temperature": 0.5}),
        (asked("a"), {"temperature": 0.5, "seed": 1}),
        (asked("a"), {"max_new_tokens": 3}),
    ):
        again = Echo()
        JournaledEngine(again, path).chat(conversations, **options)
        assert len(again.asked) == 1
    again = Echo()
    again.name = "another"
    JournaledEngine(again, path).chat(asked("a"))
    JournaledEngine(again, path, "another system prompt").chat(asked("a"))
    assert again.asked == ["a", "a"]


def test_other_weights_of_the_same_name_are_another_model(tmp_path):
    engine = Echo()
    engine.name = str(tmp_path)
    for content in ("some weights", "some weights", "other and more weights"):
        weights = tmp_path / "model.safetensors"
        if not weights.exists() or weights.read_text() != content:
            weights.write_text(content)
        JournaledEngine(engine, tmp_path / "data.journal.jsonl").chat(asked("a"))
    assert engine.asked == ["a", "a"]


def test_a_failed_call_is_tried_again_by_the_next_run(tmp_path):
    path = tmp_path / "data.journal.jsonl"
    assert JournaledEngine(Echo(failing="b"), path).chat(asked("ab"))[1].error == "no"
    again = Echo()
    assert JournaledEngine(again, path).chat(asked("ab"))[1].text == "B" and again.asked == ["b"]


def test_a_continuous_engine_is_handed_all_and_its_replies_are_journaled_in_groups(tmp_path):
    path, many = tmp_path / "data.journal.jsonl", [f"w{number}" for number in range(600)]
    engine, seen = JournaledEngine(Continuous(), path), []
    replies = engine.chat(asked(many), on_reply=lambda *reply: seen.append(reply))
    assert [reply.text for reply in replies] == [word.upper() for word in many]
    assert sorted(seen, key=lambda reply: reply[0]) == list(enumerate(replies))
    assert [len(json.loads(line)) for line in path.read_text().splitlines()] == [256, 256, 88]
    assert (engine.asked, engine.reused, engine.largest_wave) == (600, 0, 600)
    again = JournaledEngine(Continuous(), path)
    assert again.chat(asked(many)) == replies and (again.asked, again.reused, again.largest_wave) == (0, 600, 0)
    alone = JournaledEngine(Continuous(), tmp_path / "alone.jsonl")
    alone.chat(asked("a"))
    assert alone.largest_wave == 1, "calls that are asked one by one are known as such"


def test_a_continuous_engine_that_is_stopped_is_asked_no_finished_call_again(tmp_path):
    path, many = tmp_path / "data.journal.jsonl", [f"w{number}" for number in range(600)]
    first = Continuous(killed_at="w300")
    with pytest.raises(KeyboardInterrupt):
        JournaledEngine(first, path).chat(asked(many))
    again = Continuous()
    replies = JournaledEngine(again, path).chat(asked(many))
    assert [reply.text for reply in replies] == [word.upper() for word in many]
    assert sorted(first.asked + again.asked) == sorted(many), "none twice"


def test_a_slow_continuous_engine_is_journaled_by_time(tmp_path, monkeypatch):
    monkeypatch.setattr("engines.journal.GROUP_S", 0.0)
    path = tmp_path / "data.journal.jsonl"
    JournaledEngine(Continuous(failing="b"), path).chat(asked("abc"))
    assert path.read_text().count("\n") == 2, "and an error is not kept"
    again = Continuous()
    assert JournaledEngine(again, path).chat(asked("abc"))[1].text == "B" and again.asked == ["b"]


def test_a_continuous_engine_goes_on_with_a_journal_of_waves_and_is_asked_a_call_once(tmp_path):
    path = tmp_path / "data.journal.jsonl"
    JournaledEngine(Echo(), path).chat(asked("abcd"))
    again = Continuous()
    engine = JournaledEngine(again, path)
    seen = []
    replies = engine.chat(asked("abxyx"), on_reply=lambda index, reply: seen.append((index, reply.text)))
    assert [reply.text for reply in replies] == list("ABXYX") and sorted(seen) == list(enumerate("ABXYX"))
    assert sorted(again.asked) == ["x", "y"] and (engine.asked, engine.reused) == (2, 3)
    drawn = Continuous()
    JournaledEngine(drawn, path).chat(asked("qq"), temperature=1.0, seed=[0, 1])
    assert drawn.asked == ["q", "q"], "another seed is another call"


def test_a_file_that_is_no_journal_is_named(tmp_path):
    path = tmp_path / "data.journal.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(
        InputError, match=r"^expected a journal of replies at .* line 1: remove the file to ask everything again$"
    ):
        JournaledEngine(Echo(), path)


def test_a_collection_killed_with_sigkill_ends_with_the_same_dataset(tmp_path, model_path, small_collection):
    command = collect_command(model_path, tmp_path, "killed")
    journal = tmp_path / "log" / "killed.journal.jsonl"
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was still at work"
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    for where in ("{}.json", "{}.test.json", "log/{}.dropped.jsonl"):
        killed, whole = (
            folder / where.format(name) for folder, name in ((tmp_path, "killed"), (small_collection.parent, "data"))
        )
        assert killed.read_bytes() == whole.read_bytes()
    calls, unbroken = (
        json.loads(path.read_text())["calls"]
        for path in (meta_file(tmp_path / "killed.json"), meta_file(small_collection))
    )
    assert calls["from_journal"] > 0 and sum(calls.values()) == sum(unbroken.values())
