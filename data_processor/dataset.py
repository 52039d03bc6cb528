"""Read the examples that collection writes, fine-tuning trains on and inference asks.

One example: {"id", "conversations": [{"from": "user", "value": q}, {"from": "assistant", "value": a}], "fact",
"file_name"} and any other keys, of which "points" are checked. OpenAI's format, {"messages": [{"role", "content"}]}, ShareGPT's ("human" and "gpt") and
Alpaca's {"instruction", "input", "output", "history"} are accepted too, as a JSON list or JSON lines, with the system prompt
as a turn or as the key "system". A row without an id gets one: "row_7", counted from 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from data_processor.points import require_points
from engines.thoughts import without_thoughts
from utils import InputError, read_json

ROLES = {
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant",
    "system": "system", "developer": "system",
}  # fmt: skip
TURN_KEYS = ("from", "value"), ("role", "content")
CALLS = ("tool_calls", "function_call")  # of OpenAI's assistant turns, beside or instead of their content
NAMED_ROWS = 3  # of each flaw


def read_dataset(
    path: str | Path, what: str = "a dataset", limit: int | None = None, bare_questions: bool = False
) -> list[dict]:
    """The examples in a file, each checked and with an id; InputError names the first row that is not one.

    With `bare_questions`, a row may also be just a question: a string, {"question"} with "reference" if known, or turns
    without an answer.
    """
    rows = read_json(path, what, or_lines=True)
    if bare_questions and isinstance(rows, list):
        rows = [to_example(row) for row in rows]
    if not isinstance(rows, list) or not rows:
        found = "an empty list" if rows == [] else f"a {type(rows).__name__}"
        raise InputError(f"expected {what} as a list of examples in {path}, found {found}: see docs/files.md")
    seen: set[str] = set()
    for number, row in enumerate(rows):
        row_id = check_row(row, number, path)
        if row_id in seen:
            raise InputError(f"expected unique ids in {path}, found {row_id!r} again in row {number}: rename one")
        seen.add(row_id)
        if bare_questions and not has_words(question_and_reference(row)[0]):
            raise InputError(f"expected a question in row {number} of {path}, found none: write it or remove the row")
    return [with_id(row, number) for number, row in enumerate(rows[:limit])]


def to_example(row: object) -> object:
    """A bare question as an example, with an empty reference if none is given; any other row unchanged."""
    fields = {"question": row} if isinstance(row, str) else row if isinstance(row, dict) else {}
    reference = fields.get("reference") or ""
    for key, (role, text) in zip(("conversations", "messages"), TURN_KEYS, strict=True):
        turns = fields.get(key)
        if isinstance(turns, list) and all(isinstance(turn, dict) and role in turn for turn in turns):
            answered = any(ROLES.get(str(turn[role]).lower()) == "assistant" for turn in turns)
            return fields if answered or not turns else {**fields, key: [*turns, {role: "assistant", text: reference}]}
    if not isinstance(fields.get("question"), str) or "conversations" in fields or "messages" in fields:
        return row
    turns = [{"from": "user", "value": fields["question"]}, {"from": "assistant", "value": reference}]
    return {"conversations": turns, **fields}


def check_row(row: object, number: int, path: str | Path) -> str:
    """The id of an example; InputError names the row if it is not one."""
    where = f"row {number} of {path}"
    roles = [message["role"] for message in to_messages(row, where)]
    require_points(row, where)
    first = next((role for role in roles if role != "system"), None)
    if first != "user" or "assistant" not in roles:
        raise InputError(
            f"expected a user's turn and then an assistant's in {where}, found {', '.join(roles)}: add the missing turn"
        )
    return str(with_id(row, number)["id"])


def with_id(row: dict, number: int) -> dict:
    """The row, with an id made from its number in the file if it has none."""
    return row if row.get("id") not in (None, "") else {**row, "id": f"row_{number}"}


def source_of(row: Mapping) -> dict:
    """Where in the documents a row's fact stands; nothing for a row from elsewhere, whose "source" may be a word."""
    source = row.get("source")
    return source if isinstance(source, dict) else {}


def to_messages(row: dict, where: str = "a row") -> list[dict[str, str]]:
    """The turns of one example as [{"role", "content"}], from any of the formats."""
    if isinstance(row, dict) and "instruction" in row and "output" in row:
        row = {"messages": alpaca_turns(row, where), "system": row.get("system")}
    if not isinstance(row, dict) or not ("conversations" in row or "messages" in row):
        found = ", ".join(row) if isinstance(row, dict) else type(row).__name__
        raise InputError(
            f'expected the key "conversations" (or "messages") in {where}, found {found or "no keys"}: add it'
        )
    turns = row.get("conversations") or row.get("messages")
    if not isinstance(turns, list) or not turns:
        raise InputError(f"expected a list of turns in {where}, found {turns!r}: add the turns")
    usual = TURN_KEYS[0] if "conversations" in row else TURN_KEYS[1]
    messages = [to_message(turn, usual, where) for turn in turns]
    system = row.get("system")
    if isinstance(system, str) and system and all(message["role"] != "system" for message in messages):
        return [{"role": "system", "content": system}, *messages]
    return messages


