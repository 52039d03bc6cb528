"""Make a dataset from a folder of .txt files with an OpenAI-compatible API.

In and out: as data_collection_local.py. The key comes from the environment variable --api_key_env names.

    export OPENAI_API_KEY=...
    python data_processor/data_collection_api.py --api_model gpt-4o-mini --data_path my_texts --json_save_dir output/data.json
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_processor.collection import CollectionArguments, check_arguments, collect
from utils import parse_arguments, run

TOKENIZER = "tiktoken:gpt-4o"  # counts the tokens of chunks where --tokenizer is not given


@dataclass
class Arguments(CollectionArguments):
    api_model: str = field(default="", metadata={"help": "The model's name at the server."})
    api_base: str | None = field(
        default=None, metadata={"help": "The server's address, such as http://localhost:8000/v1."}
    )
    api_key_env: str = field(default="OPENAI_API_KEY", metadata={"help": "Environment variable that holds the key."})
    max_attempts: int = field(default=5, metadata={"help": "Tries of a call that may pass by itself."})
    retry_delay: float = field(default=2.0, metadata={"help": "Seconds before the first repeat, doubled each time."})
    concurrency: int = field(
        default=1,
        metadata={
            "help": "Calls at once. 1 is the careful default; 8 to 32 are many times faster where the server allows it, "
            "and after a kill up to 8 times as many calls are repeated."
        },
    )
    rpm: int | None = field(default=None, metadata={"help": "Most requests a minute."})
    tpm: int | None = field(default=None, metadata={"help": "Most tokens a minute, prompt and reply, estimated."})


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    documents = check_arguments(arguments)

    from api_engine import ApiEngine

    names = ("api_base", "api_key_env", "max_attempts", "retry_delay", "concurrency", "rpm", "tpm")
    engine = ApiEngine(arguments.api_model, **{name: getattr(arguments, name) for name in names})
    collect(engine, arguments.tokenizer or TOKENIZER, documents, arguments)


if __name__ == "__main__":
    run(main)
