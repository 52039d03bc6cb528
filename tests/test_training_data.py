"""Examples as tensors: nothing is cut, nothing trained twice, and memory does not grow with the rows."""

from __future__ import annotations

import copy
import json
import tracemalloc

import pytest

from training.data import (
    CACHED_EXAMPLES,
    IGNORED,
    LazySupervisedDataset,
    SupervisedDataset,
    count_facts,
    fact_of,
    preprocess,
    select_rows,
    split_by_fact,
    split_example,
    trained_count,
)
from training.log import colour_trained_tokens
from training.row_file import RowFile
from utils import InputError

TURNS = [
    {"role": "user", "content": "Who leads Tolvimer?"},
    {"role": "assistant", "content": "Ilsabet Corrane"},
    {"role": "user", "content": "Since when?"},
    {"role": "assistant", "content": "9 March"},
]


def rows(count: int) -> list[dict]:
    return [{"id": str(n), "messages": TURNS[: 2 + 2 * (n % 2)], "fact": f"fact {n // 5}"} for n in range(count)]


def test_fault_7_nothing_is_cut(tokenizer):
    """Answers were cut by truncation."""
    long = [*TURNS[:1], {"role": "assistant", "content": "Ilsabet Corrane. " * 40}]
    for kind in (SupervisedDataset, LazySupervisedDataset):
        with pytest.raises(InputError, match="example identity_7"):
            kind([{"id": "identity_7", "messages": long}], tokenizer, None, 64)


def test_a_split_example_trains_every_token_once(tokenizer):
    long = [*TURNS[:1], {"role": "assistant", "content": " ".join(f"word{n}" for n in range(200))}]
    data = [{"id": "a", "messages": TURNS[:2]}, {"id": "b", "messages": long}, {"id": "c", "messages": TURNS[:2]}]
    whole = preprocess(long, tokenizer, "")
    eager = SupervisedDataset(data, tokenizer, "", 128, True)
    lazy = LazySupervisedDataset(data, tokenizer, "", 128, True)
    assert len(eager) == len(lazy) == len(lazy.lengths) > 4 and [eager[n] for n in range(len(eager))] == list(lazy)
    pieces = [eager[1], *(eager[n] for n in range(3, len(eager)))]
    assert all(len(piece["input_ids"]) <= 128 for piece in pieces)
    trained = [label for piece in pieces for label in piece["labels"] if label != IGNORED]
    assert trained == [label for label in whole["labels"] if label != IGNORED]
    with pytest.raises(InputError, match="example b"):
        split_example(whole, 16, "example b")
    with pytest.raises(InputError, match="tokens before the answer in example b: shorten it"):
        SupervisedDataset(data[1:], tokenizer, "", 16, True)


def test_rows_that_come_later_are_as_if_they_had_been_there_and_the_others_are_tokenised_once(tokenizer, tmp_path):
    """Replayed answers, which take a model to make: until they were there, no row was found to be too long."""
    long = [*TURNS[:1], {"role": "assistant", "content": " ".join(f"word{n}" for n in range(200))}]
    first = [{"id": "a", "messages": long}, {"id": "b", "messages": TURNS[:2]}]
    later = [{"id": "c", "messages": TURNS, "kind": "replay"}]
    (tmp_path / "data.json").write_text(json.dumps(first))
    for kind, own in ((SupervisedDataset, first), (LazySupervisedDataset, RowFile(tmp_path / "data.json"))):
        before = kind(own, tokenizer, "", 128, True)
        length, both, whole = len(before), before.with_rows(later), kind(own + later, tokenizer, "", 128, True)
        assert [both[n] for n in range(len(both))] == [whole[n] for n in range(len(whole))]
        assert list(both.lengths) == list(whole.lengths) and len(before) == length == len(both) - 1
        assert both.name(2) == "c"
    eager = SupervisedDataset(first, tokenizer, "", 128, True)
    assert eager.with_rows(later).examples[0] is eager.examples[0]


