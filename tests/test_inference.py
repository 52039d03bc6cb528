"""Inference: what it reads, which engine it uses, base and tuned in one run, retrieval, and failed calls."""

from __future__ import annotations

import json
import sys

import pytest
from conftest import ROOT, save_random_adapter

import inference
from benchmarks.fault_server import FAULTS, TEXT, Answer, FaultServer, completion
from data_processor.dataset import question_and_reference, read_dataset
from data_processor.documents import Document, read_documents
from data_processor.retrieval import find_chunks, terms
from engines.arguments import EngineArguments
from engines.placement import choose_engine
from provenance import meta_file
from utils import InputError

DEMO = ROOT / "demo" / "documents"


def infer(monkeypatch, output, questions, *arguments) -> list[dict]:
    """Run the script in this process and return the answers it wrote."""
    monkeypatch.setattr(
        sys,
        "argv",
        ["inference.py", "--test_data_path", str(questions), "--output_path", str(output), *map(str, arguments)],
    )
    inference.main()
    return json.loads(output.read_text())


def meta(output) -> dict:
    return json.loads(meta_file(output).read_text())


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(["What is the capital of France?", {"question": "Name three colours.", "fact": "Red."}]))
    return path


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, model_path) -> str:
    """An adapter that changes every answer."""
    folder = tmp_path_factory.mktemp("adapter")
    save_random_adapter(model_path, folder, 2)
    (folder / "knowledge_update.json").write_text('{"system_prompt": "Be brief."}')
    return str(folder)


def test_questions_may_be_texts_objects_or_a_dataset(tmp_path):
    rows = [
        "Where?",
        {"question": "When?", "reference": "now", "file_name": "a.txt", "id": "when"},
        {"conversations": [{"from": "user", "value": "Who?"}, {"from": "assistant", "value": "you"}], "id": "who"},
    ]
    path = tmp_path / "q.json"
    path.write_text(json.dumps(rows))
    read = read_dataset(path, "test questions", bare_questions=True)
    assert [question_and_reference(row) for row in read] == [("Where?", ""), ("When?", "now"), ("Who?", "you")]
    assert (read[1]["id"], read[1]["file_name"]) == ("when", "a.txt")
    with pytest.raises(InputError, match="row 0"):
        read_dataset(path)
    for wrong in ("", {"question": " "}, {"question": "a", "reference": 3}, 7):
        path.write_text(json.dumps(["Where?", wrong]))
        with pytest.raises(InputError, match="row 1"):
            read_dataset(path, "test questions", bare_questions=True)


def test_the_test_file_of_a_collection_is_read(small_collection):
    test = small_collection.with_suffix(".test.json")
    read = read_dataset(test, "test questions", bare_questions=True)
    assert read == json.loads(test.read_text()) and all(question_and_reference(row)[1] for row in read)


def test_base_and_tuned_in_one_start_answer_as_each_alone(tmp_path, monkeypatch, model_path, adapter, questions):
    local = ("--model_name_or_path", model_path, "--max_new_tokens", 8, "--engine", "transformers")
    alone = infer(monkeypatch, tmp_path / "alone.json", questions, *local, "--lora_weights", adapter)
    base_alone = infer(monkeypatch, tmp_path / "plain.json", questions, *local, "--system_prompt", "Be brief.")
    tuned = infer(monkeypatch, tmp_path / "tuned.json", questions, *local, "--lora_weights", adapter, "--also_base")
    base = json.loads((tmp_path / "tuned_base.json").read_text())
    assert (
        tuned == alone
        and base == base_alone
        and all(a["response"] != b["response"] for a, b in zip(base, tuned, strict=True))
    )
    assert "Paris" in base[0]["response"] and base[1]["fact"] == "Red." and base[0]["id"] == "row_0"
    assert meta(tmp_path / "tuned_base.json")["adapter"] is None and meta(tmp_path / "tuned.json")["adapter"] == adapter
    again = infer(monkeypatch, tmp_path / "tuned.json", questions, *local, "--lora_weights", adapter)
    assert again == tuned and meta(tmp_path / "tuned.json")["calls"] == {"asked": 0, "from_journal": 2}


