"""When questions are asked while training, which round is the best, and when that ends it. No model."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from training import log as training_log
from training.log import ProgressLines
from training.recall import BEST_ADAPTER, Recall, make_recall, remove_best_adapter, require_questions
from utils import InputError


def state(step: int, steps: int = 50, **changed) -> SimpleNamespace:
    return SimpleNamespace(**{"global_step": step, "max_steps": steps, "is_world_process_zero": True, **changed})


def rows(count: int) -> list[dict]:
    return [{"id": str(n)} for n in range(count)]


def trainer_of(patience: int | None = None, seed: int = 0, **more) -> SimpleNamespace:
    """What questions want of a trainer; its model is an adapter."""
    args = SimpleNamespace(early_stopping=patience, seed=seed)
    return SimpleNamespace(**{"args": args, "model": SimpleNamespace(peft_config={}), **more})


def recall_of(monkeypatch, scores=(), patience=None, clock=None) -> Recall:
    trainer = trainer_of(patience, clock=clock, save_model=lambda folder: recall.saved.append(folder))
    recall = Recall(trainer, rows(9), [], None)
    recall.saved, left = [], iter(scores)
    monkeypatch.setattr(recall, "_score", lambda seconds, state: next(left))
    return recall


def test_questions_are_asked_five_times_evenly_and_at_the_end(tmp_path, monkeypatch):
    recall, asked = recall_of(monkeypatch), []
    monkeypatch.setattr(recall, "ask_round", lambda args, state, *_: asked.append(state.global_step))
    recall.on_train_begin(SimpleNamespace(output_dir=str(tmp_path)), state(0), None)
    for step in range(1, 51):
        recall.on_step_end(None, state(step), None)
    assert asked == [10, 20, 30, 40, 50]


def test_with_a_clock_the_rounds_go_by_its_progress(tmp_path, monkeypatch):
    clock = SimpleNamespace(progress=0.0, seconds=100.0)
    recall, asked = recall_of(monkeypatch, clock=clock), []
    monkeypatch.setattr(
        recall, "ask_round", lambda args, state, control, seconds: asked.append((clock.progress, seconds))
    )
    for clock.progress in (0.1, 0.25, 0.3, 0.7, 0.75, 0.85, 0.9, 1.0):
        recall.on_step_end(None, state(1, 100_000), None)
    assert asked == [(0.25, 100.0), (0.7, 100.0), (0.85, 100.0), (1.0, 100.0)]


@pytest.mark.parametrize(
    ("scores", "patience", "best", "stopped"),
    [
        ([0.5, 0.5, 0.25], None, 2, None),  # of equals the later one has learnt longer
        ([0.0, None, None], 1, 1, None),  # not to ask is not to be worse
        ([0.5, 0.4, 0.4, 0.4], None, 1, None),
        ([0.5, 0.4, 0.6, 0.5, 0.5], 2, 3, 5),  # a better one begins the count anew
        ([0.5, 0.4], 1, 1, 2),
    ],
)
def test_the_best_round_is_kept_and_so_many_without_a_better_one_end_it(
    tmp_path, monkeypatch, scores, patience, best, stopped
):
    recall = recall_of(monkeypatch, scores, patience)
    (tmp_path / BEST_ADAPTER).mkdir()
    ended = []
    for step in range(1, len(scores) + 1):
        control = SimpleNamespace(should_training_stop=False)
        recall.ask_round(SimpleNamespace(output_dir=str(tmp_path)), state(step), control, 1e6)
        ended += [step] * control.should_training_stop
    assert recall.best["step"] == json.loads((tmp_path / BEST_ADAPTER / "best.json").read_text())["step"] == best
    assert ended == ([stopped] if stopped else []) and [path.name for path in tmp_path.iterdir()] == [BEST_ADAPTER]


def test_a_round_that_is_not_saved_whole_leaves_the_best_before_it(tmp_path, monkeypatch):
    """Its file was written over the best one: after a kill, or on a full disk, that ended the training at its last save."""
    recall, control = recall_of(monkeypatch, [0.5, 0.75]), SimpleNamespace(should_training_stop=False)
    recall.ask_round(SimpleNamespace(output_dir=str(tmp_path)), state(1), control, 1e6)

    def torn(folder: str) -> None:
        assert folder != str(tmp_path / BEST_ADAPTER)
        raise OSError("No space left on device")

    recall.trainer.save_model = torn
    recall.ask_round(SimpleNamespace(output_dir=str(tmp_path)), state(2), control, 1e6)
    assert recall.best == {"score": 0.5, "step": 1, "size": None}
    assert [path.name for path in tmp_path.iterdir()] == [BEST_ADAPTER]


@pytest.mark.parametrize(
    ("step", "best", "size"), [(0, {}, None), (19, {}, None), (20, {"score": 0.5, "step": 20, "size": 7}, 7)]
)
def test_a_resumed_training_knows_its_best_round_unless_it_goes_back_behind_it(tmp_path, monkeypatch, step, best, size):
    (tmp_path / BEST_ADAPTER).mkdir()
    (tmp_path / BEST_ADAPTER / "best.json").write_text('{"score": 0.5, "step": 20, "size": 7}')
    recall = recall_of(monkeypatch)
    recall.on_train_begin(SimpleNamespace(output_dir=str(tmp_path)), state(step), None)
    assert (recall.best, recall.size) == (best, size)


def test_the_last_weights_stay_where_they_are_the_best_or_nobody_asked_there(tmp_path, monkeypatch):
    recall = recall_of(monkeypatch)
    assert recall.restore_best(str(tmp_path), 50) == 50
    recall.best, recall.last_round_step = {"step": 50}, 50
    assert recall.restore_best(str(tmp_path), 50) == 50
    recall.best, recall.last_round_step = {"step": 20}, 40
    assert recall.restore_best(str(tmp_path), 50) == 50


def test_the_same_questions_are_asked_in_an_order_by_the_seed(tmp_path):
    first, again, other = (Recall(trainer_of(seed=seed), rows(9), rows(9), None).sets["recall"] for seed in (0, 0, 1))
    assert first == again != other and sorted(first, key=str) == rows(9)
    (tmp_path / BEST_ADAPTER).mkdir()
    remove_best_adapter(str(tmp_path))
    remove_best_adapter(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_questions_are_asked_where_there_are_any_and_they_can_be():
    asked = make_recall(trainer_of(patience=4), rows(3), rows(2), "Be brief.")
    assert (asked.patience, asked.system_prompt) == (4, "Be brief.")
    assert [len(asked.sets[name]) for name in ("recall", "retention")] == [3, 2]
    assert make_recall(trainer_of(), [], [], None) is None
    assert make_recall(trainer_of(model=SimpleNamespace()), rows(3), [], None) is None, "all weights are trained"
    assert make_recall(trainer_of(patience=4), [], rows(2), None), "general ones are enough"
    require_questions([], rows(2))
    with pytest.raises(InputError, match="found neither"):
        require_questions([], [])


LOGS = {"loss": 1.5, "learning_rate": 1e-3, "tokens_per_second": 250.0, "padding_share": 0.04}


def test_a_line_says_what_is_left_by_the_pace_since_the_start_or_by_the_clock(monkeypatch, caplog):
    now = [1000.0]
    monkeypatch.setattr(training_log, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for clock in (None, SimpleNamespace(left=lambda: 30.0), SimpleNamespace(left=lambda: 3000.0)):
        lines = ProgressLines(clock)
        lines.on_train_begin(None, state(20, 100), None)  # resumed
        now[0] += 60.0
        with caplog.at_level("INFO"):
            lines.on_log(None, state(40, 100), None, logs=LOGS)
    said = "step 40/100, loss 1.500, learning rate 1.00e-03, 250 tokens/s, padding 4%, "
    assert caplog.messages == [said + "3.0 min left", said + "0.5 min left", said + "3.0 min left"]


def test_rank_0_alone_says_a_line_and_validation_has_one_of_its_own(caplog):
    lines = ProgressLines()
    lines.on_train_begin(None, state(0), None)
    with caplog.at_level("INFO"):
        lines.on_log(None, state(40, is_world_process_zero=False), None, logs=LOGS)
        lines.on_log(None, state(40), None, logs={"train_runtime": 3.0})
        lines.on_log(None, state(40), None, logs=None)
        lines.on_log(None, state(40), None, logs={"eval_loss": 2.0})
    assert caplog.messages == ["step 40: loss on the held-out facts 2.000"]
