"""The arguments of run_all.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from budget.watching import WatchArguments


@dataclass(kw_only=True)
class Arguments(WatchArguments):
    model_name_or_path: str = field(metadata={"help": "A model folder, or a name on the Hugging Face hub."})
    data_path: str = field(metadata={"help": "Folder of the documents."})
    out: str = field(default="output/run", metadata={"help": "Folder for all output."})
    test_data_path: str | None = field(
        default=None,
        metadata={"help": "Test questions; by default a tenth of the collection's, held out of training."},
    )
    retention_data_path: str | None = field(
        default=None,
        metadata={
            "help": 'General questions, to measure forgetting; "none": none. Default: ours in the documents\' language.'
        },
    )
    open_book: bool = field(
        default=True, metadata={"help": "Also ask the base model with the document, if time allows."}
    )
    system_prompt: str | None = field(default=None, metadata={"help": "For training and asking alike."})
    collect_args: str = field(default="", metadata={"help": "More arguments for the collection, in one string."})
    finetune_args: str = field(default="", metadata={"help": "More arguments for finetune.py."})
    inference_args: str = field(default="", metadata={"help": "More arguments for inference.py."})
    evaluate_args: str = field(default="--judge match", metadata={"help": "More arguments for evaluate.py."})
    ray_address: str | None = field(
        default=None,
        metadata={
            "help": "A Ray cluster on whose machines to collect, ask, judge and train: auto (the one this machine belongs to) or "
            "HOST:PORT. They must share the files. Without, everything runs here."
        },
    )
    plan_only: bool = field(default=False, metadata={"help": "Calibrate, print what the budget buys, and stop."})
    way: Literal["onward", "anew", "beside"] = field(
        default="onward",
        metadata={
            "help": "Once the documents have changed: onward from the last adapter on what is new and some of the rest, anew "
            "from the base model on all, or a second adapter beside the first."
        },
    )
    quiz: bool = field(
        default=False,
        metadata={
            "help": "Ask the base model first: facts that it knows are not trained, and what it says is replayed."
        },
    )
    newer: list[str] = field(
        default_factory=list,
        metadata={"help": "Documents that replace all others they contradict, where no date tells; the newest last."},
    )
