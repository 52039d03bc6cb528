"""A big folder is collected in parts: nothing is lost between them, and no question or answer comes twice."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from clocks import endless
from generators import ReadingEngine

from data_processor import (
    collection,
    curation,
    hyphens,
    instructions,
    numbered,
    parts,
    segmentation,
    text_faults,
    unknown,
)
from data_processor.arguments import CollectionArguments, check_arguments
from data_processor.collection import collect, json_list
from data_processor.curation import NearCopies, SimilarTexts, is_near_copy, word_trigrams
from data_processor.parts import Digests, RowsBefore, Spool, in_parts
from data_processor.small_model import verbs
from engines.chat import WaveWaiting
from utils import write_json

SHARED = "The ferry Heron carried 210 passengers on its first day."
TEXTS = {
    "a.txt": f"The Hexley bridge was opened on 3 May 2031. {SHARED} Orla Venn built it.",
    "b.txt": "The Corrin mill burnt down on 9 June 1958. Nils Berg bought it for 48 million euros.",
    "c.txt": f"The Nelby school has 340 pupils. {SHARED} Ida Holm has led it since 2012.",
    "d.txt": "The Sandhaven pier is 220 metres long. Dogs may not be taken on to it.",
}


@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_a_spool_gives_back_what_was_put_in_from_disk_too(monkeypatch, memory):
    monkeypatch.setattr(parts, "MEMORY_BYTES", memory)
    spool = Spool([{"a": 1}])
    spool.extend([("b", "ü"), None])
    assert spool[1] == ("b", "ü") and spool[-1] is None
    spool.append("last")  # after reading elsewhere in the file
    assert list(spool) == [{"a": 1}, ("b", "ü"), None, "last"] == spool[:] and len(spool) == 4
    assert spool == [{"a": 1}, ("b", "ü"), None, "last"] and spool != ["last"] and spool[1:3] == [("b", "ü"), None]
    with pytest.raises(IndexError):
        spool[4]


def test_a_text_is_known_by_its_digest_however_many_there_are():
    known = Digests()
    assert all(known.add(f"text {number}") for number in range(5000)) and len(known) == 5000
    assert not any(known.add(f"text {number}") for number in range(5000)) and len(known) == 5000
    assert "text 4999" in known and not any(f"text {number}" in known for number in range(5000, 10000))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([3, 3, 3], [[3, 3], [3]]),
        ([9, 1], [[9], [1]]),
        ([1, 9, 1, 5], [[1], [9], [1, 5]]),
        ([6], [[6]]),
        ([], []),
    ],
)
def test_a_part_has_whole_documents_as_many_as_there_is_room_for(sizes, expected):
    assert list(in_parts(sizes, lambda size: size, 6)) == expected


@pytest.mark.parametrize(
    "rows", [[], [{"a": 1}], [{"a": 'line\n"two"', "b": [1, {"c": []}]}, {"ü": "图书馆", "d": {}}]]
)
def test_rows_written_one_by_one_are_the_file_that_all_at_once_are(tmp_path, rows):
    write_json(tmp_path / "a.json", rows)
    assert "".join(json_list(iter(rows))) == (tmp_path / "a.json").read_text(encoding="utf-8")


def collect_texts(folder, texts: dict[str, str], engine=None, **options) -> tuple[list[dict], list[dict], dict]:
    """(rows, test rows, the meta file) of a collection of these texts."""
    (folder / "texts").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / "texts" / name).write_text(text)
    arguments = CollectionArguments(
        data_path=str(folder / "texts"),
        json_save_dir=str(folder / "data.json"),
        tokenizer="tiktoken:gpt-4o",
        role_amount_per_fact=1,
        **options,
    )
    documents = check_arguments(arguments)
    collect(engine or ReadingEngine(), arguments.tokenizer, documents, arguments, endless(folder))
    test = folder / "data.test.json"
    read = [json.loads(path.read_text()) if path.exists() else [] for path in (folder / "data.json", test)]
    return *read, json.loads((folder / "log" / "data.meta.json").read_text())


def told(rows: list[dict]) -> Counter:
    """What the rows say, whichever of its requests a passage stands under."""
    return Counter(
        (row["fact"], row["role"], *(turn["value"] for turn in row["conversations"][row["kind"] == "passage" :]))
        for row in rows
        if row["kind"] != "unknown" and row.get("form") != "two"  # which depend on all that is collected together
    )


def test_documents_in_parts_give_what_they_give_together(tmp_path, monkeypatch):
    together, _, _ = collect_texts(tmp_path / "one", TEXTS)
    monkeypatch.setattr(collection, "PART_CHARACTERS", 1)
    in_four, _, meta = collect_texts(tmp_path / "four", TEXTS)
    assert told(in_four) == told(together) and told(in_four).total() > 30
    assert len({row["id"] for row in in_four}) == len(in_four) == sum(meta["counts"]["rows"].values())
    facts_of = {row["fact_id"]: row["fact"] for row in in_four if row["kind"] != "passage"}
    assert all(facts_of[row["fact_id"]] == row["fact"] for row in in_four if row["kind"] != "passage")
    assert (meta["counts"]["documents"], meta["counts"]["chunks"], meta["counts"]["facts"]) == (4, 4, 9)
    for name in ("data.chunks.jsonl", "log/data.yield.json"):
        files = [(tmp_path / run / name).read_text() for run in ("one", "four")]
        assert all(document in files[1] for document in TEXTS) and files[1].count("\n") == files[0].count("\n")
    dropped = [json.loads(line) for line in (tmp_path / "four/log/data.dropped.jsonl").read_text().splitlines()]
    assert [(one["file_name"], one["reason"]) for one in dropped if one["text"] == SHARED] == [("c.txt", "near copy")]
    assert sum(meta["dropped"].values()) == len(dropped)


def test_a_run_in_parts_that_is_repeated_asks_nothing_again_and_writes_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "PART_CHARACTERS", 1)
    first = collect_texts(tmp_path, TEXTS, test_ratio=0.3)
    again = collect_texts(tmp_path, TEXTS, test_ratio=0.3)
    assert first[:2] == again[:2] and again[1] and again[2]["calls"]["asked"] == 0


def test_the_questions_of_one_part_are_not_tested_where_another_trains_them():
    def row(question: str, answer: str, kind: str = "qa") -> dict:
        turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
        return {"conversations": turns, "kind": kind}

    before = RowsBefore()
    before.add([row("Who?", "Ann"), row("Tell me about it.", "It is.", "passage")], [row("When?", "1990")])
    rows = [row("When?", "1991"), row("Where?", "Corrin"), row("Tell me about it.", "It was.", "passage")]
    test = [row("Who?", "Ben"), row("Why?", "So"), row("Tell me about it.", "It was.")]
    assert before.keep_apart(rows, test) == (rows[1:], test[1:])


class AwaitedEngine(ReadingEngine):
    """The answers about one of the documents come later, in a batch."""

    def chat(self, conversations, **options):
        self.asked = [*getattr(self, "asked", []), *(messages[-1]["content"] for messages in conversations)]
        if any("Hexley" in messages[-1]["content"] for messages in conversations):
            raise WaveWaiting
        return super().chat(conversations, **options)


def test_a_part_that_waits_for_its_answers_does_not_keep_the_next_from_asking(tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "PART_CHARACTERS", 1)
    engine = AwaitedEngine()
    engine.waves = lambda conversations, max_new_tokens: None
    with pytest.raises(WaveWaiting, match="read"):
        collect_texts(tmp_path, TEXTS, engine)
    assert any("Write questions about each" in prompt and "Sandhaven" in prompt for prompt in engine.asked)
    assert not (tmp_path / "data.json").exists()


def test_of_forgotten_texts_only_exact_copies_are_found():
    copies, words = NearCopies(), " ".join(f"word{number}" for number in range(40))
    assert copies.is_new(words) and copies.is_new("Who runs it?", {"Ann"}) and not copies.is_new(f"{words} more")
    copies.forget()
    assert not copies.is_new(words.upper()) and not copies.is_new("Who runs it?", {"Ann"})
    assert copies.is_new(f"{words} more") and copies.is_new("Who runs it?", {"Ben"})
    assert not copies.is_new(f"{words} now"), "but of those that came after, near copies too"


def test_no_similar_text_is_missed():
    draw = random.Random(0)
    texts = [" ".join(draw.choices("abcdefgh", weights=range(1, 9), k=draw.randint(1, 9))) for _ in range(300)]
    found, trigrams = SimilarTexts(texts, 0.5), [word_trigrams(text) for text in texts]
    pairs = 0
    for text, own in zip(texts, trigrams, strict=True):
        expected = [number for number, other in enumerate(trigrams) if is_near_copy(own, other, 0.5)]
        assert found.copies_of(text) == expected
        pairs += len(expected)
    assert pairs > 400, "each is similar to itself, and many to others"


def test_texts_that_share_only_what_most_have_are_not_compared(monkeypatch):
    texts = [
        f"On what day was the bridge {n} of the town {n} opened by the mayor {n} of that town?" for n in range(200)
    ]
    similar, compared = SimilarTexts(texts, 0.5), []
    monkeypatch.setattr(curation, "is_near_copy", lambda *given: compared.append(given) or True)
    assert similar.copies_of(texts[7]) == [7] and len(compared) == 1


def test_a_common_phrase_is_not_enough_to_be_compared(monkeypatch):
    """Of 24 trigrams each two have 12 in common, as many as may be missing: what all share is counted at once."""
    phrase = "because the road along the river had been flooded twice in the winter before"
    texts = [" ".join([*(f"word{n}x{place}" for place in range(12)), phrase]) for n in range(50)]
    similar, compared = SimilarTexts(texts, 0.5), []
    monkeypatch.setattr(curation, "is_near_copy", lambda *given: compared.append(given) or True)
    assert similar.copies_of(texts[7]) == [7] and compared == []


def test_texts_with_a_common_phrase_are_counted_as_they_are_compared():
    """Fifteen trigrams shared, of up to thirty-one that both have: either side of a half."""
    phrase = " ".join(f"word{n}" for n in range(17))
    texts = [" ".join([phrase, *(f"own{number}x{n}" for n in range(number % 9))]) for number in range(60)]
    found, trigrams = SimilarTexts(texts, 0.5), [word_trigrams(text) for text in texts]
    similar = [[n for n, other in enumerate(trigrams) if is_near_copy(own, other, 0.5)] for own in trigrams]
    assert [found.copies_of(text) for text in texts] == similar
    assert {len(one) for one in similar} == {29, 36, 43, 48, 54, 60}, "some are similar to all, some are not"


CACHES_OF_TEXT = (
    hyphens.is_word,
    unknown.stem,
    curation.is_german_word,
    curation.without_ending,
    curation.find_words,
    numbered.known_numbers,
    text_faults.content,
    text_faults.tokens_of,
    verbs.past_of,
    verbs.present_of,
    verbs.may_be_participle,
    verbs.lemmas_of,
)


@pytest.mark.parametrize("cached", [*CACHES_OF_TEXT, segmentation.find_sentences, instructions.instructions_of])
def test_what_is_remembered_of_texts_has_an_end(cached):
    assert cached.cache_info().maxsize is not None
