"""Whether a server's answers are those of inference.py: what is asked, what is counted, what is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.served import Likeness, choose, compare, require_served
from engines.tuned_run import Asked, TunedRun, read_run
from utils import InputError, log_file, write_json

ASKED = [Asked("a?", "one", "1"), Asked("b?", "same", "same"), Asked("c?", "three ", "3"), Asked("d?", "four", "4")]


def run_with(folder, base: list[dict], tuned: list[dict], **arguments) -> TunedRun:
    for name, answers in (("base", base), ("tuned", tuned)):
        write_json(folder / f"{name}.json", answers)
    write_json(log_file(folder / "tuned.meta.json"), {"arguments": {"max_new_tokens": 64, **arguments}})
    return TunedRun(folder, "model", str(folder / "lora"), None)


@pytest.mark.parametrize("made", [".", "lora"])
def test_a_folder_without_a_finished_run_is_named_with_what_to_give(tmp_path, made):
    (tmp_path / "out" / made).mkdir(parents=True)
    for folder in (tmp_path / "out", tmp_path / "nothing"):
        with pytest.raises(
            InputError, match=rf"the adapter of a finished run at {folder}/lora/.*OUT=output/quickstart$"
        ):
            read_run(folder)


def row(question: str, response: str, **more) -> dict:
    return {"question": question, "response": response, **more}


def test_only_questions_that_tell_the_models_apart_are_asked_evenly_over_the_run():
    asked = [Asked(f"{n}?", "yes", "yes" if n % 2 else f"{n}") for n in range(20)]
    assert [one.question for one in choose(asked, 5)] == ["0?", "4?", "8?", "12?", "16?"]
    assert [one.question for one in choose(asked, 100)] == [f"{n}?" for n in range(0, 20, 2)]


def test_answers_are_counted_for_the_model_that_was_asked():
    assert compare(ASKED, ["1", "same", " 3\n", "5"], "tuned") == Likeness("tuned", 4, 3, 3, 0)
    assert compare(ASKED, ["one", "same", "three", "4"], "tuned") == Likeness("tuned", 4, 2, 3, 2)
    assert compare(ASKED, ["one", "same", "three", "4"], "base") == Likeness("base", 4, 3, 3, 1)


def test_most_answers_have_to_be_the_same_and_not_all():
    require_served(Likeness("tuned", 8, 5, 8, 0))
    require_served(Likeness("base", 8, 5, 8, 3))
    for likeness, what in (
        (Likeness("tuned", 8, 0, 8, 8), "the adapter has no effect"),
        (Likeness("tuned", 8, 3, 8, 4), "the adapter has no effect"),
        (Likeness("base", 8, 0, 8, 7), "the adapter is applied to the base too"),
        (Likeness("tuned", 8, 4, 8, 0), "the chat template, the system prompt"),
        (Likeness("base", 8, 0, 8, 0), "the chat template, the system prompt"),
    ):
        with pytest.raises(InputError, match=f"{likeness.same} of 8.*{what}"):
            require_served(likeness)


def test_questions_are_paired_by_their_words_and_failed_ones_left_out(tmp_path):
    run = run_with(
        tmp_path,
        [row("b?", "B"), row("a?", "A"), row("c?", "", error="no time"), row("only the base?", "x")],
        [row("a?", "1"), row("b?", "2"), row("c?", "3"), row("d?", "4")],
    )
    assert run.questions() == [Asked("a?", "A", "1"), Asked("b?", "B", "2")] and run.max_new_tokens == 64


@pytest.mark.parametrize("argument", ["rag", "open_book"])
def test_answers_with_the_documents_in_the_prompt_show_nothing_about_a_server(tmp_path, argument):
    run = run_with(tmp_path, [row("a?", "A")], [row("a?", "1")], **{argument: "my_texts"})
    with pytest.raises(InputError, match="text of the documents was in the prompts"):
        run.questions()


def test_a_run_whose_models_answer_alike_cannot_show_that_an_adapter_is_applied(tmp_path):
    run = run_with(tmp_path, [row("a?", "A"), row("b?", "B")], [row("a?", "A "), row("b?", "B")])
    with pytest.raises(InputError, match="found none of 2"):
        run.questions()


@pytest.mark.parametrize("name", ["base", "tuned"])
@pytest.mark.parametrize(
    "content", [None, {"a?": "A"}, [{"question": "a?"}], ["a?"]], ids=["none", "object", "half", "words"]
)
def test_a_run_without_answers_is_told_how_to_get_them(tmp_path, name, content):
    """Such as a collection without test questions, or stages that were run by hand under other names."""
    run = run_with(tmp_path, [row("a?", "A")], [row("a?", "1")])
    file = tmp_path / f"{name}.json"
    file.unlink() if content is None else write_json(file, content)
    with pytest.raises(InputError, match=rf"{name}\.json, found .*: run inference\.py with .*--also_base"):
        run.questions()


def test_answers_under_another_system_prompt_than_the_servers_are_refused_before_it_starts(tmp_path):
    run = run_with(tmp_path, [row("a?", "A")], [row("a?", "1")])
    how = {"arguments": {"max_new_tokens": 64}, "system_prompt": "Answer in French."}
    write_json(log_file(tmp_path / "tuned.meta.json"), how)
    with pytest.raises(InputError, match=r"\(None\) in .*, found 'Answer in French\.': run inference\.py without"):
        run.questions()
    write_json(log_file(tmp_path / "tuned.meta.json"), {**how, "system_prompt": None})
    assert run.questions()


def test_answers_of_an_earlier_adapter_are_refused(tmp_path):
    """They and their scores would stand for a model that was trained since."""
    run = run_with(tmp_path, [row("a?", "A")], [row("a?", "1")])
    how = {"arguments": {"max_new_tokens": 64}, "finished": "2026-11-30 10:00:00"}
    write_json(log_file(tmp_path / "tuned.meta.json"), how)
    training = log_file(tmp_path / "lora" / "training.meta.json")
    write_json(training, {"finished": "2026-11-30 09:59:00"})
    assert run.questions()
    write_json(training, {"finished": "2026-11-30 10:00:01"})
    with pytest.raises(InputError, match=r"trained until 2026-11-30 10:00:01, found older ones in .*tuned\.json"):
        run.questions()


def save_run(folder: Path, base: str | None) -> Path:
    write_json(folder / "lora" / "adapter_config.json", {"base_model_name_or_path": base})
    return folder


def test_a_folder_that_is_no_run_and_a_base_that_has_moved_are_told_what_to_give(tmp_path):
    with pytest.raises(
        InputError, match=r"expected the adapter of a finished run at .*, found nothing: give the OUT of"
    ):
        read_run(tmp_path)
    save_run(tmp_path, str(tmp_path / "moved"))
    with pytest.raises(InputError, match=r"expected the base model of .*lora at .*moved, found nothing.* with MODEL$"):
        read_run(tmp_path)
    with pytest.raises(InputError, match=r"at .*/neither, found nothing.* such as Qwen/Qwen2\.5-7B-Instruct$"):
        read_run(tmp_path, str(tmp_path / "neither"))
    with pytest.raises(InputError, match="found none: say where it is with MODEL"):
        read_run(save_run(tmp_path, None))


def test_an_adapter_whose_training_has_not_ended_is_no_run(tmp_path):
    write_json(tmp_path / "model" / "config.json", {})
    with pytest.raises(InputError, match="expected the weights of an adapter at"):
        read_run(save_run(tmp_path, str(tmp_path / "model")))
