"""The arguments that both collection scripts share, checked before anything heavy is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Literal

from budget.watching import WatchArguments
from data_processor import method
from data_processor.chunking import require_tokenizer
from data_processor.documents import Document, read_documents
from data_processor.prompts import load_prompts
from data_processor.small_model import method as method_of_small_model
from utils import InputError

METHODS = {"quotes": method, "words": method_of_small_model}  # by --guard


@dataclass
class CollectionArguments(WatchArguments):
    """Arguments that both scripts share."""

    data_path: str = field(
        default="demo/documents", metadata={"help": "Folder of .txt, .md, .html, .pdf, .docx files, read recursively."}
    )
    json_save_dir: str = field(
        default="output/data.json", metadata={"help": "The dataset to write: a .json file, or a folder for data.json."}
    )
    chunk_size_by_token: int = field(default=512, metadata={"help": "Maximum tokens in a chunk."})
    tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "Tokenizer that measures chunks: a model's folder or name, or tiktoken:gpt-4o for an OpenAI model's. "
            "Default: the model's own (local), or tiktoken:gpt-4o (API)."
        },
    )
    language: str = field(
        default="auto",
        metadata={
            "help": "Language of the prompts: en, zh or another with a file in data_processor/prompts; "
            "auto: that of each document, or en where it has none."
        },
    )
    prompts: str | None = field(
        default=None,
        metadata={"help": "TOML file with your own prompts, under the keys of data_processor/prompts: [en.read]."},
    )
    qa_amount_per_fact: int = field(default=5, metadata={"help": "Maximum questions per fact."})
    role_amount_per_fact: int = field(
        default=3, metadata={"help": "Roles in which each question is asked again; 0 for none, as with --guard words."}
    )
    unknown_amount_per_chunk: int = field(
        default=1, metadata={"help": "Unanswerable questions, whose right answer is that it is not known."}
    )
    guard: Literal["quotes", "words"] = field(
        default="quotes",
        metadata={
            "help": "What a fact must keep of its source: its numbers, with the sentences it rests on, or every word in its order. "
            "The latter is for models under about 1B, and makes questions by rule: data_processor/small_model/README.md."
        },
    )
    verify: Literal["rules", "llm"] = field(
        default="rules",
        metadata={
            "help": "What facts and pairs must pass: rules alone, or the model's own check too, with the text before it: does the fact "
            "follow, and is the question, asked again, answered alike?"
        },
    )
    format: Literal["conversations", "sharegpt", "openai", "alpaca"] = field(
        default="conversations",
        metadata={"help": "Format of the examples; finetune.py reads all but alpaca."},
    )
    test_ratio: float = field(
        default=0.0,
        metadata={
            "help": "Share of the questions held out in NAME.test.json: other wordings of trained facts, and untrained facts."
        },
    )
    seed: int = field(default=0, metadata={"help": "The same seed, model and machine give the same dataset."})
    dry_run: bool = field(
        default=False, metadata={"help": "Measure a sample, estimate the whole run from it, and write nothing."}
    )
    price_in: float = field(default=0.0, metadata={"help": "Price of a million prompt tokens, to compute the cost."})
    price_out: float = field(
        default=0.0, metadata={"help": "Price of a million completion tokens, to compute the cost."}
    )
    rounds: int | None = field(
        default=None,
        metadata={"help": "With a time budget: stop after this many rounds; 1 measures how long a unit takes."},
    )
    limit: int | None = field(
        default=None, metadata={"help": "Read only the first N sentences of each chunk, for a smoke test."}
    )

    @property
    def method(self) -> ModuleType:
        """The steps of the method that suit the model."""
        return METHODS[self.guard]


def can_judge(words: Sequence[str]) -> bool:
    """Whether the model of a collection with these arguments, as words of a command line, is trusted to judge facts."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--guard", choices=METHODS, default="quotes")
    return METHODS[parser.parse_known_args(words)[0].guard].CAN_JUDGE


def dataset_path(json_save_dir: str) -> Path:
    path = Path(json_save_dir)
    return path if path.suffix == ".json" else path / "data.json"


def check_arguments(arguments: CollectionArguments) -> Sequence[Document]:
    """The documents, after all arguments have been checked; nothing heavy is loaded before."""
    for name, minimum in (
        ("chunk_size_by_token", 64),
        ("qa_amount_per_fact", 1),
        ("role_amount_per_fact", 0),
        ("unknown_amount_per_chunk", 0),
        ("price_in", 0),
        ("price_out", 0),
    ):
        if getattr(arguments, name) < minimum:
            raise InputError(f"expected --{name} of at least {minimum}, found {getattr(arguments, name)}: raise it")
    if not 0 <= arguments.test_ratio <= 0.5:
        raise InputError(f"expected --test_ratio from 0 to 0.5, found {arguments.test_ratio}: change it")
    if arguments.rounds is not None and (arguments.rounds < 1 or not (arguments.time_budget or arguments.until)):
        raise InputError(f"expected a time budget and 1 or more with --rounds, found {arguments.rounds}: change it")
    if arguments.guard == "words" and arguments.verify == "llm":
        raise InputError(
            "expected --verify rules with --guard words, found llm: a small model cannot judge what it wrote"
        )
    if arguments.guard == "words":
        arguments.role_amount_per_fact = 0  # a small model writes no questions, so none as somebody else
    languages = ["auto", *load_prompts(arguments.prompts, arguments.method.PROMPTS)]
    if arguments.language not in languages:
        raise InputError(
            f"expected --language to be one of {', '.join(languages)}, found {arguments.language}: "
            f"choose one, or write data_processor/prompts/{arguments.language}.toml"
        )
    require_tokenizer(arguments.tokenizer)
    if arguments.dry_run:
        arguments.report_to = []  # there is nothing to report
    out = None if arguments.dry_run else dataset_path(arguments.json_save_dir).parent
    return read_documents(arguments.data_path, out)
