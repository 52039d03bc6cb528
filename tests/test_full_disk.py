"""A disk that is full in the middle of a training: what cannot be written is left out, and the training goes on."""

from __future__ import annotations

import contextlib
import resource
from types import SimpleNamespace

import pytest
import transformers
from test_recall_and_log import checkpoint
from trainings import make_trainer

from budget.clock import Clock
from training.checkpoints import Checkpoints, newest_checkpoint
from training.log import LogFile


@contextlib.contextmanager
def full_disk(free: int):
    """As if no file could have more than `free` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("free", [0, 30_000, 300_000], ids=["nothing", "no adapter", "no optimizer"])
def test_a_full_disk_costs_a_checkpoint_and_not_the_training(tiny_model_path, tokenizer, tmp_path, caplog, free):
    """It ended the training, hours after its start, and what was written of the checkpoint stayed on the full disk."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, max_steps=2, optim="adamw_torch")
    saving, seen = Checkpoints(0, None, {}), []
    trainer.add_callback(saving)

    class Always(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            control.should_save = True

    save = trainer._save_checkpoint

    def save_on_a_full_disk(*given):
        with full_disk(free) if not seen else contextlib.nullcontext():
            save(*given)
        seen.append(sorted(path.name for path in tmp_path.glob("checkpoint-*")))

    trainer.add_callback(Always())
    trainer._save_checkpoint = save_on_a_full_disk
    trainer.train()
    assert seen == [[], ["checkpoint-2"]] and newest_checkpoint(tmp_path, {})[0].endswith("checkpoint-2")
    (said,) = [message for message in caplog.messages if "the training goes on" in message]
    assert said.startswith(f"no checkpoint in {tmp_path}/checkpoint-1: ")


def test_a_mark_that_cannot_be_written_leaves_no_checkpoint(tmp_path, caplog):
    before, folder = checkpoint(tmp_path, 2), checkpoint(tmp_path, 4, whole=False)
    with full_disk(0):
        Checkpoints(0, 1, {}).on_save(
            SimpleNamespace(process_index=0, output_dir=str(tmp_path)),
            SimpleNamespace(global_step=4, best_model_checkpoint=None),
            None,
        )
    assert before.is_dir() and not folder.exists() and "expected to write" in caplog.text


def test_a_line_of_the_log_and_the_progress_are_left_out(tmp_path, caplog):
    lines, args = LogFile(), SimpleNamespace(output_dir=str(tmp_path))
    state = SimpleNamespace(is_world_process_zero=True, global_step=0)
    lines.on_train_begin(args, state, None)
    clock = Clock("fine-tuning", 0.0, 9e9, tmp_path)
    with full_disk(0):
        lines.on_log(args, state, None, {"loss": 1.0})
        clock.report_progress(0.5, 9e9)
    assert "goes on without this entry" in caplog.text
    lines.on_log(args, state, None, {"loss": 1.0})
    assert len(lines.path.read_text().splitlines()) == 1