def test_rag_puts_the_chunks_it_found_in_the_prompt(tmp_path, monkeypatch, server, questions):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("Paris is the capital of France. It lies on the Seine.")
    (texts / "b.txt").write_text("The colours of the flag are blue, white and red.")
    answers = infer(
        monkeypatch, tmp_path / "rag.json", questions, "--api_model", "m", "--api_base", server.address, "--rag", texts,
        "--rag_chunks", 1, "--system_prompt", "Be brief.", "--concurrency", 1,
    )  # fmt: skip
    assert [[location["file_name"] for location in row["retrieved"]] for row in answers] == [["a.txt"], ["b.txt"]]
    assert answers[0]["retrieved"][0] == {"file_name": "a.txt", "start": 0, "end": 53}
    system, user = server.calls[0]["body"]["messages"]
    assert system == {"role": "system", "content": "Be brief."} and answers[0]["response"] == TEXT
    assert user["content"].startswith("Paris is the capital") and "What is the capital of France?" in user["content"]


def test_a_call_that_failed_is_an_error_and_is_asked_again(tmp_path, monkeypatch, server, questions):
    call = ("--api_model", "m", "--api_base", server.address, "--max_attempts", 1, "--retry_delay", 0)
    server.plan = iter([Answer(completion("Paris")), FAULTS["500"]])
    answers = infer(monkeypatch, tmp_path / "api.json", questions, *call)
    assert answers[0]["response"] == "Paris" and "error" not in answers[0]
    assert answers[1]["response"] == "" and "500" in answers[1]["error"]
    assert meta(tmp_path / "api.json")["counts"]["failed"] == 1
    answers = infer(monkeypatch, tmp_path / "api.json", questions, *call)
    assert [row["response"] for row in answers] == ["Paris", TEXT] and len(server.calls) == 3


def test_bm25_finds_the_document_of_most_demo_questions(tokenizer):
    rows = json.loads((ROOT / "demo" / "questions.json").read_text())
    results = find_chunks([question_and_reference(row)[0] for row in rows], read_documents(DEMO), tokenizer, 128, 1)
    hits = sum(chunks[0][1]["file_name"] == row["file_name"] for row, chunks in zip(rows, results, strict=True))
    assert hits >= 0.9 * len(rows), hits
    for [(text, location)] in results:
        source = (DEMO / location["file_name"]).read_text()
        assert source[location["start"] : location["end"]] == text


def test_chinese_is_found_by_character_pairs_and_unknown_words_find_nothing(tokenizer):
    assert terms("图书馆在2026年开放, Open now") == ["图书", "书馆", "馆在", "2026", "年开", "开放", "open", "now"]
    documents = [Document("a.txt", "新图书馆在河边开放。"), Document("b.txt", "火车站在城市的北边。")]
    [results, nothing] = find_chunks(["图书馆什么时候开放？", "zebra"], documents, tokenizer, 64, 1)
    assert [location["file_name"] for _, location in results] == ["a.txt"] and nothing == []


def test_an_unavailable_engine_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)  # as if it were not installed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"requirements-gpu\.txt"):
        choose_engine(EngineArguments(engine="vllm"))
    assert choose_engine(EngineArguments()) == "transformers"
    for wrong in ({"tensor_parallel_size": 2}, {"data_parallel_size": 2}, {"data_parallel_size": 0}):
        with pytest.raises(InputError, match="parallel_size"):
            choose_engine(EngineArguments(engine="transformers", **wrong))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "neither"),
        (("--model_name_or_path", "{m}", "--api_model", "m"), "both"),
        (("--model_name_or_path", "{m}", "--also_base"), "--lora_weights"),
        (("--model_name_or_path", "{m}", "--lora_weights", "x", "--also_base", "{o}"), "a separate file"),
        (("--api_model", "m", "--lora_weights", "x"), "--api_model"),
        (("--api_model", "m", "--rag", "b", "--tokenizer", "models/none"), "models/none"),
        (("--model_name_or_path", "{m}", "--open_book", "a", "--rag", "b"), "--rag"),
        (("--model_name_or_path", "{m}", "--rag", "nowhere"), "nowhere"),
        (("--model_name_or_path", "{m}", "--rag", "nowhere", "--rag_chunks", "0"), "--rag_chunks"),
    ],
)
def test_contradictory_arguments_are_named(tmp_path, monkeypatch, model_path, questions, arguments, message):
    with pytest.raises(InputError, match=message):
        filled_arguments = [word.format(m=model_path, o=tmp_path / "o.json") for word in arguments]
        infer(monkeypatch, tmp_path / "o.json", questions, *filled_arguments)
