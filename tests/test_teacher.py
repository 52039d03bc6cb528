"""The open-book teacher reads as the untrained model does, each passage once; the student learns without a passage."""

# ruff: noqa: F811, F401 - fixtures

from __future__ import annotations

import numpy
import pytest
import torch
from open_books import PASSAGES, data, low_bar, model, rows, teach
from trainings import apart, make_trainer, one_update, tiny_lora

from training import distillation, teaching
from training.batches import PaddingFreeCollator
from training.data import IGNORED, LazySupervisedDataset, SupervisedDataset
from training.teacher import can_share_passage, plan_reading, read, untrained


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