def alpaca_turns(row: dict, where: str) -> list[dict]:
    """The turns of an Alpaca row; LLaMA-Factory's "history" has the questions and answers before, as pairs."""
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise InputError(
            f'expected pairs of a question and its answer as "history" in {where}, found {history!r}: mend it'
        )
    request = "\n\n".join(str(row[key]) for key in ("instruction", "input") if row.get(key))
    pairs = [*history, [request, row["output"]]]
    return [
        {"role": role, "content": text}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def to_message(turn: object, usual_keys: tuple[str, str], where: str) -> dict[str, str]:
    """One turn as {"role", "content"}; a content of several parts, all of them text, is joined."""
    keys = next((keys for keys in TURN_KEYS if isinstance(turn, dict) and keys[0] in turn), usual_keys)
    role, content = (turn.get(key) if isinstance(turn, dict) else None for key in keys)
    if isinstance(turn, dict) and any(turn.get(key) for key in CALLS):
        raise InputError(
            f"expected turns of words in {where}, found a call of a tool, which is not trained: leave the row out"
        )
    if isinstance(content, list) and content and all(isinstance(part, dict) for part in content):
        parts = [part.get("text") for part in content]
        content = "".join(parts) if all(isinstance(part, str) for part in parts) else None
    if not isinstance(role, str) or not isinstance(content, str):
        raise InputError(f'expected turns with "{keys[0]}" and "{keys[1]}" in {where}, found {turn!r}: mend the turn')
    if role.lower() not in ROLES:
        raise InputError(
            f"expected one of {', '.join(ROLES)} as {keys[0]!r} in {where}, found {role!r}: rename it, or leave the row out"
        )
    return {"role": ROLES[role.lower()], "content": content}


def to_format(row: dict, format_name: str) -> dict:
    """An example converted to conversations (ours), sharegpt, openai or alpaca; all keys but the turns stay."""
    messages = to_messages(row)
    rest = {key: value for key, value in row.items() if key not in ("conversations", "messages")}
    if format_name == "openai":
        turns: dict = {"messages": messages}
    elif format_name == "alpaca":
        question, answer = question_and_reference(row)
        turns = {"instruction": question, "input": "", "output": answer}
    else:
        names = {"user": "human", "assistant": "gpt"} if format_name == "sharegpt" else {}
        turns = {"conversations": [{"from": names.get(m["role"], m["role"]), "value": m["content"]} for m in messages]}
    return {"id": rest.pop("id"), **turns, **rest}


def question_and_reference(row: dict) -> tuple[str, str]:
    """The last answered question in an example, and its reference answer."""
    messages = to_messages(row)
    last = max(place for place, message in enumerate(messages) if message["role"] == "assistant")
    question = [message["content"] for message in messages[:last] if message["role"] == "user"][-1]
    return question, messages[last]["content"]


def has_words(text: str) -> bool:
    """Whether a text says something: more than white space, marks such as "..." or a dash, and a model's thoughts."""
    return any(unicodedata.category(char)[0] in "LNS" for char in without_thoughts(text)[0])


def find_flaws(rows: Iterable[dict]) -> dict[str, list[str]]:
    """What cannot be trained, with the ids of such rows: {"the answer is empty": ["row_7", ...]}."""
    flaws: dict[str, list[str]] = {}
    for row in rows:
        for message in to_messages(row):
            if message["role"] != "system" and not has_words(message["content"]):
                what = "question" if message["role"] == "user" else "answer"
                how = "is only marks" if without_thoughts(message["content"])[0].strip() else "is empty"
                flaws.setdefault(f"the {what} {how}", []).append(str(row.get("id")))
    return flaws


def require_words(rows: Iterable[dict], path: str | Path) -> None:
    """InputError if a question or an answer says nothing: trained, it would teach to end at once."""
    flaws = find_flaws(rows)
    if flaws:
        found = "; ".join(f"{what} in {len(ids)}, such as {', '.join(ids[:NAMED_ROWS])}" for what, ids in flaws.items())
        raise InputError(
            f"expected words in every question and answer of {path}, found rows without: {found}: mend or remove them"
        )
