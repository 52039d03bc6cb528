"""A fault server that states the sentences it is shown as facts, asks for each, judges by comparing words, and is odd by rules.

    with OddServer([{"when": {"param": "temperature"}, "status": 400, "error": {"message": "..."}}]) as server: ...

A rule has `when`, all of which must hold (nothing: always), and what happens then; the first with a status, body, text or drop
ends it:
  when   param: the call has it;  under: [param, n], it has it below n;  format: type of its response_format ("none": it has none);
         prompt: regular expression found in the last message;  any: the same in any message;  json: JSON is asked for, or not;
         nth: every n-th call;  first: the first n calls;  after: all but the first n;  no_query: the address lacks it;  path_lacks: so
  then   status + error (an object);  body: sent with status (200 by default);  text: the same, but no JSON;  drop: the connection is reset
         wait: seconds before it;  headers;  wrap: "before{}after" round the content;  content: in its place (may be null, list);
         bare: the value without {"reply": ...};  reasoning, reasoning_key (default reasoning_content), finish, refusal, usage
         label: written where the verdict on one answer would be "correct";  label_all: written for every verdict on one answer;
         verdict: "before{}after" round every verdict
"""

from __future__ import annotations

import json
import re
import threading

from benchmarks.fault_server import Answer, FaultServer, completion

THOUGHT = (
    "Okay, let me look at the text. The Amber Lantern was lit on 4 April 1987, so I will say that. I should be brief."
)
FILTERED = {"type": None, "param": "prompt", "code": "content_filter", "status": 400}
POLICY = "The response was filtered due to the prompt triggering the content management policy."
MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
TOO_MANY = {"message": "Provider returned error", "code": 429, "metadata": {"raw": "Too Many Requests"}}
MODES: dict[str, list[dict]] = {
    "ok": [],
    "azure": [{"when": {"prompt": "poison"}, "status": 400, "error": {"message": POLICY, **FILTERED}}],
    "azureall": [
        {
            "when": {"prompt": "poison(?!(?s:.*)List every fact)"},
            "status": 400,
            "error": {"message": "filtered", **FILTERED},
        }
    ],
    "deepseek": [
        {
            "when": {"format": "json_schema"},
            "status": 400,
            "error": {"message": "This response_format type is unavailable now", "type": "invalid_request_error"},
        }
    ],
    "maxtok": [
        {
            "when": {"param": "max_tokens"},
            "status": 400,
            "error": {"message": MAX_TOKENS, "param": "max_tokens", "code": "unsupported_parameter"},
        }
    ],
    "err200": [{"when": {"nth": 3}, "body": {"id": None, "choices": None, "usage": None, "error": TOO_MANY}}],
    "err200all": [{"body": {"error": {"message": "Insufficient credits. Add more at the billing page.", "code": 402}}}],
    "fenced": [{"when": {"json": True}, "wrap": "```json\n{}\n```"}],
    "prose": [{"when": {"json": True}, "wrap": "Here is the JSON you asked for:\n\n{}"}],
    "ignores": [{"when": {"json": True}, "bare": True}],
    "reasoning": [
        {"reasoning": THOUGHT},
        {"when": {"under": ["max_tokens", 300]}, "content": "", "finish": "length"},
    ],
    "think": [{"wrap": f"<think>\n{THOUGHT}\n</think>\n\n{{}}"}],
    "quoted": [{"verdict": '"{}"'}],
}
SENTENCE = re.compile(r"\[(\d+)\] (.*?)(?=[\s*+|-]*\[\d+\]|\n\n|\Z)", re.DOTALL)  # as the collection numbers them
END = re.compile(r"\n\n[(（](?=End of the document|文档到此为止)")
ITEM = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
CASE = re.compile(r"^==== case (\w{8}) ====\n(.*?)\n==== end of case \1 ====$", re.DOTALL | re.MULTILINE)


def value(prompt: str, schema: dict):
    """A value for a schema: of numbered sentences each as a fact, of numbered facts a question each, else as little as it allows."""
    kind, parts = schema.get("type"), schema.get("items", {}).get("properties", {})
    if "theme" in schema.get("properties", {}):
        shown = END.split(prompt)[0]
        facts = [{"fact": one_line(said), "sentences": [int(n)]} for n, said in SENTENCE.findall(shown)]
        return {"theme": "", "names": [], "roles": [], "facts": [fact for fact in facts if len(fact["fact"]) > 3]}
    if kind == "object":
        return {name: value(prompt, part) for name, part in schema.get("properties", {}).items()}
    if "form" in parts and len(parts["form"]["enum"]) > 1:
        facts = END.split(prompt)[-1]
        return [
            {"item": int(n), "form": "how", "question": f"{said.rstrip('.')}?", "answer": said, "points": []}
            for n, said in ITEM.findall(facts)
        ]
    if "enum" in schema:
        return "no" if "no" in schema["enum"] else schema["enum"][0]
    if "sentence" in parts or "number" in parts:
        told = parts.get("sentence") or parts["number"]
        return [value(prompt, schema["items"]) | {next(iter(parts)): number} for number in told["enum"]]
    if kind == "array":
        return [value(prompt, schema["items"])] * schema.get("minItems", 0)
    return "Who wants to know?"


