"""What is measured and said while training: answers to held-out wordings, the best adapter, the log, the doctor."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
import torch
import transformers
from trainings import examples, make_trainer

from budget.clock import RECALL_SHARE
from training import checkpoints, doctor, recall
from training.checkpoints import MARK, newest_checkpoint, remove_old_checkpoints, why_incomplete, write_mark
from training.log import format_entry, write_log
from training.recall import BEST_ADAPTER, Recall
from utils import InputError


def state(step: int, steps: int = 100) -> SimpleNamespace:
    return SimpleNamespace(
        global_step=step,
        max_steps=steps,
        epoch=0.0,
        is_world_process_zero=True,
        is_local_process_zero=True,
        log_history=[],
    )


def test_answers_are_asked_within_their_share_of_the_time(tiny_model_path, tokenizer, tmp_path):
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, seed=0)
    recall = Recall(trainer, examples(20), examples(6), "")
    trainer.state = state(20)
    args, control = trainer.args, transformers.TrainerControl()
    recall.ask_round(args, trainer.state, control, expected_seconds=20.0)
    assert recall.size is None and not recall.best  # 0.4 seconds: not even the timing fits, and it is cut off
    recall.ask_round(args, trainer.state, control, expected_seconds=100_000.0)
    assert (
        recall.size == 32
        and recall.best["step"] == 20
        and (tmp_path / BEST_ADAPTER / "adapter_model.safetensors").is_file()
    )
    (entry,) = [entry for entry in trainer.state.log_history if "recall" in entry]
    assert entry["recall"] == entry["retention"] == 0.0 and entry["step"] == 20
    spent = recall.seconds_spent
    recall.ask_round(args, trainer.state, control, expected_seconds=(spent + 1.5 * recall.round_seconds) / RECALL_SHARE)
    assert [entry for entry in trainer.state.log_history if "recall" in entry] == [entry], (
        "nothing left for the last round"
    )


def test_the_best_adapter_is_kept_and_training_can_stop_early(tiny_model_path, tokenizer, tmp_path, monkeypatch):
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, seed=0, early_stopping=2)
    recall = Recall(trainer, examples(8), [], "")
    control = transformers.TrainerControl()
    scores = iter([0.25, 0.5, 0.25, 0.25])
    monkeypatch.setattr(recall, "_score", lambda *_: next(scores))
    weights = {}
    for step in (20, 40, 60, 80):
        with torch.no_grad():
            for name, parameter in trainer.model.named_parameters():
                if parameter.requires_grad:
                    parameter.add_(0.01)
                    weights[name, step] = parameter.detach().clone()
        assert not control.should_training_stop
        recall.ask_round(trainer.args, state(step), control, expected_seconds=1e6)
    assert control.should_training_stop and recall.restore_best(str(tmp_path), 81) == 81  # never asked there
    recall.last_round_step = 80
    assert recall.restore_best(str(tmp_path), 80) == 40
    for name, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(parameter, weights[name, 40])


def test_a_long_answer_is_scored_by_its_points_and_given_the_room_to_say_them(monkeypatch):
    """One that would not be right by all of its words, in a batch with a short one; the model is a stand-in."""
    reference = "Employees tell their manager 14 days before a day off and enter it in the calendar."
    rows = [row("long", reference, points=["manager", "14 days"]), row("short")]
    answers, asked = ["Tell the manager 14 days before.", "Ilsabet Corrane"], []

    class Model:
        device, train, eval = "cpu", (lambda self: None), (lambda self: None)

        def generate(self, input_ids, **options):
            asked.append(options["max_new_tokens"])
            return torch.zeros(2, 1)

    tokenizer = SimpleNamespace(batch_decode=lambda *_, **__: answers)
    trainer = SimpleNamespace(
        args=SimpleNamespace(early_stopping=None, seed=0, device=torch.device("cpu")),
        accelerator=SimpleNamespace(unwrap_model=lambda model: model),
        model=Model(),
        processing_class=tokenizer,
    )
    monkeypatch.setattr(recall, "prompt_ids", lambda *_: [1])
    monkeypatch.setattr(recall, "stop_token_ids", lambda *_: [0])
    monkeypatch.setattr(recall, "padded_on_the_left", lambda *_: (torch.zeros(2, 1), torch.ones(2, 1)))
    monkeypatch.setattr(recall, "compute_precision", lambda _: torch.float32)
    for questions, right, tokens in ((rows, 2, 64), ([row("long", reference), rows[1]], 1, 24)):
        assert (Recall(trainer, questions, [], None)._count_right(questions), asked[-1]) == (right, tokens)


def checkpoint(folder, step: int, whole: bool = True, **settings):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "optimizer.pt").write_bytes(b"x" * step)
    if whole:
        write_mark(path, {"settings": settings, "elapsed": 60.0 * step, "step": step})
    return path


def test_a_kill_at_any_moment_loses_no_more_than_the_minutes_between_checkpoints(tmp_path, monkeypatch):
    """A step takes 1 second here and a checkpoint 2; it counts from when it is whole, for the step it began after."""
    now = [0.0]
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(checkpoints, "write_mark", lambda *_: None)
    args, control = SimpleNamespace(world_size=1, process_index=0, output_dir=str(tmp_path)), SimpleNamespace()
    saving = checkpoints.Checkpoints(minutes=20 / 60, keep=2, settings={})
    saving.on_train_begin(args, None, control)
    safe, lost, saves = 0.0, [], 0
    for step in range(1, 200):
        now[0] += 1
        control.should_save = False
        saving.on_step_end(args, None, control)
        if control.should_save:
            ended = now[0]
            now[0] += 2
            lost.append(now[0] - safe)
            saving.on_save(args, SimpleNamespace(global_step=step, best_model_checkpoint=None), control)
            safe, saves = ended, saves + 1
    saving.on_train_end(args, None, control)
    assert 15 < min(lost) <= max(lost) <= 20 and saves >= 199 / 20


def test_the_newest_whole_checkpoint_is_found(tmp_path, caplog):
    assert newest_checkpoint(tmp_path, {}) is None
    for step in (5, 20, 100):
        checkpoint(tmp_path, step, seed=1)
    (tmp_path / "checkpoint-100" / "optimizer.pt").write_bytes(b"x" * 99)  # cut off
    checkpoint(tmp_path, 120, whole=False)
    (tmp_path / "checkpoint-notes").mkdir()
    with caplog.at_level(logging.INFO):
        assert newest_checkpoint(tmp_path, {"seed": 1}) == (str(tmp_path / "checkpoint-20"), 1200.0)
    assert "99 bytes of 100" in caplog.text and f"no {MARK}" in caplog.text
    with pytest.raises(InputError, match="seed"):
        newest_checkpoint(tmp_path, {"seed": 2})


def test_an_old_checkpoint_goes_only_when_newer_ones_are_whole(tmp_path):
    for step, whole in ((1, True), (2, True), (3, False), (4, True), (5, True)):
        checkpoint(tmp_path, step, whole)
    remove_old_checkpoints(tmp_path, keep=2, best="checkpoint-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-4", "checkpoint-5"]
    assert why_incomplete(tmp_path / "checkpoint-4") is None


def test_the_log_is_a_line_a_file_and_a_picture(tmp_path):
    logs = {"loss": 1.5, "learning_rate": 1e-3, "tokens_per_second": 250.0, "padding_share": 0.04, "mfu": 0.31}
    said = "step 25/100, loss 1.500, learning rate 1.00e-03, 250 tokens/s, padding 4%, MFU 31%, 2.5 min left"
    assert format_entry(logs, 25, 100, 150.0) == said
    history = [{"step": 1, **logs}, {"step": 2, "eval_loss": 2.0}, {"step": 2, "recall": 0.5}]
    write_log(tmp_path, {"updates": 2}, history)
    assert json.loads((tmp_path / "train_log.json").read_text()) == {"plan": {"updates": 2}, "log": history}
    assert (tmp_path / "loss_curve.png").read_bytes().startswith(b"\x89PNG")


def row(identity: str, answer: str = "Ilsabet Corrane", question: str = "Who?", **keys) -> dict:
    return {
        "id": identity,
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        **keys,
    }


def test_the_doctor_names_what_is_wrong(tiny_model_path, tokenizer, tmp_path, caplog):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "some/other-model"}')
    training = SimpleNamespace(model_max_length=64, output_dir=str(tmp_path))
    data = SimpleNamespace(system_prompt="", split_long_examples=False)
    rows = [
        row("fine"), row("empty", ""), row("long", "word " * 100), row("broken", "The cafÃ© in MÃ¼nchen â€œopenedâ€\x9d"),
        row("marked", "a<|im_end|>b"), row("twice"), row("wording", question="And who?", fact="shared"),
    ]  # fmt: skip
    held_out = [row("held_1"), row("held_2", question="Who then?", fact="shared")]
    with caplog.at_level(logging.INFO):
        assert doctor.report(rows, held_out, tokenizer, tiny_model_path, data, training) == 1
    found = {record.getMessage() for record in caplog.records}
    for words, identity in (
        ("the answer is empty", "empty"), ("longer than", "long"), ("mojibake", "broken"), ("special token", "marked"),
        ("same conversation", "twice"), ("word for word", "held_1"), ("another wording", "held_2"), ("other-model", str(tmp_path)),
    ):  # fmt: skip
        assert any(words in line and identity in line for line in found), (words, found)
    caplog.clear()
    training.output_dir = str(tmp_path / "new")
    with caplog.at_level(logging.INFO):
        assert doctor.report([row("fine")], [], tokenizer, tiny_model_path, data, training) == 0
    assert [record.getMessage() for record in caplog.records] == ["1 rows, 0 errors, 0 warnings; nothing was trained"]


def test_the_doctor_finds_an_end_at_which_generation_does_not_stop(tiny_model_path, tokenizer, tmp_path):
    from copy import deepcopy

    other = deepcopy(tokenizer)
    other.add_special_tokens({"additional_special_tokens": ["<end_of_turn>"]})
    other.chat_template = (
        "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '<end_of_turn>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    )
    (finding,) = doctor.end_of_turn_findings(other, tiny_model_path)
    assert "would not stop" in finding
    (finding,) = doctor.model_findings(other, tiny_model_path, str(tmp_path))
    assert "resize" in finding
