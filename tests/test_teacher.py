"""The open-book teacher reads as the untrained model does, once; its files are found again; the student sees no passage."""

from __future__ import annotations

import itertools
import json
import logging

import numpy
import pytest
import torch
from clocks import endless, running_clock
from trainings import apart, make_trainer, one_update, tiny_lora

from training import distillation, teaching
from training.arguments import DataArguments, LoraArguments, ModelArguments, TrainingArguments, check_arguments
from training.batches import PaddingFreeCollator
from training.data import IGNORED, LazySupervisedDataset, SupervisedDataset
from training.taught import FILE, remove_teacher
from training.teacher import can_share_passage, plan_reading, read, untrained
from training.teaching import make_teacher
from utils import InputError

PASSAGES = [
    f"Town {n} lies by the lake Umbrel. Its mayor is Corrane {n}, and its river the Tolvimer." for n in range(3)
]


def rows(count: int = 9) -> list[dict]:
    """Three rows on each passage, then two that have none, of which one is replayed."""
    answers = [" ".join([f"Corrane {n % 3}"] * (1 + n)) for n in range(count)]
    taught = [
        {
            "id": str(n),
            "messages": [
                {"role": "user", "content": f"Who is mayor of town {n % 3}?"},
                {"role": "assistant", "content": a},
            ],
            "file_name": "towns.txt",
            "source": {"chunk": n % 3},
        }
        for n, a in enumerate(answers)
    ]
    bare = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Nobody."}]}
    return [*taught, {"id": "bare", **bare}, {"id": "replayed", "kind": "replay", **bare}]


@pytest.fixture
def data(tmp_path) -> DataArguments:
    lines = [{"file_name": "towns.txt", "chunk": n, "text": text} for n, text in enumerate(PASSAGES)]
    (tmp_path / "data.chunks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return DataArguments(str(tmp_path / "data.json"))


@pytest.fixture
def model(tiny_model_path):
    """With an adapter that changes what it says: the teacher must be without."""
    return tiny_lora(tiny_model_path)


@pytest.fixture(autouse=True)
def low_bar(monkeypatch):
    """Three layers give no token one half, and the tests want tokens that are taught."""
    monkeypatch.setattr(distillation, "LEAST_RIGHT", -1e9)


def arguments(tmp_path, **changed) -> TrainingArguments:
    return TrainingArguments(output_dir=str(tmp_path / "lora"), use_cpu=True, **{"distill_weight": 0.5, **changed})


@pytest.fixture
def teach(model, data, tokenizer, tiny_model_path, tmp_path):
    """Makes a teacher, as finetune.py does; `given` are rows, the class of the dataset, a clock, arguments."""

    def make(given=None, kind=SupervisedDataset, clock=None, longest=512, **changed):
        examples = kind(rows() if given is None else given, tokenizer, "", longest, longest < 512)
        training = arguments(tmp_path, **changed)
        return make_teacher(model, examples, tiny_model_path, data, training, clock or endless(tmp_path))

    return make


def expected_records(model, tokenizer, row: dict) -> numpy.ndarray:
    """By one plain forward pass over passage, answer, question and answer, with all logits."""
    question, answer = (message["content"] for message in row["messages"])
    shown = f"{PASSAGES[row['source']['chunk']]}\n\n{question} {answer}\n\n{question}"
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": shown}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    own = tokenizer(prompt, add_special_tokens=False).input_ids
    whole = own + tokenizer(answer + "<|im_end|>", add_special_tokens=False).input_ids
    with torch.no_grad(), model.disable_adapter():
        logprobs = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)[len(own) - 1 : -1]
    top = logprobs.topk(20).values
    rest = (1 - top.exp().sum(1, keepdim=True)).log()
    right = logprobs.gather(1, torch.tensor(whole[len(own) :])[:, None])
    return torch.cat([right, top, rest], dim=1).numpy()


def test_what_is_kept_is_what_a_plain_pass_over_everything_gives(teach, model, tokenizer):
    teacher = teach()
    for index, row in enumerate(rows()[:9]):
        found, expected = teacher.examples.records_of(index), expected_records(model, tokenizer, row)
        assert len(found) == len(expected) and len(found) == teacher.examples.examples.trained_in_row(index)
        assert numpy.column_stack([found["right"], found["logprobs"]]) == pytest.approx(expected, abs=5e-4)