def one_line(text: str) -> str:
    return " ".join(text.split())


def text(prompt: str, label: str | None = None, label_all: str | None = None, verdict: str = "{}") -> str:
    """A verdict if one is asked for, else a sentence."""
    tag = re.search(r"<verdict-(\w{8})>your verdict", prompt)
    if not tag:
        return "The text is about a harbour." if "what is this text about" in prompt else "The harbour was opened."
    case = json.loads(CASE.search(prompt)[2])
    answers = ("answer", "answer_A", "answer_B")
    right = {key: case["reference"].casefold() in case[key].casefold() for key in answers if key in case}
    if "answer" in right:
        word = (label or "correct") if right["answer"] else "incorrect"
        word = word if label_all is None else label_all
    else:
        word = "tie" if right["answer_A"] == right["answer_B"] else "A" if right["answer_A"] else "B"
    return f"I compared it with the reference.\n<verdict-{tag[1]}>{verdict.replace('{}', word)}</verdict-{tag[1]}>"


def asked_schema(call: dict) -> dict | None:
    """The schema of response_format, or the first JSON object in the messages that is one; None if no JSON is asked for."""
    if "json_schema" in (call.get("response_format") or {}):
        return call["response_format"]["json_schema"]["schema"]
    prompt = "\n".join(str(turn["content"]) for turn in call["messages"])
    for match in re.finditer(r"\{", prompt):
        try:
            found, _ = json.JSONDecoder().raw_decode(prompt, match.start())
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("type") == "object" and "properties" in found:
            return found
    return None


def holds(when: dict, call: dict, number: int, path: str) -> bool:
    """Whether all conditions of a rule hold for a call."""
    prompt, every = call["messages"][-1]["content"], " ".join(str(turn["content"]) for turn in call["messages"])
    tests = {
        "param": lambda wanted: wanted in call,
        "under": lambda wanted: call.get(wanted[0], 10**9) < wanted[1],
        "format": lambda wanted: (call.get("response_format") or {}).get("type", "none") == wanted,
        "prompt": lambda wanted: re.search(wanted, prompt),
        "any": lambda wanted: re.search(wanted, every),
        "json": lambda wanted: (asked_schema(call) is not None) == wanted,
        "nth": lambda wanted: number % wanted == 0,
        "first": lambda wanted: number <= wanted,
        "after": lambda wanted: number > wanted,
        "no_query": lambda wanted: wanted not in path.partition("?")[2],
        "path_lacks": lambda wanted: wanted not in path,
    }
    return all(tests[name](wanted) for name, wanted in when.items())


def respond(call: dict, rules: list[dict]) -> Answer:
    """What a server answers under the rules that hold."""
    prompt, schema = call["messages"][-1]["content"], asked_schema(call)
    verdict_keys = ("label", "label_all", "verdict")
    content = text(prompt, **{name: rule[name] for rule in rules for name in verdict_keys if name in rule})
    if schema is not None:
        content = value(prompt, schema)
        bare = any(rule.get("bare") for rule in rules) and isinstance(content, dict) and len(content) == 1
        content = json.dumps(next(iter(content.values())) if bare else content, ensure_ascii=False)
    more, finish, usage, wait, headers = {}, "stop", None, 0.0, {}
    for rule in rules:
        wait, headers = wait + rule.get("wait", 0), headers | rule.get("headers", {})
        content = rule["wrap"].replace("{}", content or "") if "wrap" in rule else content
        content = (rule["content"] or None) if "content" in rule else content
        if "reasoning" in rule:
            more[rule.get("reasoning_key", "reasoning_content")] = rule["reasoning"]
        more |= {"refusal": rule["refusal"]} if "refusal" in rule else {}
        finish, usage = rule.get("finish", finish), rule.get("usage", usage)
        if rule.get("drop"):
            return Answer("lost", hang_s=wait, reset_at=0)
        if {"text", "error", "body"} & set(rule):
            body = rule.get("text", rule.get("body", {"error": rule.get("error")}))
            return Answer(body, rule.get("status", 200), headers, wait)
    body = completion(content, finish, **more)
    return Answer(body | ({"usage": usage} if usage else {}), 200, headers, wait)


class OddServer(FaultServer):
    """A server with rules; `calls` have "body", "path" and "status" (of what was answered; 0: none), and it goes after `gone_after` calls."""

    def __init__(self, rules: list[dict], gone_after: int | None = None):
        super().__init__()
        self.rules, self.gone_after = rules, gone_after

    def answer(self, call: dict, key: str | None = None, path: str = "") -> Answer:
        with self.lock:
            record = {"body": call, "path": path, "status": 0}
            self.calls.append(record)
            number = len(self.calls)
        found = respond(call, [rule for rule in self.rules if holds(rule.get("when", {}), call, number, path)])
        self.stopped.wait(found.hang_s)
        failed = isinstance(found.body, dict) and found.body.get("error") and found.status == 200
        record["status"] = 0 if found.reset_at is not None else 400 if failed else found.status
        if number == self.gone_after:
            self.stopped.set()  # so that its connection is closed after this answer
            threading.Thread(target=self.__exit__).start()
        return found
