"""Make a dataset from a folder of texts with an OpenAI-compatible API.

In and out: as data_collection_local.py. The key comes from the environment, as OPENAI_API_KEY.

    export OPENAI_API_KEY=...
    python data_processor/data_collection_api.py --api_model gpt-4o-mini --data_path my_texts --json_save_dir output/data.json

For half the price and a wait of up to a day a wave, run it with --batch submit and --batch collect in turn (exit code 4) until
the dataset is written; --batch files needs no server (docs/files.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from budget.watching import watched_clock
from data_processor.arguments import CollectionArguments, check_arguments, dataset_path
from data_processor.chunking import OPENAI_TOKENIZER
from data_processor.collection import collect
from data_processor.waves import check_batch_arguments, collect_in_waves
from engines.arguments import ApiArguments
from engines.load import load_api_engine
from utils import parse_arguments, run_script


@dataclass
class Arguments(ApiArguments, CollectionArguments):
    batch: Literal["submit", "collect", "files"] | None = field(
        default=None,
        metadata={
            "help": "Ask in waves by OpenAI's Batch API: submit sends what the collection needs next, collect fetches the "
            "answers, in turn, until the dataset is written. files: write the requests beside the dataset, and read the answers there."
        },
    )


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    if arguments.batch:
        check_batch_arguments(arguments)
    documents = check_arguments(arguments)
    tokenizer = arguments.tokenizer or OPENAI_TOKENIZER
    with watched_clock(arguments, "collection", dataset_path(arguments.json_save_dir).parent) as clock:
        if arguments.batch:
            collect_in_waves(tokenizer, documents, arguments, clock)
        else:
            collect(load_api_engine(arguments), tokenizer, documents, arguments, clock)


if __name__ == "__main__":
    run_script(main)
