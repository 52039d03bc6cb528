"""The engine of batches: which forms an answer may have, and which requests are asked again, and how."""

from __future__ import annotations

import json

import pytest
from batch_routes import FILTERED, output_line, requests_of, write_answers

from benchmarks.fault_server import Answer, completion, error
from engines.batch import BatchEngine
from engines.batch_files import cut_into_files
from engines.chat import WaveWaiting
from utils import InputError

QUESTION = [[{"role": "user", "content": "Which words?"}]]
WORDS = {"type": "array", "items": {"type": "string"}}


def ask_one(folder) -> str:
    """Write the request for QUESTION as the next wave; returns its custom_id."""
    engine = BatchEngine("m", folder / "data.batch")
    with pytest.raises(WaveWaiting):
        engine.chat([*QUESTION, *QUESTION], schemas=WORDS)
    (key,) = engine.waiting
    engine.write_wave()
    return key


@pytest.mark.parametrize(
    "form",
    [
        lambda key, reply: {"custom_id": key, "text": json.dumps(reply)},
        lambda key, reply: {"custom_id": key, "text": reply},
        lambda key, reply: {"custom_id": key, "text": f"Here it is:\n```json\n{json.dumps({'reply': reply})}\n```"},
        lambda key, reply: {"custom_id": key, **completion(f"<think>\nHm.\n</think>\n\n{json.dumps(reply)}")},
        lambda key, reply: {"custom_id": key, "response": completion(json.dumps({"reply": reply}))},
        lambda key, reply: {"custom_id": key, "body": completion(json.dumps(reply))},
        lambda key, reply: {"custom_id": key, "response": json.dumps(reply)},
        lambda key, reply: {"custom_id": key, "response": reply},
        lambda key, reply: {
            "custom_id": key,
            "response": {"status_code": "200", "body": completion(json.dumps(reply))},
        },
    ],
)
def test_an_answer_may_have_any_of_these_forms(tmp_path, form):
    write_answers(tmp_path, 1, [form(ask_one(tmp_path), ["a known word"])])
    (reply,) = BatchEngine("m", tmp_path / "data.batch").chat(QUESTION, schemas=WORDS)
    assert (reply.text, reply.error) == ('["a known word"]', None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "in line 1 of"),
        ('{"custom_id": 7, "text": "a"}', "in line 1 of"),
        ('{"custom_id": "KEY", "tex": "a"}', "found the keys custom_id, tex"),
        ('{"custom_id": "KEY", "response": 7}', "found the keys custom_id, response"),
        ('{"custom_id": "KEY", "response": {"status_code": "bad", "body": {}}}', "status_code.*found 'bad'"),
    ],
)
def test_a_line_that_is_no_answer_is_named(tmp_path, line, said):
    key = ask_one(tmp_path)
    (tmp_path / "data.batch" / "wave_1.answers.jsonl").write_text(line.replace("KEY", key))
    with pytest.raises(InputError, match=said):
        BatchEngine("m", tmp_path / "data.batch")


def test_answers_may_be_in_utf_16_and_what_is_neither_that_nor_utf_8_is_named(tmp_path):
    line = json.dumps({"custom_id": ask_one(tmp_path), "text": ["café\u2028x"]}, ensure_ascii=False)
    path = tmp_path / "data.batch" / "wave_1.answers.jsonl"
    path.write_text(line, encoding="utf-16")
    (reply,) = BatchEngine("m", tmp_path / "data.batch").chat(QUESTION, schemas=WORDS)
    assert json.loads(reply.text) == ["café\u2028x"]
    path.write_bytes(b"\n" + line.replace("\u2028", " ").encode("latin-1"))
    with pytest.raises(InputError, match=r"wave_1.answers.jsonl in UTF-8, found byte 0xe9 in line 2: save it"):
        BatchEngine("m", tmp_path / "data.batch")


def test_a_folder_of_answers_and_a_request_without_a_body_are_named(tmp_path):
    ask_one(tmp_path)
    path = tmp_path / "data.batch" / "wave_1.answers.jsonl"
    path.mkdir()
    with pytest.raises(InputError, match="found a folder"):
        BatchEngine("m", tmp_path / "data.batch")
    path.rmdir()
    (tmp_path / "data.batch" / "wave_1.requests.jsonl").write_text('{"custom_id": "a"}')
    path.touch()
    with pytest.raises(InputError, match=r'as "body" in each line of .*found none for custom_id a'):
        BatchEngine("m", tmp_path / "data.batch")


def test_a_status_written_as_a_text_is_one(tmp_path):
    response = {"status_code": "400", "body": FILTERED.body}
    write_answers(tmp_path, 1, [{"custom_id": ask_one(tmp_path), "response": response}])
    (reply,) = BatchEngine("m", tmp_path / "data.batch").chat(QUESTION, schemas=WORDS)
    assert reply.error.startswith("status 400, content_filter")


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (2, 0, 1)])
def test_of_several_answers_to_a_request_the_last_reply_is_used_and_no_error_after_it(tmp_path, caplog, order):
    key = ask_one(tmp_path)
    lines = [{"custom_id": key, "text": ["new"]}, output_line({"custom_id": key}, FILTERED)]
    lines.append({"custom_id": key, "text": ["old"]})
    write_answers(tmp_path, 1, [lines[number] for number in order])
    (reply,) = BatchEngine("m", tmp_path / "data.batch").chat(QUESTION, schemas=WORDS)
    assert reply.text == '["new"]' and f"found more for 1, such as {key}" in caplog.text


