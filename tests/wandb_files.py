"""What an offline run of wandb has in its file, which wandb has no reader for: LevelDB's log format with its own records."""

from __future__ import annotations

import json
from pathlib import Path

BLOCK, HEADER = 32768, 7  # bytes; a header: checksum (4), length (2), kind (1)
FIRST_HEADER = 7  # of the file: ":W&B", a magic number, a version


def read_records(path: Path) -> list:
    """The records of a run-ID.wandb."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts, records = path.read_bytes(), FIRST_HEADER, b"", []
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:  # too little is left of this block for a header
            place += BLOCK - place % BLOCK
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(Record.FromString(parts))
            parts = b""
    return records


def read_history(path: Path) -> list[dict]:
    """What was logged, one {name: value} for each call."""
    found = []
    for record in read_records(path):
        if record.WhichOneof("record_type") == "history":
            items = ((item.key or "/".join(item.nested_key), item.value_json) for item in record.history.item)
            found.append({name: json.loads(value) for name, value in items})
    return found


def read_run(path: Path):
    """Its id (run_id), name (display_name), group (run_group), project."""
    return next(one.run for one in read_records(path) if one.WhichOneof("record_type") == "run")
