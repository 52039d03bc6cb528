"""What is kept of the facts that a model states of a chunk, with their quotes, and what becomes of the other sentences."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from generators import SilentBar, scripted_reading, work

from benchmarks.fault_server import completion
from data_processor import method
from data_processor.chunking import Chunk, chunk_document, make_splitter
from data_processor.documents import Document
from data_processor.facts import NOT_COVERED, NOTHING, Fact, Reading, keep_new, read_units, reading_schema
from data_processor.pairs import Pair
from data_processor.pipeline import make_source, sentences_to_read, split_into_units
from data_processor.work import Work
from engines.api_replies import parse_reply, to_answer
from engines.chat import Reply
from engines.journal import JournaledEngine

POLICY = (
    "Employees tell their manager before they take a day off. Passwords are never shared, not even with administrators."
)


def chunks_of(text: str, tokens: int = 100_000) -> tuple[Document, list[Chunk]]:
    document = Document("a.txt", text)
    return document, chunk_document(document, make_splitter("tiktoken:gpt-4o", tokens))


def read(job: Work, chunks: list[Chunk], roles: int = 3) -> Reading:
    return read_units(job, split_into_units(job, chunks), {}, roles, lambda step: None)


def from_server(text: str, schema: dict) -> Reply:
    """What is made of a text that an API sent."""
    return parse_reply(to_answer(json.dumps(completion(text))), schema)


def in_file(document: Document, fact: Fact) -> list[str]:
    """The stretches of the file that a fact's quotes lead to."""
    source = make_source({document.file_name: document}, Pair("", "", fact, ""))
    return [document.text[place["start"] : place["end"]] for place in (source, *source.get("more", ()))]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (POLICY, ["Employees must tell their manager before a day off.", "Nobody shares passwords."]),
        (
            "员工请假前须告知主管。密码不得与任何人共享，管理员也不例外。",
            ["员工请假前必须告知主管。", "密码不得与任何人共享。"],
        ),
        (
            "Wer einen Tag frei nimmt, sagt es vorher der Leitung. Kennwörter gibt niemand weiter.",
            ["Vor einem freien Tag ist die Leitung zu fragen.", "Niemand gibt Kennwörter weiter."],
        ),
    ],
)
def test_a_fact_without_a_name_a_date_or_a_number_is_kept(text, facts):
    _, chunks = chunks_of(text)
    job = work(scripted_reading((facts[0], [1]), (facts[1], [2])))
    found = read(job, chunks).facts
    assert [fact.text for fact in found] == facts
    assert "".join(fact.quote for fact in found) == text.replace(". ", ".") and not job.dropped


def test_a_fact_with_a_number_of_its_own_is_dropped_and_its_sentence_asked_again_then_stands_for_itself():
    _, chunks = chunks_of("The pier is old. Ann Pellow built 12 boats. It was warm.")
    job = work(
        scripted_reading(("The pier is old.", [1]), ("Ann Pellow built 13 boats.", [2]), ("It was warm.", [3])),
        '[{"sentence": 1, "nothing": "", "facts": ["Ann Pellow built 14 boats."]}]',
    )
    found = read(job, chunks).facts
    assert [fact.text for fact in found] == ["The pier is old.", "Ann Pellow built 12 boats.", "It was warm."]
    assert found[1].quote == "Ann Pellow built 12 boats."
    reason = "a number that its chunk does not have"
    assert job.drops == Counter({f"read: {reason}": 1, f"rest: {reason}": 1})
    first, again = (asked[-1]["content"] for asked in job.engine.asked)
    assert "[2] Ann Pellow built 12 boats." in first
    assert "The pier is old. [1] Ann Pellow built 12 boats. It was warm." in again, (
        "only what lacks a fact has a number"
    )


