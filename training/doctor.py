"""What is wrong with a dataset, a template or a DeepSpeed file, found in seconds and before anything is trained."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_processor.dataset import question_and_reference, to_messages
from engines.chat_template import end_of_turn
from training.data import IGNORED, fact_of, preprocess, trained_parts
from utils import InputError, read_json

NAMED_IDS = 3  # ids given for each finding
CHECKED_ROWS = 20_000  # rows, evenly over a larger dataset: a minute at most

log = logging.getLogger(__name__)


def require_neutral_deepspeed(path: str) -> None:
    """InputError where a DeepSpeed file decides what the arguments decide, which it would do without a word."""
    config = read_json(path, "a DeepSpeed configuration")
    for block, arguments in (
        ("scheduler", "--lr_scheduler_type"),
        ("optimizer", "--optim, --learning_rate and --weight_decay"),
    ):
        if block in config:
            raise InputError(f"expected no {block} in {path}, found one, which would override {arguments}: take it out")


def report(rows: Sequence[dict], held_out: Sequence[dict], tokenizer, model: str, data, training) -> int:
    """Log every finding; 1 if one of them would spoil a training, else 0."""
    errors = list(template_findings(tokenizer, data.system_prompt))
    errors += row_errors(rows, tokenizer, data, training)
    errors += model_findings(tokenizer, model, training.output_dir)
    warnings = [*leaked_rows(rows, held_out), *row_warnings(rows, tokenizer), *end_of_turn_findings(tokenizer, model)]
    if tokenizer.pad_token_id is None:
        warnings.append(
            "the tokenizer has no padding token: its end token pads, which is right, as no mask rests on it"
        )
    for finding in errors:
        log.info("error: %s", finding)
    for finding in warnings:
        log.info("warning: %s", finding)
    log.info("%d rows, %d errors, %d warnings; nothing was trained", len(rows), len(errors), len(warnings))
    return int(bool(errors))


def sample(rows: Sequence[dict]) -> Iterator[dict]:
    return (rows[index] for index in range(0, len(rows), max(1, len(rows) // CHECKED_ROWS)))


def counted(what: str, ids: list[str]) -> list[str]:
    """A finding with how often it is there and the first ids, or none."""
    return [f"{what}: {len(ids)} rows, such as {', '.join(ids[:NAMED_IDS])}"] if ids else []


def template_findings(tokenizer, system_prompt: str | None) -> Iterator[str]:
    """Whether masked tokens are exactly the template's text, with each turn's end trained."""
    turns = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}]
    try:
        example = preprocess(turns, tokenizer, system_prompt, name="a question with its answer")
        ((prompt, answer),) = trained_parts(turns, tokenizer, system_prompt, "a question with its answer")
    except InputError as error:
        yield str(error)
        return
    if tokenizer.decode(example["input_ids"]) != prompt + answer:
        yield f"the tokens of {tokenizer.name_or_path} do not give back its template's text: {prompt + answer!r}"
    end = tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer))
    if example["labels"].count(end) != 1:
        yield f"the end of turn {end_of_turn(tokenizer)!r} is trained {example['labels'].count(end)} times in one turn"


def row_errors(rows: Sequence[dict], tokenizer, data, training) -> list[str]:
    """Rows that cannot be trained, or teach nothing."""
    untrained, too_long, refused = [], [], []
    for row in sample(rows):
        identity = str(row.get("id"))
        try:
            example = preprocess(to_messages(row), tokenizer, data.system_prompt, name=f"example {identity}")
        except InputError:
            refused.append(identity)
            continue
        if sum(label != IGNORED for label in example["labels"]) <= 1:  # the end of the turn alone
            untrained.append(identity)
        if len(example["input_ids"]) > training.model_max_length and not data.split_long_examples:
            too_long.append(identity)
    return [
        *counted("the chat template refuses it", refused),
        *counted("no word is trained, the answer is empty", untrained),
        *counted(f"longer than --model_max_length {training.model_max_length}", too_long),
    ]


def row_warnings(rows: Sequence[dict], tokenizer) -> list[str]:
    """Rows that train, but hardly what was meant."""
    import ftfy.badness

    broken, marked, twice = [], [], []
    special = [token for token in tokenizer.all_special_tokens if len(token) > 3]
    seen: Counter = Counter()
    for row in sample(rows):
        identity, text = str(row.get("id")), "\n".join(message["content"] for message in to_messages(row))
        if ftfy.badness.is_bad(text) or "\ufffd" in text:
            broken.append(identity)
        if any(token in text for token in special):
            marked.append(identity)
        seen[text] += 1
        if seen[text] == 2:
            twice.append(identity)
    return [
        *counted("text in the wrong encoding (mojibake)", broken),
        *counted("a special token of the tokenizer in the text, which would end a turn", marked),
        *counted("the same conversation as another row", twice),
    ]


def leaked_rows(rows: Sequence[dict], held_out: Sequence[dict]) -> list[str]:
    """Held-out rows that are trained too: the same question, or another wording of the same fact."""
    if not held_out:
        return []
    questions = {question_and_reference(row)[0].strip().casefold() for row in rows}
    facts = {fact_of(row) for row in rows}
    same = [str(row.get("id")) for row in held_out if question_and_reference(row)[0].strip().casefold() in questions]
    known = [str(row.get("id")) for row in held_out if fact_of(row) in facts]
    return [
        *counted("a held-out question is trained word for word", same),
        *counted("a held-out row's fact is trained in other words, so its loss says little", known),
    ]


def model_findings(tokenizer, model: str, output_dir: str) -> Iterator[str]:
    """Whether model, tokenizer and what is in the output folder belong together."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(model)
    if len(tokenizer) > config.vocab_size:
        yield f"the tokenizer has {len(tokenizer)} tokens, the model {config.vocab_size}: resize the model's embeddings first"
    adapter = Path(output_dir) / "adapter_config.json"
    if adapter.is_file():
        base = json.loads(adapter.read_text()).get("base_model_name_or_path") or ""
        if Path(base).name != Path(model).name:
            yield f"{output_dir} has an adapter of {base}, not of {model}: give another --output_dir"


def end_of_turn_findings(tokenizer, model: str) -> Iterator[str]:
    """Whether the model's files say that generation ends where a trained turn ends."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(model)
    end = tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer))
    stops = transformers.GenerationConfig.from_model_config(config).eos_token_id
    if (Path(model) / "generation_config.json").is_file():
        stops = transformers.GenerationConfig.from_pretrained(model).eos_token_id
    if end not in {tokenizer.eos_token_id, *(stops if isinstance(stops, list) else [stops])}:
        yield (
            f"a turn ends with {end_of_turn(tokenizer)!r}, at which other programs than ours would not stop: add its id {end} to "
            f"eos_token_id in generation_config.json of {model}"
        )
