"""Batches at a server with OpenAI's routes for them: files/, batches/, files/ID/content.

What was sent is in a journal, so that no file of requests is sent twice: a line is written after the upload, and one after
the batch was made. If a kill comes between that and its line, the batch is found again by the file that it reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engines.arguments import ApiArguments
from engines.batch_files import ENDPOINT, answers_file
from engines.dialect import what_failed
from engines.journal import append_line, read_journal
from utils import InputError, address_of, api_client, require_key, write_text

ENDED = ("completed", "failed", "expired", "cancelled")
WINDOW = "24h"  # the only one there is
LISTED = 100  # batches a page

log = logging.getLogger(__name__)


class BatchServer:
    """Sends files of requests as batches and fetches their answers. `state` is the journal of what was sent."""

    def __init__(self, arguments: ApiArguments, state: Path):
        key = require_key(arguments.api_base)
        self.client = api_client(arguments.api_base, key, arguments.timeout)
        # where sending twice does no harm
        self.patient = self.client.with_options(max_retries=arguments.max_attempts - 1)
        self.address, self.state = address_of(arguments.api_base), state
        self.sent: dict[str, dict[str, str]] = {}  # by name and hash of a file of requests: "file" and "batch", ids
        read_journal(state, self._read_line, "a journal of batches")

    def _read_line(self, line: dict[str, str]) -> None:
        self.sent.setdefault(f"{line['requests']} {line['sha256']}", {}).update(line)

    def _record(self, requests: Path, **ids: str) -> None:
        line = {"requests": requests.name, "sha256": hash_file(requests), **ids}
        append_line(self.state, line)
        self._read_line(line)

    def _of(self, requests: Path) -> dict[str, str]:
        return self.sent.get(f"{requests.name} {hash_file(requests)}", {})

    def submit(self, requests: Path) -> str:
        """The id of the batch for a file of requests; it is sent unless it was before."""
        known = self._of(requests)
        if "batch" in known:
            return known["batch"]
        with self._calling(f"take {requests}"):
            batch = self._find_batch(known["file"]) if "file" in known else None
            if batch is None:
                if "file" not in known:
                    with requests.open("rb") as file:
                        uploaded = require_id(self.patient.files.create(file=file, purpose="batch"))
                    self._record(requests, file=uploaded)
                file_id = self._of(requests)["file"]
                made = self.client.batches.create(input_file_id=file_id, endpoint=ENDPOINT, completion_window=WINDOW)
                batch = require_id(made)
        self._record(requests, batch=batch)
        return batch

    def fetch(self, requests: Path) -> str | None:
        """Write the answers to a file of requests if its batch has ended; else how far it is. None if it was not sent."""
        batch_id = self._of(requests).get("batch")
        if batch_id is None:
            return None
        with self._calling(f"know batch {batch_id}"):
            batch = self.patient.batches.retrieve(batch_id)
            require_id(batch)
            counts = batch.request_counts
            done = f"{counts.completed} of {counts.total} requests answered" if counts else "no request answered"
            if batch.status not in ENDED:
                return f"{batch_id} is {batch.status}, {done}"
            outputs = [batch.output_file_id, batch.error_file_id]  # "" or None for a file that there is not
            texts = [self.patient.files.content(one).content.decode("utf-8") for one in outputs if one]
        errors = "; ".join(f"{error.code} ({error.message})" for error in (batch.errors and batch.errors.data) or [])
        log.info("%s, batch %s: %s, %s%s", requests.name, batch_id, batch.status, done, errors and f": {errors}")
        write_text(
            answers_file(requests), "".join(text if text.endswith("\n") else f"{text}\n" for text in texts if text)
        )
        return ""

    def _find_batch(self, file_id: str) -> str | None:
        """The id of the batch that reads an uploaded file."""
        batches = self.patient.batches.list(limit=LISTED)
        return next((batch.id for batch in batches if batch.input_file_id == file_id), None)

    @contextlib.contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        """InputError if the server refuses or does not answer."""
        import openai

        try:
            yield
        except (openai.OpenAIError, ValueError) as error:
            reason, words = what_failed(error)
            raise InputError(
                f"expected the server at {self.address} to {what}, found {reason} ({words}): check key, address and quota, "
                "and run this again; nothing is sent twice"
            ) from None


def require_id(answer: Any) -> str:
    """The id in a server's answer; JSONDecodeError if it is not the API's, such as the page of a proxy."""
    if not isinstance(found := getattr(answer, "id", None), str):
        raise json.JSONDecodeError(f"an answer that is not the API's JSON: {str(answer)[:100]!r}", str(answer), 0)
    return found


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