def test_a_passage_is_read_once_for_all_its_rows(teach, model, monkeypatch):
    lengths = []
    model.get_decoder().register_forward_pre_hook(
        lambda _, given, options: lengths.append(tuple(options["input_ids"].shape)), with_kwargs=True
    )
    monkeypatch.setattr(teaching, "can_share_passage", lambda *_: True)
    teach()
    assert len(lengths) == 6, "for each of three passages: itself, and then its three rows in one pass"
    assert [rows_ for rows_, _ in lengths] == [1, 3] * 3
    assert all(once > 25 for (_, once) in lengths[::2])


def test_reading_beforehand_and_in_passes_of_any_size_gives_the_same(teach, model, monkeypatch):
    teacher = teach()
    prompts = [one for group in teacher.prompts(teacher.examples.groups[0], teacher.passages[0]) for one in group]
    found = []
    for shares, tokens, answers in ((True, 8192, 1024), (False, 8192, 1024), (True, 1, 1024), (True, 8192, 1)):
        monkeypatch.setattr("training.teacher.TOKENS_PER_PASS", tokens)
        monkeypatch.setattr("training.teacher.ANSWERS_PER_PASS", answers)
        reading = plan_reading(prompts, shares)
        assert len(reading.batches) == (3 if 1 in (tokens, answers) else 1) and bool(reading.shared) == shares
        with untrained(model, "float32"):
            found.append(numpy.concatenate(read(model, reading))["logprobs"])
    assert all(other == pytest.approx(found[0], abs=2e-3) for other in found[1:])


def test_a_model_that_cannot_go_on_from_what_it_read_reads_the_passage_with_each_row(teach, model, monkeypatch):
    teacher = teach()
    prompts = [one for group in teacher.prompts(teacher.examples.groups[0], teacher.passages[0]) for one in group]
    with untrained(model, "float32"):
        assert can_share_passage(model, prompts, "float32")
        monkeypatch.setattr("training.teacher.rounding_tolerance", lambda *_: -1.0)
        assert not can_share_passage(model, prompts, "float32")
        monkeypatch.setattr("training.teacher.read_passage", lambda *_: None)
        assert not can_share_passage(model, prompts, "float32"), (
            "such as a model with states instead of keys and values"
        )


def test_the_student_reads_no_passage_and_learns_from_every_taught_token(teach, tokenizer):
    teacher = teach()
    taught = teacher.examples
    assert len(taught) == 11 and taught.lengths == taught.examples.lengths and taught.name(9) == "bare"
    for index in range(11):
        example = taught[index]
        assert "lake" not in tokenizer.decode(example["input_ids"])
        assert ("teacher" in example) == (index < 9)
        assert {key: value for key, value in example.items() if key != "teacher"} == taught.examples[index]
        if index < 9:
            assert len(example["teacher"]) == sum(label != IGNORED for label in example["labels"])
    assert any(
        "lake" in tokenizer.decode(one.prompt) for one in teacher.prompts(taught.groups[0], teacher.passages[0])[0]
    )


@pytest.mark.parametrize("kind", [SupervisedDataset, LazySupervisedDataset])
def test_pieces_of_a_long_row_have_their_part_of_the_teacher(teach, kind):
    whole, split = teach().examples, teach(kind=kind, longest=48).examples
    assert len(split) > 11
    for row in range(9):
        pieces = [split[index]["teacher"] for index in range(len(split)) if split.examples.place(index)[0] == row]
        assert numpy.array_equal(numpy.concatenate(pieces), whole[row]["teacher"])


