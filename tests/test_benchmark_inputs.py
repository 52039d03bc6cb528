"""What benchmarks/inputs.py holds runs to: each check fails where it should, and the odd server is odd by its rules."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from benchmarks import inputs
from benchmarks.inputs_documents import Found, Unit, check, check_accounts, leads_back
from benchmarks.inputs_entries import Entry, failures, read_cases, write_documents
from benchmarks.inputs_processes import Ended, asked_again, check_ended
from benchmarks.inputs_scripts import check_responses, check_rows, check_scores
from benchmarks.odd_server import MODES, OddServer, value
from data_processor.accounting import count_characters
from data_processor.documents import clean
from data_processor.facts import reading_schema
from data_processor.prompts import load_prompts
from data_processor.questions import FORMS, pairs_schema
from data_processor.units import Unit as Sentence
from data_processor.units import read_units

WORDS = {
    "type": "object",
    "properties": {"reply": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "string"}}}}},
}


def found(*units: str, **fields) -> Found:
    return Found(
        units=[Unit(text, text, [], []) for text in units],
        names=["a.txt"],
        titles=["Harbour"],
        languages=["en"],
        **fields,
    )


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ({"units": ["One.", "Two."]}, "units: expected ['Two.'], found ['Three.']"),
        ({"together": [["One", "Three"]]}, "together"),
        ({"apart": [["O", "ne"]]}, "apart"),
        ({"never": ["Three."]}, "never"),
        ({"text_lacks": ["hre"]}, "text_lacks"),
        ({"text_lacks": ["Harb"]}, "text_lacks"),
        ({"headings": ["One."]}, "headings"),
        ({"title": "One"}, "title"),
        ({"language": "de"}, "language"),
        ({"metadata": {"title": "T"}}, "metadata"),
        ({"read": ["b.txt"]}, "read"),
        ({"left_out": {"b.txt": "."}}, "left_out"),
        ({"back": {"One.": "On-\ne."}}, "back"),
        ({"exit_code": 2}, "exit_code"),
        ({"stderr_has": ["x"]}, "stderr_has"),
        ({"general_language": "zh"}, "general_language"),
    ],
)
def test_what_was_read_otherwise_is_said(checks, words):
    (wrong,) = check(checks, found("One.", "Three.", general_language="en"))
    assert wrong.startswith(words)


def test_what_was_read_right_is_right():
    checks = {
        "units": ["One.", "Three."], "together": [["O", "ne"]], "apart": [["One", "Three"]], "never": ["Two."], "text_lacks": ["x"],
        "title": "Harbour", "language": "en", "read": ["a.txt"], "back": {"One.": "One."}, "exit_code": 0,
    }  # fmt: skip
    assert check(checks, found("One.", "Three.")) == []


@pytest.mark.parametrize(
    ("spans", "checks", "right"),
    [
        (["4 May 1987"], {"whole": ["4 May 1987"]}, True),
        (["On 4 May 1987"], {"whole": ["4 May 1987"]}, True),
        ([], {"whole": ["4 May 1987"]}, True),
        (["4 May"], {"whole": ["4 May 1987"]}, False),
        (["1987 it"], {"whole": ["4 May 1987"]}, False),
        (["4 May"], {"no_spans": ["4 May"]}, False),
        (["4 May 1987"], {"no_spans": ["4 May"]}, True),
    ],
)
def test_a_span_is_whole_or_none(spans, checks, right):
    text = "On 4 May 1987 it was lit."
    unit = Unit(text, text, spans, [(text.index(span), text.index(span) + len(span)) for span in spans])
    assert (check(checks, Found(units=[unit])) == []) == right


@pytest.mark.parametrize(
    ("text", "stretch", "right"),
    [
        ("Straße nach", "Stra-\nße nach", True),
        ("built by Ambler", "built by [[Ruth Ambler|Ambler]]", True),
        ("designed by Piet", "designed by <b>Piet</b>", True),
        ("in 1987.", "in 1987.[12]", True),
        ("office", "o\ufb03ce", True),
        ("built by Ambler", "uilt by Ambler", False),
        ("built by Ambler", "built by Ambler. It", False),
        ("built by Ambler", "built Ambler", False),
    ],
)
def test_the_way_back_leads_to_the_letters_of_the_unit(text, stretch, right):
    assert leads_back(Unit(text, stretch)) == right


def test_text_that_nobody_is_asked_about_is_not_read():
    raw = "1. The pier was opened in 1991.\n\nThe mill burnt down.\n"
    document = clean("a.txt", raw)
    parsed = read_units(raw, "en")
    whole = count_characters(document, parsed)
    assert whole == {"markup": 3, "text": 48, "space": 3}
    parsed.units = [unit for unit in parsed.units if "pier" in parsed.joined.text[unit.start : unit.end]]
    lost = count_characters(document, parsed)
    assert lost == {"markup": 4, "text": 28, "space": 6, "not read": 16}
    assert check_accounts(Found(kinds=whole, length=len(raw))) == []
    assert check_accounts(Found(kinds=lost, length=len(raw) + 1)) == [
        f"accounted: expected {len(raw) + 1} characters, found {len(raw)}", f"not read: 16 of {len(raw) + 1} characters"
    ]  # fmt: skip


def test_one_of_several_tables_has_to_hold():
    def wrong(checks):
        return [f"{key} {value}" for key, value in checks.items() if value != 1]

    assert failures({"a": 1, "either": [{"b": 2}, {"c": 1}]}, wrong) == []
    assert failures({"a": 2, "either": [{"b": 2}, {"c": 3}]}, wrong) == ["a 2", "either: b 2 OR c 3"]


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ({"exit_code": 0}, "exit_code"),
        ({"stderr_has": ["^error: .*line"]}, "stderr_has"),
        ({"stderr_lacks": ["\\r"]}, "stderr_lacks"),
        ({"stdout_ascii": True}, "stdout_ascii"),
        ({"seconds_at_most": 4}, "seconds_at_most"),
        ({"calls": {"at_most": 1}}, "calls: expected at_most 1, found 2"),
        ({"calls": {"refused_at_most": 0}}, "calls: expected refused_at_most 0, found 1"),
        ({"calls": {"refused_at_most": 1, "lacks": ["seed"]}}, "calls: expected seed in none"),
        ({"calls": {"refused_at_most": 1, "has": ["top_p"]}}, "calls: expected top_p in all"),
        (
            {"calls": {"refused_at_most": 1, "format": "json_object"}},
            "calls: expected format json_object, found ['none']",
        ),
    ],
)
def test_how_a_script_ended_otherwise_is_said(checks, words):
    prompt = [{"role": "user", "content": json.dumps(WORDS)}]
    calls = [
        {"status": 400, "body": {"messages": prompt, "top_p": 1}},
        {"status": 200, "body": {"messages": prompt, "seed": 1}},
    ]
    (wrong,) = check_ended(checks, Ended(1, "Straße", "error: a\nline\r", 5.0, calls))
    assert wrong.startswith(words)


def test_how_a_script_should_end_is_right_and_a_traceback_never_is():
    checks = {"exit_code": "not 0", "stderr_has": ["^error"], "stderr_lacks": ["b"], "seconds_at_most": 6}
    assert check_ended(checks, Ended(1, "", "error: a", 5.0)) == []
    (wrong,) = check_ended({}, Ended(1, "", "Traceback (most recent call last):\n  File", 5.0))
    assert "Traceback" in wrong


def test_a_call_that_was_answered_is_not_made_again():
    calls = [{"status": 400, "body": {"a": 1}}, {"status": 200, "body": {"a": 2}}]
    assert asked_again(calls, [{"status": 400, "body": {"a": 1}}]) == []
    assert len(asked_again(calls, [{"status": 200, "body": {"a": 2}}])) == 1


@pytest.mark.parametrize(
    ("checks", "right"),
    [
        ({"rows_have": ["Solv"]}, True),
        ({"rows_have": ["1991"]}, False),
        ({"rows_lack": ["Who"]}, False),
        ({"answers_have": ["Greta"]}, False),
        ({"answers_lack": ["Greta Solvang"]}, False),
        ({"answers_lack": ["Greta"]}, True),
        ({"questions_lack": ["^Who"]}, False),
        ({"questions_lack": ["Greta"]}, True),
    ],
)
def test_a_dataset_is_held_to_its_rows(checks, right):
    assert (check_rows(checks, [("Who opened it?", "Greta Solvang")]) == []) == right


def test_answers_and_scores_are_held_to_what_was_expected(tmp_path):
    path = tmp_path / "tuned.json"
    path.write_text(json.dumps([{"response": "a"}, {"response": "", "error": "content_filter: b"}]))
    assert check_responses({"responses": ["a", {"error": "filter"}]}, path) == []
    assert len(check_responses({"responses": ["b", "{no think}"]}, path)) == 2
    assert len(check_responses({"responses": ["a"]}, path)) == 1
    (tmp_path / "tuned_acc.json").write_text(json.dumps({"correct": 2, "unscored": 0}))
    assert check_scores({"tuned": {"correct": 2}}, tmp_path) == []
    assert len(check_scores({"tuned": {"correct": 1}, "win_rate": {"wins": 1}}, tmp_path)) == 2


def ask(server: OddServer, prompt: str, **parameters) -> dict | None:
    body = json.dumps({"messages": [{"role": "user", "content": prompt}], **parameters}).encode()
    request = urllib.request.Request(f"{server.address}/chat/completions?version=1", body)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return {"status": error.code, **json.load(error)}
    except OSError:
        return None


def content(answer: dict) -> str | None:
    return answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("prompts", load_prompts().values(), ids=load_prompts())
def test_the_odd_server_knows_the_numbered_sentences_and_facts_in_every_language(prompts):
    values = {"title": "a", "text": "[1] It was\nlit. Ha.\n\n- [2] by Ann", "language": "Dutch"}
    request = prompts.conversation("read", **values, roles=0)[-1]["content"]
    facts = [{"fact": "It was lit. Ha.", "sentences": [1]}, {"fact": "by Ann", "sentences": [2]}]
    assert value(request, reading_schema([Sentence(0, 15), Sentence(19, 25)], 0)) == {
        "theme": "",
        "names": [],
        "roles": [],
        "facts": facts,
    }
    request = prompts.conversation("questions", **values, items="1. It was lit.", amount=1)[-1]["content"]
    [pair] = value(request, pairs_schema(1, FORMS, 1))
    assert (pair["item"], pair["question"], pair["answer"]) == (1, "It was lit?", "It was lit.")


def test_the_odd_server_states_the_sentence_that_it_is_shown():
    with OddServer(MODES["ok"]) as server:
        schema = {"type": "json_schema", "json_schema": {"schema": WORDS}}
        assert json.loads(content(ask(server, "Ask.", response_format=schema))) == {"reply": []}
        assert json.loads(content(ask(server, f"Ask.\n{json.dumps(WORDS)}"))) == {"reply": []}
        assert content(ask(server, "Who?")) == "The harbour was opened."
        assert [call["status"] for call in server.calls] == [200] * 3
        assert server.calls[0]["path"] == "/v1/chat/completions?version=1"


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        ({"when": {"param": "seed"}, "status": 400, "error": {"message": "no"}}, 400, 200),
        ({"when": {"first": 1}, "status": 429, "error": {"message": "no"}}, 429, 200),
        ({"when": {"after": 1}, "drop": True}, 200, 0),
        ({"when": {"nth": 2}, "body": {"error": {"message": "no"}}}, 200, 400),
        ({"when": {"no_query": "version=2"}, "status": 404, "error": {}}, 404, 404),
        ({"when": {"path_lacks": "/v1/"}, "status": 404, "error": {}}, 200, 200),
        ({"when": {"under": ["max_tokens", 6]}, "status": 500, "error": {}}, 200, 500),
        ({"when": {"prompt": "^Who", "format": "none", "json": False}, "status": 500, "error": {}}, 500, 500),
    ],
)
def test_the_odd_server_follows_its_rules(rule, first, second):
    with OddServer([rule]) as server:
        ask(server, "Who?", seed=1)
        ask(server, "Who?", max_tokens=5)
        assert [call["status"] for call in server.calls] == [first, second]


def test_the_odd_server_thinks_wraps_and_goes():
    with OddServer(MODES["think"] + MODES["reasoning"], gone_after=2) as server:
        thinking = ask(server, "Who?", max_tokens=400)
        assert content(thinking).endswith("</think>\n\nThe harbour was opened.")
        assert thinking["choices"][0]["message"]["reasoning_content"].startswith("Okay")
        cut = ask(server, "Who?", max_tokens=200)
        assert (content(cut), cut["choices"][0]["finish_reason"]) == (None, "length")
        assert ask(server, "Who?", max_tokens=400) is None


def test_cases_without_expectations_are_named(tmp_path):
    (tmp_path / "new_case").mkdir()
    with pytest.raises(inputs.InputError, match="new_case"):
        read_cases(tmp_path)


def test_documents_are_written_in_their_encoding_with_their_links(tmp_path):
    expected = {"files": {"a/x.txt": "é@1@\n"}, "encoding": "cp1252", "raw": {"@1@": "ff00"}, "links": {"l": "a"}}
    texts = write_documents(Entry("n", "k", expected), tmp_path)
    assert (texts / "l/x.txt").read_bytes() == b"\xe9\xff\x00\n"


def test_a_case_is_right_if_all_its_runs_are_made_and_hold():
    entries = [
        Entry(name, kind, {}) for name, kind in (("a", ""), ("b", ""), ("c", "tables"), ("d", "tables"), ("e", "rows"))
    ]
    outcome = inputs.Outcome()
    outcome.failed["b"] += ["units: ..."]
    outcome.not_run["d"] += ["train"]
    found = inputs.summarize(entries, outcome)
    assert found["cases"] == {"a": True, "b": False}
    assert found["relatives"] == {"tables": {"right": 1, "of": 2}, "rows": {"right": 1, "of": 1}, "wrong": ["d"]}
    assert (found["failed"], found["not_run"]) == ({"b": ["units: ..."]}, {"d": ["train"]})
