"""Make a dataset from a folder of .txt files with an OpenAI-compatible API.

In and out: as data_collection_local.py. The key comes from the environment, as OPENAI_API_KEY.

    export OPENAI_API_KEY=...
    python data_processor/data_collection_api.py --api_model gpt-4o-mini --data_path my_texts --json_save_dir output/data.json
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from budget.clock import stage_clock
from data_processor.arguments import CollectionArguments, check_arguments, dataset_path
from data_processor.chunking import OPENAI_TOKENIZER
from data_processor.collection import collect
from engines.arguments import ApiArguments
from engines.load import load_api_engine
from utils import parse_arguments, run_script


@dataclass
class Arguments(ApiArguments, CollectionArguments):
    pass


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    documents = check_arguments(arguments)
    with stage_clock(arguments, "collection", dataset_path(arguments.json_save_dir).parent) as clock:
        collect(load_api_engine(arguments), arguments.tokenizer or OPENAI_TOKENIZER, documents, arguments, clock)


if __name__ == "__main__":
    run_script(main)