UNCLEAR = Answer({"error": {"message": "bad request"}}, 400)


@pytest.mark.parametrize(
    ("answer", "others_replied", "failed"),
    [(FILTERED, False, True), (UNCLEAR, True, True), (UNCLEAR, False, False), (Answer({}, 404), True, False)],
)
def test_a_refusal_is_a_failed_reply_if_it_concerns_the_one_request(tmp_path, answer, others_replied, failed):
    engine = BatchEngine("m", tmp_path / "data.batch")
    conversations = [[{"role": "user", "content": text}] for text in "ab"]
    with pytest.raises(WaveWaiting):
        engine.chat(conversations)
    engine.write_wave()
    (first, second), good = engine.waiting, Answer(completion("A reply."))
    other = good if others_replied else answer
    write_answers(
        tmp_path, 1, [output_line({"custom_id": key}, one) for key, one in ((first, answer), (second, other))]
    )
    engine = BatchEngine("m", tmp_path / "data.batch")
    if failed:
        reply = engine.chat(conversations[:1])[0]
        assert reply.error.startswith("status 400") and list(engine.failed) == [first]
    else:
        with pytest.raises(WaveWaiting):
            engine.chat(conversations[:1])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_failed_is_asked_again_and_waited_for(tmp_path, status):
    key = ask_one(tmp_path)
    write_answers(tmp_path, 1, [output_line({"custom_id": key}, Answer({"error": {"message": "busy"}}, status))])
    assert ask_one(tmp_path) == key and len(requests_of(tmp_path)) == 2


def test_a_reply_of_no_use_is_asked_for_again_so_that_it_can_be_another(tmp_path):
    key = ask_one(tmp_path)
    for wave in (1, 2):
        write_answers(tmp_path, wave, [{"custom_id": key, "text": "The words are these."}])
        engine = BatchEngine("m", tmp_path / "data.batch")
        (reply,) = engine.chat(QUESTION, schemas=WORDS)
        assert reply.error.startswith("the server sent no JSON that follows the schema")
        engine.write_wave()
    sent = [one["body"] for one in requests_of(tmp_path)]
    assert [(one["temperature"], one["seed"]) for one in sent] == [(0.0, 0), (0.7, 1), (0.7, 2)]
    assert {one["custom_id"] for one in requests_of(tmp_path)} == {key}
    write_answers(tmp_path, 3, [{"custom_id": key, "text": ["known"]}])
    assert BatchEngine("m", tmp_path / "data.batch").chat(QUESTION, schemas=WORDS)[0].text == '["known"]'


def test_a_refused_parameter_is_left_out_of_the_next_wave(tmp_path):
    key = ask_one(tmp_path)
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    error = {"message": words, "param": "max_tokens", "code": "unsupported_parameter"}
    write_answers(tmp_path, 1, [output_line({"custom_id": key}, Answer({"error": error}, 400))])
    ask_one(tmp_path)
    assert requests_of(tmp_path, "1")[0]["body"]["max_tokens"] == 272
    assert requests_of(tmp_path, "2")[0]["body"]["max_completion_tokens"] == 272
    assert "max_tokens" not in requests_of(tmp_path, "2")[0]["body"]


OUT_OF_TOKENS = error(400, "Could not finish the message because max_tokens or model output limit was reached.")


@pytest.mark.parametrize(
    "cut", [Answer(completion("<think>\nLet me see", "length")), Answer(completion("", "length")), OUT_OF_TOKENS]
)
def test_a_reply_cut_off_while_thinking_gets_more_room(tmp_path, cut):
    key = ask_one(tmp_path)
    write_answers(tmp_path, 1, [output_line({"custom_id": key}, cut)])
    ask_one(tmp_path)
    assert [one["body"]["max_tokens"] for one in requests_of(tmp_path)] == [272, 272 + 8192]
    write_answers(tmp_path, 2, [output_line({"custom_id": key}, Answer(completion("<think>\nLet me see", "length")))])
    (reply,) = BatchEngine("m", tmp_path / "data.batch").chat(QUESTION, schemas=WORDS)
    assert reply.error.startswith("cut off while thinking: 8448 tokens were too few")


def test_a_large_wave_is_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr("engines.batch_files.MAX_REQUESTS", 2)
    engine = BatchEngine("m", tmp_path / "data.batch")
    with pytest.raises(WaveWaiting):
        engine.chat([[{"role": "user", "content": text}] for text in "abc"])
    engine.write_wave()
    assert [path.name for path in engine.open_files()] == ["wave_1.requests.jsonl", "wave_1.2.requests.jsonl"]
    assert [len(requests_of(tmp_path, name)) for name in ("1", "1.2")] == [2, 1]
    monkeypatch.setattr("engines.batch_files.MAX_BYTES", 10)
    assert list(cut_into_files(["1234\n", "1234\n", "1\n"])) == [["1234\n", "1234\n"], ["1\n"]]
    assert list(cut_into_files(["a longer one\n", "1234\n", "é234\n"])) == [["a longer one\n"], ["1234\n"], ["é234\n"]]
