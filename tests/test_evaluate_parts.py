"""Which judge evaluate.py takes, what it reads, and what it does with a measure that fails. No network, no model."""

from __future__ import annotations

import json
import re

import pytest
from clocks import endless, handlers, running_clock  # noqa: F401
from scripted import BASE, SFT, scripted

import evaluate
from engines.chat import Reply
from evaluation.verdict_journal import VerdictJournal
from utils import InputError


def arguments(**changes) -> evaluate.Arguments:
    return evaluate.Arguments(
        **{"data_path": ".", "data_name_sft": "sft.json", "data_name_base": "base.json", **changes}
    )


def test_which_judge(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert evaluate.choose_judge(arguments(local_model_path=str(tmp_path))) == "local"
    assert evaluate.choose_judge(arguments(api_model="m")) == "api"
    assert evaluate.choose_judge(arguments(judge="match")) == "match"
    assert evaluate.load_judge(arguments(judge="match"), "match", tmp_path / "v.jsonl") is None
    assert evaluate.choose_judge(arguments(rescore=True, local_model_path="./nowhere")) == "local"
    with pytest.raises(InputError, match=r"expected verdicts to score in .*v\.jsonl, found none"):
        evaluate.load_judge(arguments(rescore=True), "api", tmp_path / "v.jsonl")
    with pytest.raises(InputError, match="expected --local_model_path or --api_model, found neither"):
        evaluate.choose_judge(arguments())
    with pytest.raises(InputError, match="expected --local_model_path for a local judge"):
        evaluate.choose_judge(arguments(judge="local"))
    with pytest.raises(InputError, match=r"expected a judge at \./nowhere, found nothing"):
        evaluate.choose_judge(arguments(local_model_path="./nowhere"))


@pytest.mark.parametrize(
    ("given", "judge"),
    [
        ({"api_model": "m", "local_model_path": "{folder}"}, "local"),
        ({"judge": "api", "api_model": "m", "local_model_path": "{folder}"}, "api"),
        ({"judge": "match", "api_model": "m", "local_model_path": "{folder}"}, "match"),
        ({"rescore": True}, "api"),
        ({"rescore": True, "api_model": "m"}, "api"),
    ],
)
def test_which_of_several_judges(tmp_path, given, judge):
    (tmp_path / "config.json").write_text("{}")
    given = {key: str(tmp_path) if value == "{folder}" else value for key, value in given.items()}
    assert evaluate.choose_judge(arguments(**given)) == judge


@pytest.mark.parametrize("judge", ["local", "api"])
def test_a_judge_that_is_named_is_needed_for_rescoring_too(judge):
    with pytest.raises(InputError, match="expected --local_model_path"):
        evaluate.choose_judge(arguments(rescore=True, judge=judge))


@pytest.mark.parametrize(("name", "in_json"), [("models/judge #0123abcd", True), ("gpt-x", False)])
def test_rescoring_alone_reads_as_the_last_judge_wrote(tmp_path, name, in_json):
    for judge in ("earlier", name):
        VerdictJournal(tmp_path / "v.jsonl").add(judge, "prompt", "item", "name", Reply("text"))
    judge = evaluate.load_judge(arguments(rescore=True, seed=3), "api", tmp_path / "v.jsonl")
    assert (judge.name, judge.engine, judge.enforces_schema, judge.seed) == (name, None, in_json, 3)


def test_a_local_judge_of_other_weights_is_another_judge(tmp_path):
    VerdictJournal(tmp_path / "v.jsonl").add("x", "prompt", "item", "name", Reply("text"))
    given = arguments(rescore=True, local_model_path=str(tmp_path / "m"), api_model="m")
    (tmp_path / "m").mkdir()
    names = []
    for content in (b"1", b"22"):
        (tmp_path / "m" / "model.safetensors").write_bytes(content)
        judge = evaluate.load_judge(given, "local", tmp_path / "v.jsonl")
        names.append(judge.name)
        assert re.fullmatch(re.escape(str(tmp_path / "m")) + " #[0-9a-f]{8}", judge.name) and judge.enforces_schema
    assert names[0] != names[1]
    judge = evaluate.load_judge(given, "api", tmp_path / "v.jsonl")
    assert (judge.name, judge.enforces_schema) == ("m", False)


@pytest.mark.parametrize(
    ("prices", "cost"),
    [
        ({}, None),
        ({"price_in": 2.0, "price_out": 10.0}, 2.5),
        ({"price_in": 2.0}, 2.0),
        ({"price_out": 10.0}, 0.5),
        ({"price_in": 0.0}, 0.0),
    ],
)
def test_what_the_verdicts_cost(tmp_path, prices, cost):
    judge = scripted(tmp_path, None)
    judge.usage |= {"asked": 7, "prompt_tokens": 1_000_000, "completion_tokens": 50_000}
    assert evaluate.usage_with_cost(judge, arguments(**prices)) == {
        "asked": 7, "from_journal": 0, "prompt_tokens": 1_000_000, "completion_tokens": 50_000, "cost": cost,
    }  # fmt: skip


def test_every_file_is_brought_into_the_order_of_the_tuned_answers_and_cut(tmp_path):
    general = [{**row, "id": f"g{row['id']}"} for row in SFT]
    files = {"sft": SFT, "base": BASE[::-1], "open_book": SFT[::-1], "r_sft": general[::-1], "r_base": general}
    for name, rows in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    given = {"data_path": str(tmp_path), "data_name_open_book": "open_book.json", "limit": 3,
             "data_name_retention_sft": "r_sft.json", "data_name_retention_base": "r_base.json"}  # fmt: skip
    rows = evaluate.read_all(arguments(**given), "match")
    ids = {what: [row["id"] for row in found] for what, found in rows.items()}
    asked, kept = ["q0", "q1", "q2"], ["gq3", "gq2", "gq1"]
    assert ids == {"sft": asked, "base": asked, "open_book": asked, "retention_sft": kept, "retention_base": kept}
    assert [row["response"] for row in rows["base"]] == ["no", "ref1 at length", "ref2"]


def measures_that(*ends: object):
    """What forgetting.by_models gives, of measures that end in a result or an exception."""

    def measure(end):
        if isinstance(end, BaseException):
            raise end
        return end

    return lambda _: {f"m{number}": lambda end=end: measure(end) for number, end in enumerate(ends)}


def test_a_measure_that_fails_ends_a_run_by_itself_but_not_a_stage_of_many(tmp_path, handlers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(
        evaluate.forgetting, "model_measurements", measures_that({"a": 1}, InputError("no memory"), {"b": 2})
    )
    clock = running_clock(tmp_path, 60)
    assert list(evaluate.measure_on_models(arguments(), clock, 1.0)) == [("m0", {"a": 1}), ("m2", {"b": 2})]
    measured = evaluate.measure_on_models(arguments(), endless(tmp_path), 1.0)
    assert next(measured) == ("m0", {"a": 1})
    with pytest.raises(InputError, match="no memory"):
        next(measured)


def test_a_measure_there_is_no_time_for_is_left_out(tmp_path, handlers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(evaluate.forgetting, "model_measurements", measures_that({"a": 1}))
    clock = running_clock(tmp_path, 60)
    assert list(evaluate.measure_on_models(arguments(), clock, 61.0)) == []  # kept back for the report
    assert list(evaluate.measure_on_models(arguments(), clock, 50.0)) == [("m0", {"a": 1})]