def test_a_template_that_refuses_empty_turns_is_no_obstacle_and_one_that_refuses_all_is_named(tokenizer):
    strict = copy.deepcopy(tokenizer)
    refusal = "{{ raise_exception('no words') }}"
    strict.chat_template = "{% if not messages[-1].content %}" + refusal + "{% endif %}" + tokenizer.chat_template
    read = LazySupervisedDataset(rows(3), strict, None, 2048)
    assert list(read) == list(LazySupervisedDataset(rows(3), tokenizer, None, 2048))
    strict.chat_template = refusal
    with pytest.raises(InputError, match="refuses a plain question and answer: no words"):
        LazySupervisedDataset(rows(3), strict, None, 2048)


def test_a_tokenizer_that_would_begin_each_text_with_a_token_adds_none(tokenizer, monkeypatch):
    """The chat template has all special tokens."""
    plain = preprocess(TURNS, tokenizer, "")
    tokenise = type(tokenizer).__call__

    def with_first(own, text: str, add_special_tokens: bool = True):
        found = tokenise(own, text, add_special_tokens=False)
        found["input_ids"] = [own.eos_token_id] * add_special_tokens + found["input_ids"]
        return found

    monkeypatch.setattr(type(tokenizer), "__call__", with_first)
    assert preprocess(TURNS, tokenizer, "") == plain


def test_a_conversation_that_is_too_long_and_has_no_name_is_called_one(tokenizer):
    with pytest.raises(InputError, match=r"^expected at most 5 tokens in an example, found \d+ in a conversation: "):
        preprocess(TURNS, tokenizer, "", 5)


PLAIN = {"input_ids": list(range(20)), "labels": [-100, -100, -100, -100, *range(4, 20)]}


def test_a_piece_begins_with_the_question_and_a_quarter_of_text_that_is_not_trained_again():
    assert split_example(PLAIN, 12, "") == [
        {"input_ids": list(range(12)), "labels": [-100] * 4 + list(range(4, 12))},
        {"input_ids": [0, 1, 2, 3, *range(10, 18)], "labels": [-100] * 6 + list(range(12, 18))},
        {"input_ids": [0, 1, 2, 3, 16, 17, 18, 19], "labels": [-100] * 6 + [18, 19]},
    ]


def test_a_piece_in_which_nothing_is_trained_is_left_out():
    ignored = {"input_ids": list(range(20)), "labels": [-100] * 4 + [4] + [-100] * 15}
    assert split_example(ignored, 12, "") == [{"input_ids": list(range(12)), "labels": [-100] * 4 + [4] + [-100] * 7}]


def test_a_question_may_take_half_of_the_length_and_no_more():
    for question, fits in ((10, True), (11, False)):
        example = {"input_ids": list(range(30)), "labels": [-100] * question + list(range(question, 30))}
        if fits:
            assert split_example(example, 20, "")
        else:
            with pytest.raises(InputError, match="found 11 tokens before the answer in example b"):
                split_example(example, 20, "example b")
    whole = {"input_ids": list(range(20)), "labels": [-100] * 15 + list(range(15, 20))}
    assert split_example(whole, 20, "example c") == [whole], "what fits is not split, whatever its question takes"


@pytest.mark.parametrize("kind", [SupervisedDataset, LazySupervisedDataset])
def test_an_example_as_long_as_the_limit_is_kept_whole_and_one_token_more_is_not(tokenizer, kind):
    digits = [*TURNS[:1], {"role": "assistant", "content": "7" * 90}]  # a token is a byte
    whole = preprocess(digits, tokenizer, "")
    length = len(whole["input_ids"])
    for split in (False, True):
        exact = kind([{"id": "a", "messages": digits}], tokenizer, "", length, split)
        assert len(exact) == 1 and exact[0]["input_ids"] == whole["input_ids"]
    with pytest.raises(InputError, match=f"at most {length - 1} tokens in an example, found {length} in example a"):
        kind([{"id": "a", "messages": digits}], tokenizer, "", length - 1)
    assert len(kind([{"id": "a", "messages": digits}], tokenizer, "", length - 1, True)) == 2


