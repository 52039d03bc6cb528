"""A model, with or without a LoRA adapter, answers the questions of a dataset.

In:  --test_data_path, a dataset (see dataset.py): the last user's turn is asked, the last assistant's is the reference.
Out: --output_path, a list of {"fact", "question", "response", "id", "reference", "file_name", "kind"} in the same order.

    python inference.py --model_name_or_path models/SmolLM2-135M-Instruct --test_data_path datasets/demo/questions.json \\
        --output_path output/base.json
    python inference.py --model_name_or_path models/SmolLM2-135M-Instruct --test_data_path datasets/demo/questions.json \\
        --output_path output/tuned.json --lora_weights output/lora
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from data_processor.documents import read_text
from dataset import question_and_reference, read_dataset
from provenance import write_meta
from utils import InputError, parse_arguments, progress_bar, read_json, require_adapter, require_model, run, write_json

ADAPTER_SETTINGS = "knowledge_update.json"  # written beside the adapter by finetune.py
OPEN_BOOK = "{document}\n\n{question} Answer in a few words."

log = logging.getLogger(__name__)


@dataclass
class Arguments:
    model_name_or_path: str = field(metadata={"help": "A model folder, or a name on the Hugging Face hub."})
    test_data_path: str = field(metadata={"help": "The dataset whose questions are asked."})
    output_path: str = field(metadata={"help": "The answers file to write."})
    lora_weights: str | None = field(
        default=None, metadata={"help": "The folder of a LoRA adapter made for this model."}
    )
    system_prompt: str | None = field(
        default=None,
        metadata={"help": "Default: what the adapter was trained with; without one, the chat template's own."},
    )
    open_book: str | None = field(
        default=None,
        metadata={"help": "Folder of the documents: each question gets its document in the prompt (the ceiling)."},
    )
    max_new_tokens: int = field(default=64, metadata={"help": "The longest answer."})
    limit: int | None = field(default=None, metadata={"help": "Ask the first N questions only: a smoke run."})


def read_book(folder: str, rows: list[dict], path: str) -> dict[str, str]:
    """The document of every file name in the rows."""
    book = {}
    for name in {str(row.get("file_name") or "") for row in rows}:
        document = Path(folder) / name
        if not name or not document.is_file():
            raise InputError(
                f"expected the document {name!r} of {path} in {folder}, found none: give the folder collection read"
            )
        text = read_text(document)
        if text is None:
            raise InputError(f"expected text in {document}, found no known encoding: save it as UTF-8")
        book[name] = text
    return book


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    started = time.time()
    rows = read_dataset(arguments.test_data_path, "test questions", arguments.limit)
    require_model(arguments.model_name_or_path)
    book = read_book(arguments.open_book, rows, arguments.test_data_path) if arguments.open_book else {}
    system_prompt = arguments.system_prompt
    if arguments.lora_weights:
        require_adapter(arguments.lora_weights, arguments.model_name_or_path)
        settings = Path(arguments.lora_weights) / ADAPTER_SETTINGS
        if system_prompt is None and settings.is_file():
            system_prompt = read_json(settings, "the adapter's settings")["system_prompt"]

    from journal import JournaledEngine, weights_stamp
    from llm import TransformersEngine

    engine = JournaledEngine(
        TransformersEngine.load(arguments.model_name_or_path, arguments.lora_weights, system_prompt),
        Path(arguments.output_path).with_suffix(".journal.jsonl"),
        weights_stamp(arguments.lora_weights) if arguments.lora_weights else None,
        system_prompt,
    )
    pairs = [question_and_reference(row) for row in rows]
    asked = [
        OPEN_BOOK.format(document=book[row["file_name"]].strip(), question=question) if book else question
        for row, (question, _) in zip(rows, pairs, strict=True)
    ]
    with progress_bar("answers", len(asked)) as bar:
        replies = engine.chat(
            [[{"role": "user", "content": question}] for question in asked],
            max_new_tokens=arguments.max_new_tokens,
            on_reply=lambda *_: bar.update(1),
        )
    answers = [
        {
            "fact": row.get("fact", ""),
            "question": question,
            "response": reply.text,
            "id": row.get("id", str(number)),
            "reference": reference,
            "file_name": row.get("file_name", ""),
            "kind": row.get("kind", "qa"),
        }
        for number, (row, (question, reference), reply) in enumerate(zip(rows, pairs, replies, strict=True))
    ]
    write_json(arguments.output_path, answers)
    write_meta(
        arguments.output_path,
        arguments,
        started,
        system_prompt=system_prompt,
        calls={"asked": engine.asked, "from_journal": engine.reused},
        counts={"asked": len(rows), "cut_at_max_new_tokens": sum(reply.finish_reason == "length" for reply in replies)},
        tokens={
            "prompt": sum(r.prompt_tokens for r in replies),
            "completion": sum(r.completion_tokens for r in replies),
        },
    )
    log.info("%d answers in %s", len(answers), arguments.output_path)


if __name__ == "__main__":
    run(main)
