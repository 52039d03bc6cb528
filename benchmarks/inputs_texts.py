"""What a "spans", "match" or "template" run of benchmarks/inputs.py finds wrong: functions of ours, and no model."""

from __future__ import annotations

import re
import sys

from benchmarks.inputs_documents import Unit, check_spans
from benchmarks.inputs_entries import ROOT, Entry, template_text
from data_processor.spans import find_spans
from engines.chat import with_system_prompt
from engines.chat_template import prompt_ids, prompt_text
from evaluation.matching import grade
from training.data import IGNORED, to_examples
from utils import InputError

sys.path.insert(0, str(ROOT / "tests"))

import templated  # tokenizers of single bytes for the templates in tests/templates

TOKEN = re.compile(r"<[|｜][^|｜<>]+[|｜]>|</?think>")  # in a template whose tokens nobody lists


def spans(entry: Entry) -> list[str]:
    wrong, units = [], []
    for text, expected in entry.expected["spans"].items():
        places = [span[:2] for span in find_spans(text)]
        found = [text[start:end] for start, end in places]
        units.append(Unit(text, text, found, places))
        wrong += [] if found == expected else [f"spans: expected {expected}, found {found} in {text!r}"]
    return wrong + check_spans(entry.expected, units)


def match(entry: Entry) -> list[str]:
    """Wrong verdicts of string match on [question, reference, response, verdict, kind]."""
    wrong = []
    for question, reference, response, verdict, *kind in entry.expected["grades"]:
        found, _ = grade(reference, response, kind[0] if kind else None, question)
        if found != verdict:
            wrong.append(f"grades: expected {verdict}, found {found} for {question!r}, {reference!r}, {response!r}")
    return wrong


def template(entry: Entry) -> list[str]:
    """Whether what is trained is as expected, under the prompt that inference would send."""
    names = entry.expected.get("templates")
    if names is None:
        name = entry.expected["template"]
        tokenizer = templated.published(name) if name in templated.EXPECTED else make_tokenizer(template_text(entry))
        return one_template(entry, tokenizer, entry.expected.get("trained"))
    wrong = []
    answers = [turn["content"] for turn in entry.expected["messages"] if turn["role"] == "assistant"]
    for name in names:
        trained = [templated.expected(name, "trained").replace(templated.ANSWER, answer) for answer in answers]
        wrong += [f"{name}: {one}" for one in one_template(entry, templated.published(name), trained)]
    return wrong


def make_tokenizer(text: str):
    tokens = list(dict.fromkeys(TOKEN.findall(text)))
    ends = [token for token in tokens if "end" in token]
    return templated.make_tokenizer(text, tokens, **({"eos_token": ends[0]} if ends else {}))


def one_template(entry: Entry, tokenizer, trained: list[str] | None) -> list[str]:
    expected, messages = entry.expected, entry.expected["messages"]
    system_prompt, wrong = expected.get("system_prompt"), []
    try:
        examples = to_examples(messages, tokenizer, system_prompt)
        prompt = prompt_text(tokenizer, with_system_prompt(messages[:-1], system_prompt))
        asked = prompt_ids(tokenizer, with_system_prompt(messages[:-1], system_prompt))
    except InputError as error:
        return [f"template: {error}"]
    found = [text for example in examples for text in trained_text(example, tokenizer)]
    if trained is not None and found != trained:
        wrong.append(f"trained: expected {trained}, found {found}")
    labels = examples[-1]["labels"]
    last = len(labels) - next(place for place, label in enumerate(reversed(labels)) if label == IGNORED)
    if examples[-1]["input_ids"][:last] != asked:
        wrong.append(
            f"prompt: expected {tokenizer.decode(asked)!r}, found {tokenizer.decode(examples[-1]['input_ids'][:last])!r} in training"
        )
    return wrong + check_prompt(expected, prompt)


def check_prompt(checks: dict, prompt: str) -> list[str]:
    """Whether a prompt that a model is asked with has, lacks and ends with what it should."""
    wrong = [
        f"prompt_has: expected {part!r}, found {prompt!r}"
        for part in checks.get("prompt_has", [])
        if part not in prompt
    ]
    wrong += [
        f"prompt_lacks: found {part!r} in {prompt!r}" for part in checks.get("prompt_lacks", []) if part in prompt
    ]
    if not prompt.endswith(checks.get("prompt_ends", "")):
        wrong.append(f"prompt_ends: expected {checks['prompt_ends']!r}, found {prompt[-80:]!r}")
    return wrong


def trained_text(example: dict, tokenizer) -> list[str]:
    """The stretches of tokens that are trained, as text."""
    stretches: list[list[int]] = [[]]
    for token, label in zip(example["input_ids"], example["labels"], strict=True):
        if label != IGNORED:
            stretches[-1].append(token)
        elif stretches[-1]:
            stretches.append([])
    return [tokenizer.decode(stretch) for stretch in stretches if stretch]


RUNS = {"spans": spans, "match": match, "template": template}