def test_what_is_stated_of_a_sentence_when_it_is_asked_again_is_kept():
    _, chunks = chunks_of("The pier is old. It is of oak.")
    job = work(
        scripted_reading(("The pier is old.", [1])),
        '[{"sentence": 1, "nothing": "", "facts": ["The pier is of oak.", "Oak is what the pier was made of."]}]',
    )
    assert [(fact.text, fact.quote) for fact in read(job, chunks).facts] == [
        ("The pier is old.", "The pier is old."),
        ("The pier is of oak.", "It is of oak."),
        ("Oak is what the pier was made of.", "It is of oak."),
    ]


def test_quotes_lead_to_their_places_in_a_file_with_wrapped_lines_and_a_heading_between():
    text = (
        "The pier of Sandhaven\n\nThe pier was closed\nin the spring. It is of oak.\n\n"
        "Repairs\n\nThey cost the town\nmore than the mill had.\n"
    )
    document, chunks = chunks_of(text)
    job = work(scripted_reading(("It closed.", [1, 2]), ("It cost.", [2, 3])))
    closed, cost = read(job, chunks).facts
    assert closed.quote == "The pier was closed in the spring. It is of oak."
    assert in_file(document, closed) == ["The pier was closed\nin the spring. It is of oak."]
    assert in_file(document, cost) == ["It is of oak.", "They cost the town\nmore than the mill had."]
    assert "Repairs" in job.engine.asked[0][-1]["content"] and "] Repairs" not in job.engine.asked[0][-1]["content"]


def test_a_list_item_is_read_with_its_lead_in_and_stands_for_itself_with_it():
    document, chunks = chunks_of("Duties of Ann:\n- paint the door\n- insure the boat\n")
    job = work(scripted_reading(("Ann paints the door.", [1])), "[]")
    painted, insured = read(job, chunks).facts
    assert (painted.text, painted.quote) == ("Ann paints the door.", "paint the door")
    assert (insured.text, insured.quote) == ("Duties of Ann: insure the boat", "insure the boat")
    assert in_file(document, insured) == ["insure the boat"]