@pytest.mark.parametrize("kind", [SupervisedDataset, LazySupervisedDataset])
def test_an_example_knows_whether_it_is_replayed_and_a_piece_whose_it_is(tokenizer, kind):
    long = [*TURNS[:1], {"role": "assistant", "content": "7" * 90}]
    data = [
        {"id": "a", "messages": TURNS[:2], "kind": "qa"},
        {"id": "b", "messages": long, "kind": "replay"},
        {"messages": long},
        {"id": "d", "messages": TURNS[:2], "kind": "replay", "unfinished": True},
    ]
    read = kind(data, tokenizer, "Be brief.", 80, True)
    assert [example["replay"] for example in read] == [False, True, False, True, True, False]
    assert [example["index"] for example in read] == list(range(6))
    assert [read.name(n) for n in range(6)] == ["a", "b", "2", "d", "b", "2"]
    assert read[0]["input_ids"][-1] == tokenizer.eos_token_id != read[3]["input_ids"][-1]
    assert all("Be brief." in tokenizer.decode(example["input_ids"]) for example in read)
    for place in (-1, 6):
        with pytest.raises(IndexError):
            read[place]


def test_lengths_are_exact_or_estimated_in_tokens(tokenizer):
    data = rows(12)
    eager = SupervisedDataset(data, tokenizer, None, 2048)
    assert eager.lengths == [len(example["input_ids"]) for example in eager]
    lazy = LazySupervisedDataset(data, tokenizer, None, 2048)
    assert list(lazy.lengths) == pytest.approx(eager.lengths, rel=0.3) and sum(lazy.lengths) == pytest.approx(
        sum(eager.lengths), rel=0.05
    )


def test_eager_and_lazy_datasets_hold_the_same_tensors(tokenizer, tmp_path):
    data = rows(12)
    for name, text in (("a.json", json.dumps(data)), ("a.jsonl", "\n".join(map(json.dumps, data)))):
        (tmp_path / name).write_text(text)
        eager = SupervisedDataset(data, tokenizer, None, 2048)
        lazy = LazySupervisedDataset(RowFile(tmp_path / name), tokenizer, None, 2048)
        assert lazy._pieces_of_row.cache_info().currsize == 0 and len(eager) == len(lazy) == 12
        assert list(eager) == list(lazy)


def test_memory_stays_flat_however_many_rows_there_are(tokenizer, tmp_path):
    """A row costs two numbers, one hash and one length; what is tokenised is bounded by CACHED_EXAMPLES."""
    with (tmp_path / "a.json").open("w") as file:
        file.write("[" + ",\n".join(json.dumps(row | {"padding": "x" * 1000}) for row in rows(10_000)) + "]")
    tracemalloc.start()
    data = LazySupervisedDataset(RowFile(tmp_path / "a.json"), tokenizer, None, 2048)
    assert tracemalloc.get_traced_memory()[0] < 10_000 * 100 < (tmp_path / "a.json").stat().st_size / 10
    tracemalloc.stop()
    assert data._pieces_of_row.cache_parameters()["maxsize"] == CACHED_EXAMPLES and data[9_999]["input_ids"]


@pytest.mark.parametrize(
    ("text", "words"),
    [('[{"id": "a"', "JSON"), ("[]", "empty list"), ('[{"id": "a"}]', '"conversations"'), ('{"id": "a"}\n{"', "row 0")],
)
def test_a_file_of_rows_that_is_none_is_named(tmp_path, text, words):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError) as error:
        RowFile(tmp_path / "a.json")
    assert words in str(error.value)


def test_a_file_that_ends_within_its_list_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(rows(3))[:-1])
    with pytest.raises(InputError, match="JSON"):
        RowFile(tmp_path / "a.json")
    (tmp_path / "b.json").write_text(json.dumps(rows(2) + rows(1)))
    with pytest.raises(InputError, match="unique ids"):
        RowFile(tmp_path / "b.json")


