"""Finds in seconds, before anything is trained, what is wrong with a dataset, a template or a DeepSpeed file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_processor.dataset import find_flaws, question_and_reference, to_messages
from engines.adapter import require_adapter
from engines.chat_template import answer_frame, answer_text, end_of_turn, takes_system_turn
from training.data import IGNORED, fact_of, preprocess, to_examples, trained_parts
from utils import InputError, read_json

NAMED_IDS = 3  # per finding
CHECKED_ROWS = 20_000  # spread evenly over a larger dataset: a minute at most

log = logging.getLogger(__name__)


def require_neutral_deepspeed(path: str) -> None:
    """InputError if a DeepSpeed file sets what the arguments set: it would silently override them."""
    config = read_json(path, "a DeepSpeed configuration")
    for block, arguments in (
        ("scheduler", "--lr_scheduler_type"),
        ("optimizer", "--optim, --learning_rate and --weight_decay"),
    ):
        if block in config:
            raise InputError(f"expected no {block} in {path}, found one, which would override {arguments}: remove it")


def report(rows: Sequence[dict], held_out: Sequence[dict], tokenizer, model: str, data, training) -> int:
    """Log every finding; return 1 if one of them would spoil the training, else 0."""
    errors = list(template_findings(tokenizer, data.system_prompt))
    errors += row_errors(rows, tokenizer, data, training)
    errors += model_findings(tokenizer, model, training.output_dir)
    warnings = [*leaked_rows(rows, held_out), *row_warnings(rows, tokenizer), *end_of_turn_findings(tokenizer, model)]
    if tokenizer.pad_token_id is None:
        warnings.append(
            "the tokenizer has no padding token: its end token pads, which is safe, as no mask depends on it"
        )
    for finding in errors:
        log.info("error: %s", finding)
    for finding in warnings:
        log.info("warning: %s", finding)
    for note in [] if errors else template_notes(tokenizer, data.system_prompt):
        log.info("note: %s", note)
    log.info("%d rows, %d errors, %d warnings; nothing was trained", len(rows), len(errors), len(warnings))
    return int(bool(errors))


def sample(rows: Sequence[dict]) -> Iterator[dict]:
    """At most about CHECKED_ROWS of the rows, evenly spread."""
    return (rows[index] for index in range(0, len(rows), max(1, len(rows) // CHECKED_ROWS)))


def format_finding(what: str, ids: list[str]) -> list[str]:
    """A finding with its number of rows and the first ids, or nothing if there are none."""
    return [f"{what}: {len(ids)} rows, such as {', '.join(ids[:NAMED_IDS])}"] if ids else []


def template_findings(tokenizer, system_prompt: str | None) -> Iterator[str]:
    """Check that the tokens give back the template's text, and that each turn's end is trained."""
    turns = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}]
    try:
        example = preprocess(turns, tokenizer, system_prompt, name="a question with its answer")
        ((prompt, answer),) = trained_parts(turns, tokenizer, system_prompt, "a question with its answer")
    except InputError as error:
        yield str(error)
        return
    if tokenizer.decode(example["input_ids"]) != prompt + answer:
        yield f"the tokens of {tokenizer.name_or_path} do not decode to its template's text: {prompt + answer!r}"
    end = tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer))
    if example["labels"].count(end) != 1:
        yield f"the end of turn {end_of_turn(tokenizer)!r} is trained {example['labels'].count(end)} times in one turn"


def template_notes(tokenizer, system_prompt: str | None) -> Iterator[str]:
    """Where a prompt is not what the chat template alone would write: in training, and whenever the model is asked."""
    prefix = answer_frame(tokenizer).prefix
    if prefix:
        yield f"every prompt ends with {prefix!r}, so that the model answers without a thought"
    if system_prompt and not takes_system_turn(tokenizer):
        yield "the chat template has no system turn, so that the system prompt stands before the first question"


def row_errors(rows: Sequence[dict], tokenizer, data, training) -> list[str]:
    """Rows that cannot be trained, or that teach nothing."""
    untrained, too_long, refused = [], [], []
    flaws = find_flaws(sample(rows))
    without_words = {identity for ids in flaws.values() for identity in ids}
    for row in sample(rows):
        identity = str(row.get("id"))
        try:
            examples = to_examples(to_messages(row), tokenizer, data.system_prompt, name=f"example {identity}")
        except InputError:
            refused.append(identity)
            continue
        trained = sum(label != IGNORED for example in examples for label in example["labels"])
        ends = len(tokenizer(answer_text(tokenizer, ""), add_special_tokens=False).input_ids)
        if trained <= ends and identity not in without_words:  # only the end of the turn
            untrained.append(identity)
        longest = max(len(example["input_ids"]) for example in examples)
        if longest > training.model_max_length and not data.split_long_examples:
            too_long.append(identity)
    return [
        *format_finding("rejected by the chat template", refused),
        *(line for what, ids in flaws.items() for line in format_finding(what, ids)),
        *format_finding("the chat template leaves nothing of the answer, so nothing is trained", untrained),
        *format_finding(f"longer than --model_max_length {training.model_max_length}", too_long),
    ]


def row_warnings(rows: Sequence[dict], tokenizer) -> list[str]:
    """Rows that can be trained, but hardly as intended."""
    import ftfy.badness

    mojibake, with_special_tokens, repeated = [], [], []
    special = [token for token in tokenizer.all_special_tokens if len(token) > 3]
    seen: Counter = Counter()
    for row in sample(rows):
        identity, text = str(row.get("id")), "\n".join(message["content"] for message in to_messages(row))
        if ftfy.badness.is_bad(text) or "\ufffd" in text:
            mojibake.append(identity)
        if any(token in text for token in special):
            with_special_tokens.append(identity)
        seen[text] += 1
        if seen[text] == 2:
            repeated.append(identity)
    return [
        *format_finding("text in the wrong encoding (mojibake)", mojibake),
        *format_finding(
            "one of the tokenizer's special tokens in the text, where it would end a turn", with_special_tokens
        ),
        *format_finding("the same conversation as another row", repeated),
    ]


def leaked_rows(rows: Sequence[dict], held_out: Sequence[dict]) -> list[str]:
    """Held-out rows that are also trained: the same question, or another wording of the same fact."""
    if not held_out:
        return []
    questions = {question_and_reference(row)[0].strip().casefold() for row in rows}
    facts = {fact_of(row) for row in rows if names_fact(row)}
    same = [str(row.get("id")) for row in held_out if question_and_reference(row)[0].strip().casefold() in questions]
    known = [str(row.get("id")) for row in held_out if names_fact(row) and fact_of(row) in facts]
    return [
        *format_finding("a held-out question is trained word for word", same),
        *format_finding("a held-out row's fact is trained in another wording, so its loss says little", known),
    ]


def names_fact(row: dict) -> bool:
    """Whether a row says which fact it teaches; without, its id stands for it, which two files may use twice."""
    return bool(row.get("fact_id") or row.get("fact"))


def model_findings(tokenizer, model: str, output_dir: str) -> Iterator[str]:
    """Check that the model, the tokenizer and the output folder belong together."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(model)
    vocabulary = config.get_text_config().vocab_size
    if len(tokenizer) > vocabulary:
        yield f"the tokenizer has {len(tokenizer)} tokens, the model {vocabulary}: resize the model's embeddings first"
    if (Path(output_dir) / "adapter_config.json").is_file():
        try:
            require_adapter(output_dir, model)
        except InputError as error:
            yield f"{error}; or give another --output_dir"


def end_of_turn_findings(tokenizer, model: str) -> Iterator[str]:
    """Check that, by the model's files, generation stops where a trained turn ends."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(model)
    end = tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer))
    stops = transformers.GenerationConfig.from_model_config(config).eos_token_id
    if (Path(model) / "generation_config.json").is_file():
        stops = transformers.GenerationConfig.from_pretrained(model).eos_token_id
    if end not in {tokenizer.eos_token_id, *(stops if isinstance(stops, list) else [stops])}:
        yield (
            f"a turn ends with {end_of_turn(tokenizer)!r}, where programs other than ours would not stop: add its id {end} to "
            f"eos_token_id in generation_config.json of {model}"
        )