def test_a_sentence_in_the_overlap_of_two_chunks_is_told_once():
    sentences = [f"Boat {letter} is of oak." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    document, chunks = chunks_of(" ".join(sentences), 64)
    assert len(chunks) > 2 and chunks[1].start < chunks[0].end
    job = work()
    units = split_into_units(job, chunks)
    assert [item.quote for unit in units for item in unit] == sentences
    job.engine.answers = [
        *(scripted_reading(*((item.quote, [number]) for number, item in enumerate(unit, 1))) for unit in units)
    ]
    found = read(job, chunks).facts
    assert [fact.text for fact in found] == sentences
    assert [in_file(document, fact) for fact in found] == [[sentence] for sentence in sentences]


@pytest.mark.parametrize("name", NOTHING)
def test_what_states_nothing_is_dropped_under_its_name_and_counted(name):
    _, chunks = chunks_of("Dear reader, welcome. The pier is old.")
    job = work(
        scripted_reading(("The pier is old.", [2])), json.dumps([{"sentence": 1, "nothing": name, "facts": []}] * 2)
    )
    assert [fact.text for fact in read(job, chunks).facts] == ["The pier is old."]
    assert job.drops == Counter({f"rest: states nothing: {name}": 1})
    assert (job.dropped[0]["text"], job.dropped[0]["quote"]) == ("Dear reader, welcome.",) * 2


@pytest.mark.parametrize("facts", [["The pier is very old."], ["The pier is 900 years old."]])
def test_what_has_facts_never_states_nothing(facts):
    _, chunks = chunks_of("The pier is old.")
    job = work(scripted_reading(), json.dumps([{"sentence": 1, "nothing": "heading", "facts": facts}]))
    assert len(read(job, chunks).facts) == 1
    assert not [record for record in job.dropped if "nothing" in record["reason"]]


def test_a_failed_call_leaves_its_sentences_uncovered_and_is_asked_again_the_next_time(tmp_path):
    class FailingOnce:
        """Refuses the first chunk's request the first time."""

        name = "failing"
        asked, broken = 0, True

        def waves(self, conversations, max_new_tokens):
            return [list(range(len(conversations)))]

        def chat(self, conversations, *, on_reply=None, **options):
            replies = []
            for place, messages in enumerate(conversations):
                self.asked += 1
                fails = self.broken and "The pier is old." in messages[-1]["content"]
                said = "The pier is old." if "pier" in messages[-1]["content"] else "The mill is new."
                good = Reply(scripted_reading((said, [1])))
                replies.append(Reply("", finish_reason="error", error="down") if fails else good)
                on_reply(place, replies[-1])
            return replies

    chunks = [
        Chunk(name, 0, 0, len(text), text, "") for name, text in (("a", "The pier is old."), ("b", "The mill is new."))
    ]
    engine, facts, drops, asked = FailingOnce(), [], [], []
    for _ in range(3):
        job = Work(JournaledEngine(engine, tmp_path / "data.journal.jsonl"), 0, SilentBar, method)
        facts.append([fact.text for fact in read(job, chunks).facts])
        drops.append(dict(job.drops))
        asked.append(engine.asked)
        engine.broken = False
    assert facts == [["The mill is new."], *[["The pier is old.", "The mill is new."]] * 2]
    assert drops == [{"read: call failed": 1, f"facts: {NOT_COVERED}": 1}, {}, {}]
    assert asked == [2, 3, 3]


def test_the_sentences_that_a_failed_second_request_asks_for_stand_for_themselves():
    _, chunks = chunks_of("The pier is old. It is of oak.")
    job = work(scripted_reading(("The pier is old.", [1])), Reply("", finish_reason="error", error="down"))
    assert [fact.text for fact in read(job, chunks).facts] == ["The pier is old.", "It is of oak."]
    assert job.drops == Counter({"rest: call failed": 1})


def test_of_a_reply_that_is_cut_off_what_is_whole_is_kept():
    _, chunks = chunks_of("The pier is old. It is of oak.")
    whole = scripted_reading(("The pier is old.", [1]), ("The pier is of oak.", [2]))
    job = work(whole[: whole.index(" is of oak")], "[]")
    reading = read(job, chunks)
    assert [fact.text for fact in reading.facts] == ["The pier is old.", "It is of oak."]
    assert reading.themes[chunks[0]] == "a pier" and job.drops == Counter({"read: reply cut off": 1})


def test_a_reading_from_a_server_that_is_cut_off_keeps_its_whole_facts_and_says_so():
    _, chunks = chunks_of("The pier is old. It is of oak.")
    unit = split_into_units(work(), chunks)[0]
    whole = scripted_reading(("The pier is old.", [1]), ("The pier is of oak.", [2]))
    reply = from_server(whole[: whole.index(" is of oak")], reading_schema(unit, 3))
    job = work(reply, "[]")
    assert [fact.text for fact in read(job, chunks).facts] == ["The pier is old.", "It is of oak."]
    assert job.drops == Counter({"read: reply cut off": 1})


def test_a_slip_in_one_fact_of_a_reading_leaves_the_others():
    _, chunks = chunks_of("The pier is old. It is of oak.")
    unit = split_into_units(work(), chunks)[0]
    told = json.loads(
        scripted_reading(("The pier is old.", [1] * 8), ("The pier is of oak.", [2, 99]), theme="x" * 121)
    )
    told |= {"roles": ["a", "b", "c", "d"], "names": ["pier", "n" * 101]}
    job = work(from_server(json.dumps(told), reading_schema(unit, 3)), "[]")
    reading = read(job, chunks)
    assert [fact.text for fact in reading.facts] == ["The pier is old.", "It is of oak."]
    assert (reading.roles, reading.names) == ({chunks[0]: ["a", "b", "c"]}, {chunks[0]: ["pier"]})
    assert reading.themes == {chunks[0]: "a.txt"} and job.drops == Counter({"read: breaks a rule of the request": 5})
    assert [one["text"] for one in job.dropped if "99 is not" in one["problem"]] == [json.dumps(told["facts"][1])]


def test_a_sentence_number_with_a_fraction_is_read_from_a_server_and_from_an_old_journal():
    _, chunks = chunks_of("The pier is old.")
    unit = split_into_units(work(), chunks)[0]
    told = scripted_reading(("The pier is old.", [1])).replace("[1]", "[1.0]")
    assert "1.0" in told
    for reply in (told, from_server(told, reading_schema(unit, 3))):
        assert [fact.quote for fact in read(work(reply), chunks).facts] == ["The pier is old."]


def test_near_copies_are_told_once_unless_their_numbers_differ():
    text = "Room 1 of the house at the harbour of Sandhaven is painted blue. "
    _, chunks = chunks_of(f"{text}{text.replace('1', '2')}The pier is old.")
    copy = text.strip().replace(".", "!")
    job = work(scripted_reading((text, [1]), (text.replace("1", "2"), [2]), (copy, [3]), ("The pier is old.", [3])))
    assert [fact.text for fact in read(job, chunks).facts] == [
        text.strip(),
        text.strip().replace("1", "2"),
        "The pier is old.",
    ]
    assert job.drops == Counter({"facts: near copy": 1})


MOVED_IN = (
    "Whoever has rented a flat in the house at the old harbour of Sandhaven for at least {} years {} keep a dog, a cat or "
    "a bird in it, as long as nobody of those who live on the same floor has told the board in writing that the noise of it "
    "is a burden"
)
RENTED = "在沙港旧码头的房子里租住满{}年的租户，只要同一楼层没有任何住户以书面形式向管理委员会说明噪音造成困扰，就{}在家中饲养一只猫或者一只狗。"


@pytest.mark.parametrize(
    ("first", "second", "copies"),
    [
        (MOVED_IN.format("three", "may"), MOVED_IN.format("three", "may not"), 0),
        (MOVED_IN.format("three", "may"), MOVED_IN.format("nine", "may"), 0),
        (MOVED_IN.format("3", "may"), MOVED_IN.format("-3", "may"), 0),
        (MOVED_IN.format("three", "may"), MOVED_IN.replace("a dog, a cat", "a cat, a dog").format("three", "may"), 0),
        (MOVED_IN.format("three", "may"), MOVED_IN.replace("the noise", "noise").format("Three", "may") + "!", 1),
        (RENTED.format("三", "可以"), RENTED.format("三", "不可以"), 0),
        (RENTED.format("三", "可以"), RENTED.format("五", "可以"), 0),
        (RENTED.format("三", "可以"), RENTED.format("三", "可以").replace("。", "！"), 1),
    ],
)
def test_a_fact_is_a_copy_of_another_only_with_all_the_words_that_change_its_meaning(first, second, copies):
    _, [chunk] = chunks_of("The pier is old.")
    job = work()
    facts = [Fact(text, chunk, 0, 16, "") for text in (first, second)]
    assert len(keep_new(job, facts, "")) == 2 - copies and job.drops.total() == copies


def test_theme_roles_and_names_are_of_the_chunk():
    _, chunks = chunks_of("Ann Pellow built it.")
    told = json.dumps(
        {"theme": " a  pier ", "names": ["Ann Pellow", "Ida"], "roles": ["a", "b", "a", "c"], "facts": []}
    )
    reading = read(work(told, "[]"), chunks, roles=2)
    assert (reading.themes, reading.roles) == ({chunks[0]: "a pier"}, {chunks[0]: ["a", "b"]})
    assert reading.names == {chunks[0]: ["Ann Pellow"]}
    assert reading.facts[0].theme == "a pier"


def test_the_limit_reads_the_first_sentences_of_a_chunk_alone():
    _, chunks = chunks_of(POLICY)
    assert [item.quote for item in sentences_to_read(chunks, 1)] == [POLICY.split(". ")[0] + "."]
