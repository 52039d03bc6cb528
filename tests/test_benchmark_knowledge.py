"""benchmarks/knowledge.py: what it trains on and asks, what it counts, what it keeps after a kill."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from paragraph_collection import ASK, FULL, SHARED, TEXT, row, write_collection

from benchmarks import knowledge, knowledge_data, knowledge_runs
from benchmarks.knowledge_data import Passage
from benchmarks.knowledge_records import Records
from benchmarks.knowledge_runs import Run, Settings
from benchmarks.knowledge_trl import read_rows
from benchmarks.passages import Question
from data_processor.dataset import read_dataset
from utils import InputError, read_json, write_json

GIVEN = {
    "title": "Harbour",
    "context": "The harbour of Velm was dug in 1871.",
    "questions": [["When was the harbour of Velm dug?", "1871"]],
    "self_qa": [["Which year saw the digging of Velm's harbour?", "It was dug in 1871."]],
    "rewrites": ["In 1871 people dug Velm a harbour.", "  "],
}
MODEL = "models/SmolLM2-135M-Instruct"


def passage(text: str) -> Passage:
    return Passage("A", text, (Question(f"What of {text}?", (("one", -1),)),))


def write_given(path: Path, amount: int = 1) -> str:
    write_json(
        path, [{**GIVEN, "context": f"{GIVEN['context']} Pier {number} came later."} for number in range(amount)]
    )
    return str(path)


def test_a_passage_is_for_choosing_or_for_reporting_wherever_it_stands():
    passages = [passage(f"Text {number}") for number in range(60)]
    dev, report = (knowledge_data.choose(passages, part, None) for part in ("dev", "report"))
    assert len(dev) == 21  # a third, as the hashes have it
    assert {one.text for one in dev} | {one.text for one in report} == {f"Text {number}" for number in range(60)}
    assert not {one.text for one in dev} & {one.text for one in report}
    assert knowledge_data.choose(reversed(passages), "dev", 5) == dev[:5]
    assert len(knowledge_data.choose([*passages, passages[0]], "all", None)) == 60


def test_too_few_passages_and_an_unknown_part_are_refused():
    with pytest.raises(InputError, match="expected 3 passages with questions in the part all, found 2"):
        knowledge_data.choose([passage("A"), passage("B"), Passage("C", "C", ())], "all", 3)
    with pytest.raises(InputError, match="expected --part dev, report, all, found test"):
        knowledge_data.choose([passage("A")], "test", None)


def test_given_text_becomes_a_dataset_with_the_passage_as_its_chunk(tmp_path):
    source, passages = knowledge_data.read_source(write_given(tmp_path / "given.json", 2), None)
    knowledge_data.write_corpus(passages, tmp_path / "corpus")
    assert source == "given_text"
    rows = read_dataset(tmp_path / "corpus" / "data.json")
    assert [(row["kind"], row["file_name"]) for row in rows[:3]] == [
        ("qa", "passage_000.txt"), ("passage", "passage_000.txt"), ("passage", "passage_000.txt"),
    ]  # fmt: skip
    assert [row["conversations"][0]["value"] for row in rows[:3]] == [
        "Which year saw the digging of Velm's harbour?", "Tell me about Harbour.", "What do you know about Harbour?",
    ]  # fmt: skip
    assert [row["conversations"][1]["value"] for row in rows[:3]] == [
        "It was dug in 1871.",
        "The harbour of Velm was dug in 1871. Pier 0 came later.",
        "In 1871 people dug Velm a harbour.",
    ]
    assert len({row["id"] for row in rows}) == len(rows) == 6  # the empty rewrites are left out
    chunks = [json.loads(line) for line in (tmp_path / "corpus" / "data.chunks.jsonl").read_text().splitlines()]
    assert chunks[1] == {
        "id": "passage_001.txt#0", "file_name": "passage_001.txt", "chunk": 0,
        "text": "The harbour of Velm was dug in 1871. Pier 1 came later.",
    }  # fmt: skip
    assert (tmp_path / "corpus/texts/passage_001.txt").read_text() == chunks[1]["text"]
    assert (tmp_path / "corpus/wrong_texts/passage_001.txt").read_text() == chunks[0]["text"]


def test_a_list_of_rewrites_is_read_for_as_long_as_one():
    text = "1. Velm dug a harbour. It was 1871. 2. A harbour was dug. 3. Dug it was."
    assert knowledge_data.first_rewrite(text, "The harbour of Velm was dug.") == "Velm dug a harbour. It was 1871."
    assert knowledge_data.first_rewrite("- " + GIVEN["context"], "Short.") == GIVEN["context"]


def test_the_questions_of_people_are_asked_and_never_trained(tmp_path):
    _, passages = knowledge_data.read_source(write_given(tmp_path / "given.json"), None)
    knowledge_data.write_corpus(passages, tmp_path)
    assert read_json(tmp_path / "questions.json", "questions") == [
        {"id": "question_0", "question": "When was the harbour of Velm dug?", "reference": "1871", "file_name": "passage_000.txt"}
    ]  # fmt: skip
    assert "When was the harbour of Velm dug?" not in (tmp_path / "data.json").read_text()


def test_a_squad_file_has_no_rows_and_the_shortest_answer_counts(tmp_path):
    answers = [{"text": "the year 1871", "answer_start": 0}, {"text": "1871", "answer_start": 9}]
    paragraph = {"context": GIVEN["context"], "qas": [{"question": "When?", "answers": answers}]}
    write_json(tmp_path / "squad.json", {"data": [{"title": "Harbour", "paragraphs": [paragraph]}]})
    source, passages = knowledge_data.read_source(None, str(tmp_path / "squad.json"))
    knowledge_data.write_corpus(passages, tmp_path / "corpus")
    assert (source, passages[0].rows) == ("own", ())
    assert not (tmp_path / "corpus" / "data.json").exists()
    assert read_json(tmp_path / "corpus" / "questions.json", "questions")[0]["reference"] == "1871"


def test_a_file_of_another_form_is_refused(tmp_path):
    write_json(tmp_path / "other.json", [{"title": "A", "text": "B"}])
    with pytest.raises(InputError, match="found title, text"):
        knowledge_data.read_source(str(tmp_path / "other.json"), None)
    with pytest.raises(InputError, match="expected --given or --passages_file, found neither"):
        knowledge_data.read_source(None, None)


def test_part_of_the_documents_takes_its_rows_and_chunks(tmp_path):
    _, passages = knowledge_data.read_source(write_given(tmp_path / "given.json", 3), None)
    knowledge_data.write_corpus(passages, tmp_path / "corpus")
    knowledge_data.take_rows(tmp_path / "corpus", ["passage_001.txt"], (), tmp_path / "part" / "data.json")
    rows = read_dataset(tmp_path / "part" / "data.json")
    assert {row["file_name"] for row in rows} == {"passage_001.txt"} and len(rows) == 3
    assert len((tmp_path / "part" / "data.chunks.jsonl").read_text().splitlines()) == 1
    knowledge_data.take_rows(tmp_path / "corpus", (), ["qa"], tmp_path / "questions" / "data.json")
    rows = read_dataset(tmp_path / "questions" / "data.json")
    assert {row["kind"] for row in rows} == {"qa"} and {row["file_name"][8:11] for row in rows} == {"000", "001", "002"}


def test_a_run_that_is_like_another_takes_its_arguments_before_its_own():
    settings = knowledge_runs.read_settings()
    ours, half = settings["ours"].arguments, settings["distill 0.5"].arguments
    assert half == (*ours, "--distill_weight", "0.5")
    assert settings["LLaMA-Factory, all the time"].arguments[-2:] == ("--num_train_epochs", "1000")
    assert {name for name, one in settings.items() if not one.peer} == {
        "ours",
        "null space",
        "upper layers",
        "no replay",
        "distill 0.5",
        "distill 0.9",
    }


def test_settings_that_cannot_be_run_are_refused(tmp_path):
    (tmp_path / "a.toml").write_text('[runs.x]\nnote = ""\nlike = "y"\n')
    with pytest.raises(InputError, match="expected the run 'y' before 'x'"):
        knowledge_runs.read_settings(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text('[runs.x]\nnote = ""\ntrainer = "other"\n')
    with pytest.raises(InputError, match="found 'other'"):
        knowledge_runs.read_settings(tmp_path / "b.toml")
    with pytest.raises(InputError, match="found 'mine'"):
        knowledge.chosen_runs(["mine"], None)


def test_peers_bring_ours_with_them_and_trl_is_left_out_without_its_python(capsys):
    chosen, has_curve = knowledge.chosen_runs(["TRL", "LLaMA-Factory"], None)
    assert [one.name for one in chosen] == ["ours", "LLaMA-Factory"] and not has_curve
    assert "without --trl_python these are left out: TRL" in capsys.readouterr().out
    assert [one.name for one in knowledge.chosen_runs(["TRL", "curve"], sys.executable)[0]] == ["ours", "TRL"]


def test_what_determines_a_run_is_its_key(tmp_path):
    (tmp_path / "data.json").write_text("[]")
    run = Run(knowledge_runs.read_settings()["ours"], 1, MODEL, tmp_path)
    others = [
        replace(run, seed=2), replace(run, model="models/other"), replace(run, documents=("a.txt",)),
        replace(run, settings=replace(run.settings, arguments=("--lora_r", "8"))),
        replace(run, settings=replace(run.settings, kinds=("qa",))),
    ]  # fmt: skip
    assert len({run.folder, *(one.folder for one in others)}) == 6
    assert replace(run, settings=replace(run.settings, name="new", note="name")).folder == run.folder
    before = run.folder
    (tmp_path / "data.json").write_text("[1]")
    assert run.folder != before


def test_the_curve_has_all_documents_in_adapters_of_five_and_in_one():
    names = [str(number) for number in range(50)]
    groups = knowledge.curve_groups(names)
    sizes = [len(group) for group in groups]
    assert {size: sizes.count(size) for size in sizes} == {1: 10, 5: 10, 20: 2, 50: 1}
    assert sorted(name for group in groups if len(group) == 5 for name in group) == sorted(names)
    assert [len(group) for group in knowledge.curve_groups(names[:6])] == [1] * 6 + [5, 6]


def test_a_step_that_fails_says_where_its_output_is(tmp_path):
    with pytest.raises(InputError, match=r"found exit code 3: see .*x.log\nwords"):
        command = [sys.executable, "-c", "print('words'); raise SystemExit(3)"]
        knowledge_runs.run_step(command, tmp_path / "x.log")


def test_a_run_is_made_once_and_a_killed_training_again(tmp_path, tiny_model_path):
    """Real: two updates of a model of three layers on one document, and its question."""
    _, passages = knowledge_data.read_source(write_given(tmp_path / "given.json"), None)
    knowledge_data.write_corpus(passages, tmp_path / "corpus")
    arguments = ("--max_steps", "2", "--replay_ratio", "0", "--lora_r", "2")
    settings = Settings("tiny", "finetune", "", arguments=arguments)
    run = Run(settings, 1, tiny_model_path, tmp_path / "corpus", ("passage_000.txt",))
    lora, path = run.folder / "lora", tmp_path / "k_runs.jsonl"
    lora.mkdir(parents=True)
    (lora / "half_a_file").write_text("left by a kill")
    seconds = knowledge.make_run(run, None, None, Records(path))
    assert not (lora / "half_a_file").exists() and (lora / "adapter_model.safetensors").exists()
    assert seconds > 0 and read_json(lora / "log/training.meta.json", "a meta file")["updates"] == 2
    (record,) = Records(path).of("corpus")
    assert record["right"] == {"tuned": "0"} and record["documents"] == ["passage_000.txt"] and record["seed"] == 1
    weights = (lora / "adapter_model.safetensors").stat().st_mtime_ns
    assert knowledge_runs.train(run, tmp_path / "corpus" / "data.json", None, None)["seconds"] == seconds
    assert (lora / "adapter_model.safetensors").stat().st_mtime_ns == weights  # as after a kill of the answers
    shutil.rmtree(run.folder)
    assert knowledge.make_run(run, None, None, Records(path)) == seconds and not run.folder.exists()


def test_given_text_as_passages_alone_has_the_same_passages_without_rows(tmp_path):
    given = str(write_given(tmp_path / "given.json"))
    source, passages = knowledge_data.read_source(None, given)
    _, with_rows = knowledge_data.read_source(given, None)
    assert source == "own" and [one.key for one in passages] == [one.key for one in with_rows]
    assert [one.questions for one in passages] == [one.questions for one in with_rows]
    assert not any(one.rows for one in passages) and all(one.rows for one in with_rows)


def test_a_recorded_dataset_keeps_its_rows_and_chunks_and_gets_the_questions_of_its_paragraphs(tmp_path):
    data = write_collection(tmp_path / "set", [row(0, FULL), row(1, SHARED, "reverse")])
    write_json(tmp_path / "set" / "data.test.json", [row(2, ASK, "held_out_fact")])
    answers = [{"text": "the manager", "answer_start": TEXT.find("the manager")}]
    paragraph = {"context": TEXT, "qas": [{"question": "Who is to be asked?", "answers": answers}]}
    write_json(tmp_path / "squad.json", {"data": [{"title": "Rules", "paragraphs": [paragraph]}]})
    places = {"file": "squad.json", "paragraphs": [{"number": 0, "file_name": "passage_000.txt", "start": 0}]}
    write_json(tmp_path / "set" / "texts.passages.json", places)
    source, passages = knowledge_data.read_source(str(data), str(tmp_path / "squad.json"))
    knowledge_data.write_corpus(passages, tmp_path / "corpus")
    rows = read_dataset(tmp_path / "corpus" / "data.json")
    assert source == "recorded" and [one["kind"] for one in rows] == ["qa", "reverse"]
    assert rows[0]["source"]["quote"] == "The tank was full." and "chunk_text" not in rows[0]
    assert json.loads((tmp_path / "corpus" / "data.chunks.jsonl").read_text())["text"] == TEXT
    (asked,) = read_json(tmp_path / "corpus" / "questions.json", "questions")
    assert (asked["question"], asked["reference"]) == ("Who is to be asked?", "the manager")
    with pytest.raises(InputError, match="expected --passages_file with the dataset"):
        knowledge_data.read_source(str(data), None)


def test_what_the_trainers_of_trl_are_given(tmp_path):
    _, passages = knowledge_data.read_source(write_given(tmp_path / "given.json"), None)
    knowledge_data.write_corpus(passages, tmp_path)
    request = {"data_path": str(tmp_path / "data.json"), "texts": str(tmp_path / "texts"), "documents": []}
    text = "The harbour of Velm was dug in 1871. Pier 0 came later."
    question = [{"role": "user", "content": "Which year saw the digging of Velm's harbour?"}]
    assert read_rows({**request, "trainer": "text"}) == [{"text": text}]
    sft = read_rows({**request, "trainer": "sft"})
    assert len(sft) == 3
    assert sft[0] == {"prompt": question, "completion": [{"role": "assistant", "content": "It was dug in 1871."}]}
    assert read_rows({**request, "trainer": "sdft"}) == [
        {"prompt": question, "privileged_context": f"{text}\n\nThe right answer is: It was dug in 1871."}
    ]
