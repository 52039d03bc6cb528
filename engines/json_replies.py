"""The JSON in a reply, however a model wraps it: all of it that follows the schema, though an item does not or the end is missing.

What is left out is told with its reason, as {"reason", "text", "problem"}: see Reply.left_out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

CUT_OFF = "reply cut off"
NOT_JSON = "a part of the reply is no JSON"
BREAKS_SCHEMA = "breaks a rule of the request"
FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)```", re.DOTALL)
BETWEEN_ITEMS = " \t\r\n,;"
BROKEN_OBJECT = re.compile(r'\{\s*["\'\w][^{}]*$')  # one that is open, and no JSON
NEXT_TEXT = re.compile(r'"\s*(?:,\s*(?=")|(?=\]))')  # after an item that is a text
LIST_END = re.compile(r"\](?=\s*(?:[,}]|$|```))")
MAX_VALUES = 20  # JSON values looked at in one text, and places at which one may be cut off
SHOWN = 100  # characters of a reply in an error record


def parse_json(text: str) -> Any:
    """The value of JSON, with 1.0 as 1: JSON schema takes the two for the same number, and Python no 1.0 as an index."""
    return DECODER.decode(text)


def to_number(digits: str) -> int | float:
    number = float(digits)
    return int(number) if number.is_integer() else number


DECODER = json.JSONDecoder(parse_float=to_number)


def read_json(text: str, schema: dict, left_out: list[dict] | None = None) -> tuple[Any, str | None]:
    """(value, None) for the JSON value in a text that follows `schema`, or (None, what is wrong with it).

    The value may stand in a fence, after or before prose, and with our wrapping, another or none. Of several, one in a
    fence is taken before others, and a later one before an earlier. Of a list, the items that fit are kept, and of a value
    that is cut off, what is whole; the rest is added to `left_out`.
    """
    import jsonschema

    validator, problem = jsonschema.Draft202012Validator(schema), ""
    for found, lost in json_values(text):
        for value in unwrapped(found):
            error, slips = next(iter(validator.iter_errors(value)), None), []
            kept = value if error is None else fitting(value, schema, validator, slips)
            if kept is not None or error is None:
                if left_out is not None:
                    left_out += lost + slips
                return kept, None
            problem = problem or f"{error.message[:SHOWN]}: "
    word = text.strip(" \n\t.\"'`*")
    if "enum" in schema and word in schema["enum"]:
        return word, None
    return None, problem


def json_values(text: str) -> Iterator[tuple[Any, list[dict]]]:
    """The JSON values in a text with what is lost of each: all of it, those in fences, then those in prose, the last first."""
    for part in [text, *reversed(FENCE.findall(text))]:
        try:
            yield parse_json(part), []
        except (ValueError, RecursionError):
            continue
    yield from without_broken_items(text)
    for values, lost in reversed(values_in_prose(text)):
        if len(values) > 1:
            yield values, lost
        yield from ((value, lost if len(values) == 1 else []) for value in reversed(values))


def without_broken_items(text: str) -> Iterator[tuple[Any, list[dict]]]:
    """The first value in a text without the items of its lists that are no JSON, and these; nothing if it has none."""
    opening, lost = re.search(r'[{\[](?=\s*["{\[])', text), []
    text = text[opening.start() :] if opening else ""
    while text and len(lost) <= MAX_VALUES:
        try:
            value, _ = DECODER.raw_decode(text)
        except RecursionError:
            return
        except ValueError as error:
            start = item_at(text, error.pos)
            end = end_of_broken_item(text, start) if start and error.pos < len(text.rstrip()) else None
            if end is None:
                break
            lost.append({"reason": NOT_JSON, "text": text[start:end].strip(BETWEEN_ITEMS) or text[start:end].strip()})
            before = text[:start].rstrip(BETWEEN_ITEMS)
            text = f"{before}{'' if before.endswith('[') or text[end] == ']' else ','}{text[end:]}"
            continue
        if lost:
            yield value, lost
        return
    for part in (text, text[:start]) if lost else ():
        closed, _, is_open = close_json(part)
        if is_open and (value := value_or_none(closed)) is not None:
            yield value, [*lost, {"reason": CUT_OFF, "text": text[len(closed) :].strip(BETWEEN_ITEMS)}]
            return


def item_at(text: str, place: int) -> int | None:
    """Where the item of a list begins in which JSON breaks off at `place`: of a list of objects, if it is in one."""
    opened: list[int] = []  # of each list and object that is open, where its last item began
    in_string = escaped = False
    for here, char in enumerate(text[:place]):
        if in_string:
            escaped, in_string = char == "\\" and not escaped, char != '"' or escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            opened.append(here + 1 if char == "[" else -1)
        elif char in "]}":
            opened.pop()
        elif char == "," and opened and opened[-1] >= 0:
            opened[-1] = here + 1
    starts = [start + len(text[start:]) - len(text[start:].lstrip()) for start in reversed(opened) if start >= 0]
    return next((start for start in starts if text.startswith("{", start)), starts[0] if starts else None)


def end_of_broken_item(text: str, start: int) -> int | None:
    """Where the next item begins, or the bracket closes the list, after one that is no JSON; None if neither does."""
    if text.startswith('"', start):
        found = NEXT_TEXT.search(text, start + 1)
        return found.end() if found else None
    for opening in re.compile(r"\{").finditer(text, start + text.startswith("{", start)):
        if begins_with_json(text[opening.start() :]):
            return opening.start()
    before = text[:start].rstrip(BETWEEN_ITEMS)
    closings = [closing.start() for closing in LIST_END.finditer(text, start)]
    return next((end for end in reversed(closings) if begins_with_json(f"{before}{text[end:]}")), None)


def begins_with_json(text: str) -> bool:
    try:
        DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def values_in_prose(text: str) -> list[tuple[list, list[dict]]]:
    """The objects and lists in a text, each with what is lost of it; objects that stand together are those of one list.

    They do if nothing but a comma, a line break or an object that is no JSON is between them, or if they are the items of a
    list that is none.
    """
    found: list[tuple[list, list[dict]]] = []
    objects, end, in_list = None, 0, False
    for start, value, stop, cut in decoded(text):
        between, inside = text[end:start].strip(BETWEEN_ITEMS), False
        broken = between.startswith("{") or between.endswith("}")
        if isinstance(value, dict) and objects is not None and (in_list or broken or not between):
            objects.append(value)
            found[-1][1].extend([{"reason": NOT_JSON, "text": between}] if between else [])
        elif isinstance(value, dict):
            objects, in_list = [value], between.endswith("[")
            broken = between.startswith("{") and between.endswith("}")
            found.append((objects, [{"reason": NOT_JSON, "text": between}] if broken else []))
        elif inside := in_list or bool(BROKEN_OBJECT.match(between)):
            pass  # part of an item that is no JSON
        else:
            objects = None
            found.append(([value], []))
        if cut and found:
            found[-1][1].append({"reason": CUT_OFF, "text": cut})
        if len(found) > MAX_VALUES:
            return found[:MAX_VALUES]
        end = end if inside else stop
    rest = text[end:].strip(BETWEEN_ITEMS)
    if objects and (rest.startswith("{") or (in_list and "{" in rest)):
        found[-1][1].append({"reason": NOT_JSON, "text": rest})
    return found


def decoded(text: str) -> Iterator[tuple[int, Any, int, str]]:
    """(start, value, end, what was cut off) of the outermost objects and lists in a text that are JSON."""
    start = tries = 0
    while opening := re.compile(r"[{\[]").search(text, start):
        place = opening.start()
        try:
            value, start = DECODER.raw_decode(text, place)
            yield place, value, start, ""
            continue
        except (ValueError, RecursionError):
            start = opening.end()
        if tries < MAX_VALUES:
            tries += 1
            closed, rest, is_open = close_json(text[place:])
            if is_open and (value := value_or_none(closed)) is not None:
                yield place, value, len(text), rest
                return


def complete_json(text: str) -> Any:
    """The value of JSON that was cut off, up to the last item of a list that is whole; None if there is none.

    '{"facts": [{"a": 1}, {"a' gives {"facts": [{"a": 1}]}.
    """
    return value_or_none(close_json(text)[0])


def value_or_none(text: str) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        return None


def close_json(text: str) -> tuple[str, str, bool]:
    """The longest beginning of JSON that ends with a whole item of a list, its brackets closed; the rest; if any was open."""
    brackets: list[str] = []
    in_string = escaped = False
    end, closing = 0, ""
    for place, char in enumerate(text):
        if in_string:
            escaped, in_string = char == "\\" and not escaped, char != '"' or escaped
        elif char == '"':
            in_string = True
        elif char in ("[", "{"):
            brackets.append("]" if char == "[" else "}")
        elif char in ("]", "}") and brackets:
            brackets.pop()
            if not brackets:
                break
            if brackets[-1] == "]":
                end, closing = place + 1, "".join(reversed(brackets))
    return text[:end] + closing, text[end:].strip(BETWEEN_ITEMS), bool(brackets)


def unwrapped(value: Any) -> list[Any]:
    """What a value may stand for: what our wrapping holds, the value itself, or what a wrapping of another name holds."""
    if not isinstance(value, dict):
        return [value]
    if "reply" in value:
        return [value["reply"], value]
    return [value, *(value.values() if len(value) == 1 else ())]


def fitting(value: Any, schema: dict, validator, slips: list[dict]) -> Any:
    """What of a list, or of the lists and texts of an object, follows the schema; a single object stands for a list of one.

    None if too little does. What has numbers, objects or choices, may be short of half of its items: each says which it is.
    """
    if "items" in schema and isinstance(value, list | dict):
        kept = fitting_items(value if isinstance(value, list) else [value], schema, validator, slips)
        least = schema.get("minItems", 1)
        numbered = schema["items"].get("type") == "object" or "enum" in schema["items"]
        return kept if kept and len(kept) * (2 if numbered else 1) >= least else None
    if not isinstance(value, dict) or "properties" not in schema:
        return None
    kept = {name: value[name] for name in schema["properties"] if name in value}
    for name, one in kept.items():
        part = schema["properties"][name]
        if "items" in part and isinstance(one, list):
            kept[name] = fitting_items(one, part, validator, slips)
            if one and not kept[name] and part["items"].get("type") == "object":
                return None
        elif isinstance(one, str) and len(one) > part.get("maxLength", len(one)):
            kept[name] = ""
            slips.append(slip(one, f"more than {part['maxLength']} characters"))
    return kept if validator.is_valid(kept) else None


def fitting_items(items: list, schema: dict, validator, slips: list[dict]) -> list:
    """The items of a list that follow the schema, as many as it allows."""
    item_validator, kept = validator.evolve(schema=schema["items"]), []
    for item in items:
        one = shortened(item, schema["items"], slips)
        error = next(iter(item_validator.iter_errors(one)), None)
        if error is None:
            kept.append(one)
        else:
            slips.append(slip(item, error.message[:SHOWN]))
    most = schema.get("maxItems", len(kept))
    slips += [slip(item, f"more than {most}") for item in kept[most:]]
    return kept[:most]


def shortened(item: Any, schema: dict, slips: list[dict]) -> Any:
    """An item with no more in its lists than the schema allows, and without keys that nobody asked for."""
    if not isinstance(item, dict) or "properties" not in schema:
        return item
    only = schema["properties"] if schema.get("additionalProperties") is False else item
    kept = {name: value for name, value in item.items() if name in only}
    for name, value in kept.items():
        most = schema["properties"].get(name, {}).get("maxItems")
        if isinstance(value, list) and most is not None and len(value) > most:
            kept[name] = value[:most]
            slips.append(slip(item, f"more than {most} of {name}: the first are kept"))
    return kept


def slip(item: Any, problem: str) -> dict:
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    return {"reason": BREAKS_SCHEMA, "text": text, "problem": problem}
