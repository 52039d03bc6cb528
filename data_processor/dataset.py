"""Read the examples that collection writes, fine-tuning trains on and inference asks.

One example: {"id", "conversations": [{"from": "user", "value": q}, {"from": "assistant", "value": a}], "fact",
"file_name"} and any other keys. OpenAI's format, {"messages": [{"role", "content"}]}, is accepted too.
"""

from __future__ import annotations

from pathlib import Path

from utils import InputError, read_json

ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "system": "system"}


def read_dataset(
    path: str | Path, what: str = "a dataset", limit: int | None = None, bare_questions: bool = False
) -> list[dict]:
    """The examples in a file, each checked; InputError names the first row that is not one.

    With `bare_questions`, a row may also be just a question: a string, or {"question"} with "reference" if known.
    """
    rows = read_json(path, what)
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
    return rows[:limit]


def to_example(row: object) -> object:
    """A bare question as an example, with an empty reference if none is given; any other row unchanged."""
    fields = {"question": row} if isinstance(row, str) else row if isinstance(row, dict) else {}
    question, reference = fields.get("question"), fields.get("reference", "")
    if not isinstance(question, str) or not question.strip() or "conversations" in fields or "messages" in fields:
        return row
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": reference}]
    return {"conversations": turns, **fields}


def check_row(row: object, number: int, path: str | Path) -> str:
    """The id of an example; InputError names the row if it is not one."""
    where = f"row {number} of {path}"
    messages = to_messages(row, where)
    if not any(message["role"] == "assistant" for message in messages) or messages[0]["role"] == "assistant":
        raise InputError(
            f"expected a user's turn and an assistant's in {where}, found neither order: add the missing turn"
        )
    return str(row.get("id", number))


def to_messages(row: dict, where: str = "a row") -> list[dict[str, str]]:
    """The turns of one example as [{"role", "content"}], from either format."""
    if not isinstance(row, dict) or not ("conversations" in row or "messages" in row):
        found = ", ".join(row) if isinstance(row, dict) else type(row).__name__
        raise InputError(
            f'expected the key "conversations" (or "messages") in {where}, found {found or "no keys"}: add it'
        )
    keys = ("from", "value") if "conversations" in row else ("role", "content")
    turns = row.get("conversations") or row.get("messages")
    if not isinstance(turns, list) or not turns:
        raise InputError(f"expected a list of turns in {where}, found {turns!r}: add the turns")
    messages = []
    for turn in turns:
        if not isinstance(turn, dict) or not all(isinstance(turn.get(key), str) for key in keys):
            raise InputError(
                f'expected turns with "{keys[0]}" and "{keys[1]}" in {where}, found {turn!r}: mend the turn'
            )
        if turn[keys[0]] not in ROLES:
            raise InputError(
                f"expected one of {', '.join(ROLES)} as {keys[0]!r} in {where}, found {turn[keys[0]]!r}: rename it"
            )
        messages.append({"role": ROLES[turn[keys[0]]], "content": turn[keys[1]]})
    return messages


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
    """The last question in an example, and its reference answer."""
    messages = to_messages(row)
    question = [message["content"] for message in messages if message["role"] == "user"][-1]
    reference = [message["content"] for message in messages if message["role"] == "assistant"][-1]
    return question, reference