def test_rows_tokens_and_costs_are_said(teach, caplog, monkeypatch):
    monkeypatch.setattr(teaching, "LEAST_RIGHT", -1e-9)  # now no token is above
    with caplog.at_level(logging.INFO):
        teacher = teach()
    report = teacher.report()
    tokens = sum(map(len, (teacher.examples.records_of(row) for row in range(9))))
    assert (report["rows"], report["rows_without_passage"], report["rows_not_read"]) == (9, 1, 0)
    assert report["tokens"] == report["tokens_below_half"] == tokens and report["tokens_too_long"] == 0
    assert report["file_mb"] == round(tokens * 168 / 1e6, 1) and report["seconds"] > 0 and report["peak_mb"] >= 0
    line = caplog.messages[-1]
    assert (
        line.startswith("teacher: 9 rows with their passages, read in ") and "100% of them plain cross-entropy" in line
    )
    assert line.endswith("; 1 rows have plain cross-entropy")


def count_reads(monkeypatch) -> list[int]:
    counted, original = [], teaching.read
    monkeypatch.setattr(
        teaching, "read", lambda model, reading: counted.append(len(reading.prompts)) or original(model, reading)
    )
    return counted


def test_a_second_start_reads_nothing_and_after_a_kill_only_what_is_missing(teach, monkeypatch, tmp_path, caplog):
    counted = count_reads(monkeypatch)
    path = tmp_path / "lora" / FILE.format(0)
    teach()
    whole = path.read_bytes()
    assert counted == [3, 3, 3]
    with caplog.at_level(logging.INFO):
        again = teach()
    assert counted == [3, 3, 3] and path.read_bytes() == whole and "as read before" in caplog.messages[-1]
    assert again.examples[0]["teacher"]["right"].tolist() == numpy.frombuffer(whole, distillation.RECORD)["right"][
        again.examples._start_of[0] :][: len(again.examples[0]["teacher"])].tolist()  # fmt: skip
    path.write_bytes(whole[: len(whole) * 2 // 3])  # killed in the middle of a passage
    teach()
    assert counted[3:] in ([3], [3, 3]) and path.read_bytes() == whole


@pytest.mark.parametrize("changed", ["answer", "passage", "system prompt", "order"])
def test_other_rows_passages_or_settings_are_read_anew(
    teach, data, tokenizer, model, tiny_model_path, tmp_path, monkeypatch, changed
):
    counted = count_reads(monkeypatch)
    teach()
    given, prompt = rows(), ""
    if changed == "answer":
        given[0]["messages"][1]["content"] = "Ilsabet"
    elif changed == "order":
        given[0], given[3] = given[3], given[0]
    elif changed == "passage":
        path = tmp_path / "data.chunks.jsonl"
        path.write_text(path.read_text().replace("Umbrel", "Umbrol"))
    else:
        prompt = "Be brief."
    examples = SupervisedDataset(given, tokenizer, prompt, 512)
    make_teacher(model, examples, tiny_model_path, data, arguments(tmp_path), endless(tmp_path))
    assert counted == [3] * 6


def test_what_does_not_fit_into_the_time_is_left_out_and_said(teach, tmp_path, caplog, monkeypatch):
    """The first passage is read, and takes longer than a quarter of what is left."""
    late = itertools.chain([0.0, 0.0, 0.0, 0.0], itertools.repeat(1000.0))
    monkeypatch.setattr(teaching.time, "monotonic", lambda: next(late))
    with caplog.at_level(logging.INFO):
        teacher = teach(clock=running_clock(tmp_path, 100.0))
    report = teacher.report()
    assert report["rows"] == 3 and report["rows_not_read"] == 6
    assert "7 rows have plain cross-entropy (6 for lack of time)" in caplog.messages[-1]
    assert sum("teacher" in teacher.examples[index] for index in range(11)) == 3
    monkeypatch.undo()
    counted = count_reads(monkeypatch)
    assert teach().report()["rows"] == 3 and not counted, "a resumed training trains as it began"


def test_a_row_that_is_too_long_for_the_model_is_not_compared(teach, model):
    model.config.max_position_embeddings = 90
    try:
        teacher = teach()
    finally:
        model.config.max_position_embeddings = 8192
    report = teacher.report()
    assert 0 < report["tokens_too_long"] < report["tokens"] and report["rows"] == 9
    assert numpy.isneginf(teacher.examples[8]["teacher"]["right"]).all()
    assert numpy.isfinite(teacher.examples[0]["teacher"]["right"]).all()


def test_without_a_weight_or_a_passage_there_is_no_teacher(teach, tmp_path, caplog):
    assert teach(distill_weight=0.0) is None
    with caplog.at_level(logging.INFO):
        assert teach([row for row in rows() if row["id"] in ("bare", "replayed")]) is None
    assert "found none of 1: plain cross-entropy for all" in caplog.messages[-1]
    assert not (tmp_path / "lora").exists()


def test_the_files_go_at_the_end(teach, tmp_path):
    teach()
    (tmp_path / "lora" / "adapter.bin").write_text("stays")
    assert len(list((tmp_path / "lora").iterdir())) == 3
    remove_teacher(tmp_path / "lora")
    assert [path.name for path in (tmp_path / "lora").iterdir()] == ["adapter.bin"]


def update(path, tokenizer, tmp_path, examples, weight: float, collator=None, **options) -> tuple[float, torch.Tensor]:
    return one_update(make_trainer(path, tokenizer, tmp_path / "updates", None, collator, {"train_dataset": examples},
                                   distill_weight=weight, **options))  # fmt: skip


def test_an_update_is_that_of_the_formula_padded_or_not_and_without_a_weight_what_it_was(
    teach, tiny_model_path, tokenizer, tmp_path
):
    taught = teach().examples
    common = {"per_device_train_batch_size": 11}
    plain = update(tiny_model_path, tokenizer, tmp_path, taught.examples, 0.0, **common)
    unweighted = update(tiny_model_path, tokenizer, tmp_path, taught, 0.0, **common)
    assert unweighted[0] == plain[0] and torch.equal(unweighted[1], plain[1])
    expected = update(tiny_model_path, tokenizer, tmp_path, taught, 0.5, **common)
    assert expected[0] != pytest.approx(plain[0], rel=1e-2) and apart(expected[1], plain[1]) > 0.1
    flat = PaddingFreeCollator(flash_attention=False)
    cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3, "train_sampling_strategy": "sequential"}
    for collator, options in ((flat, common), (None, cut)):
        loss, step = update(tiny_model_path, tokenizer, tmp_path, taught, 0.5, collator, **options)
        assert loss == pytest.approx(expected[0], rel=1e-5) and apart(step, expected[1]) < 1e-4


def test_teacher_and_student_are_compared_at_the_same_tokens(teach, tiny_model_path, tokenizer, tmp_path):
    """With the whole weight, and teachers made of what the student itself says, nothing is left to learn."""
    teacher = teach([row for row in rows() if row["id"] not in ("bare", "replayed")])
    taught, student = teacher.examples, tiny_lora(tiny_model_path)
    own = []
    for index in range(9):
        example = taught.examples[index]
        places = [place for place, label in enumerate(example["labels"]) if label != IGNORED]
        with torch.no_grad():
            logits = student(torch.tensor([example["input_ids"]])).logits[0, [place - 1 for place in places]]
        own.append(
            {
                **example,
                "teacher": distillation.to_records(logits, torch.tensor([example["labels"][p] for p in places])),
            }
        )

    class Own(list):
        lengths = taught.lengths

    loss, step = update(tiny_model_path, tokenizer, tmp_path, Own(own), 1.0, per_device_train_batch_size=9)
    plain = update(tiny_model_path, tokenizer, tmp_path, taught.examples, 0.0, per_device_train_batch_size=9)
    assert abs(loss) < 1e-3 and step.norm() < 1e-2 * plain[1].norm()


@pytest.mark.parametrize(
    ("weight", "init", "found"),
    [
        (1.5, "true", "from 0 to 1, found 1.5"),
        (-0.1, "true", "found -0.1"),
        (0.5, "pissa", "--distill_weight, found one"),
    ],
)
def test_a_weight_that_cannot_be_is_refused(tiny_model_path, tmp_path, weight, init, found):
    given = (
        ModelArguments(tiny_model_path),
        DataArguments("a.json", replay_ratio=0.0),
        LoraArguments(init_lora_weights=init),
    )
    with pytest.raises(InputError, match=found):
        check_arguments(*given, arguments(tmp_path, distill_weight=weight))