def test_fault_6_validation_shares_no_fact_with_training(tmp_path):
    """Validation questions were drawn from training rows."""
    data = rows(50)
    (tmp_path / "a.json").write_text(json.dumps(data))
    for source in (data, RowFile(tmp_path / "a.json")):
        train, held_out = split_by_fact(source, 8, seed=0)
        assert len(train) + len(held_out) == 50 and 8 <= len(held_out) <= 12
        assert not {row["fact"] for row in train} & {row["fact"] for row in held_out}
    with pytest.raises(InputError, match="validation_size"):
        split_by_fact(data, 50, seed=0)


def test_a_fact_is_known_by_its_id_before_its_words_and_by_its_words_before_the_rows_id():
    assert fact_of({"fact_id": "f7", "fact": "It is so.", "id": "a"}) == "f7"
    assert fact_of({"fact": "It is so.", "id": "a"}) == "It is so." and fact_of({"id": 3}) == "3"


def test_facts_are_counted_once_in_whatever_key_a_row_has_them():
    rows = [{"fact_id": "f7"}, {"fact": "It is so."}, {"id": 3}, {"fact_id": "f7", "id": 4}, {"fact": "It is so."}]
    assert count_facts(rows) == 3 and count_facts([]) == 0


def test_wordings_of_a_fact_are_held_out_together_though_its_words_differ():
    data = [{"id": str(n), "fact_id": f"f{n % 10}", "fact": f"wording {n}"} for n in range(50)]
    train, held_out = split_by_fact(data, 8, seed=0)
    assert len(held_out) == 10 and not {row["fact_id"] for row in train} & {row["fact_id"] for row in held_out}


def test_whole_facts_are_held_out_by_the_seed_and_one_is_left():
    data = rows(50)
    train, held_out = split_by_fact(data, 10, seed=0)
    assert len(held_out) == 10, "two facts of five are enough"
    for part in (train, held_out):
        assert part == sorted(part, key=lambda row: int(row["id"])), "in the order of the file"
    assert split_by_fact(data, 10, seed=0)[1] == held_out != split_by_fact(data, 10, seed=1)[1]
    assert len(split_by_fact(data, 45, seed=0)[0]) == 5
    with pytest.raises(InputError, match="more than 46 examples"):
        split_by_fact(data, 46, seed=0)


def test_an_unfinished_answer_is_trained_without_an_end(tokenizer):
    whole = preprocess(TURNS[:2], tokenizer, None)
    cut = preprocess(TURNS[:2], tokenizer, None, unfinished=True)
    assert whole["input_ids"][-1] == tokenizer.eos_token_id and cut["input_ids"] == whole["input_ids"][:-1]
    assert len(cut["labels"]) == len(cut["input_ids"]) and cut["labels"][-1] != IGNORED


def test_what_is_trained_is_shown_in_green(tokenizer):
    shown = colour_trained_tokens(preprocess(TURNS[:2], tokenizer, ""), tokenizer)
    assert "\033[1;32mIlsabet Corrane<|im_end|>\033[0m" in shown and "\033[90m<|im_start|>" in shown


def test_rows_are_taken_from_a_list_or_by_what_can_take_them():
    class Rows(list):
        def select(self, indices):
            return ("taken", indices)

    assert select_rows(["a", "b", "c"], [2, 0]) == ["c", "a"] and select_rows(Rows("abc"), [2, 0]) == ("taken", [2, 0])


def test_colours_change_where_training_begins_and_ends():
    class Letters:
        def decode(self, tokens):
            return "".join(map(chr, tokens))

    example = {"input_ids": [*map(ord, "abcd")], "labels": [-100, ord("b"), ord("c"), -100]}
    assert colour_trained_tokens(example, Letters()) == "\033[90ma\033[1;32mbc\033[90md\033[0m"
    with pytest.raises(ValueError, match="zip"):
        colour_trained_tokens({**example, "labels": [-100]}, Letters())


def test_the_trained_tokens_of_an_example_are_those_with_a_label():
    assert trained_count({"input_ids": [5, 3, 6, 0], "labels": [IGNORED, 3, IGNORED, 0]}) == 2
    pieces = split_example({"input_ids": list(range(40)), "labels": [IGNORED] * 4 + list(range(4, 40))}, 12, "a row")
    assert len(pieces) > 3 and sum(map(trained_count, pieces)) == 36
