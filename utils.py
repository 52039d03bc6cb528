"""What the four stages share that has nothing to do with their subject: arguments, errors, files, one API call.

Nothing heavy is imported at the top, so that a wrong path is reported before torch is loaded.
"""

from __future__ import annotations

import argparse
import email.utils
import errno
import functools
import io
import json
import logging
import os
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

RETRIED_STATUS = (408, 409, 429, *range(500, 600))  # may go away on their own; any other status is final
QUOTA_USED_UP = "insufficient_quota"  # the code of a 429 that waiting does not cure
MAX_WAIT_S = 60
CONNECT_S = 10.0  # for a connection to a server, which may then take longer to answer
OWN_MACHINE = re.compile(r"https?://([^/@]*@)?(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1\])(:|/|$)", re.IGNORECASE)
CALL_PATH = "/chat/completions"  # after the address of a server
LINES_SUFFIXES = (".jsonl", ".ndjson")
SPACES = re.compile(r"\s*")
REMOVED_ARGUMENTS = Path(__file__).with_name("arguments_gone.toml")  # {name: what to do instead}
ADAPTER_SETTINGS = "knowledge_update.json"  # beside an adapter: the other settings it was trained with
NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.ENAMETOOLONG}
LOG_FOLDER = "log"  # in a run's folder: journals, meta files and anything else nobody opens first


class InputError(Exception):
    """The user's input cannot be used. The message says what was expected, what was found, where, and what to do."""


class MostlyFailed(Exception):
    """A stage has written its output, but most of the calls behind it failed, so that it cannot be relied on."""


class AnswersAwaited(Exception):
    """A stage can go on only when answers have come that were asked for in a batch. The message says where and how."""


def run_script(main: Callable[[], None]) -> None:
    """Run a script; its exit code is 2, with one line, for an InputError or a path that cannot be written, 3 for MostlyFailed.

    It is 4, with the message, for AnswersAwaited.
    """
    set_up_terminal()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "httpx2", "httpcore", "openai", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        main()
    except (InputError, MostlyFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else 3) from None
    except AnswersAwaited as awaited:
        print(f"waiting: {awaited}", file=sys.stderr)
        raise SystemExit(4) from None
    except OSError as error:
        if error.errno not in NOT_WRITABLE or error.filename is None:
            raise
        print(f"error: expected to use {error.filename}, found {error.strerror}: choose another place", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped: finished work is kept, run this again to continue", file=sys.stderr)
        raise SystemExit(130) from None


def set_up_terminal() -> None:
    """Let no output fail for a character that the terminal or log file cannot show, and redraw no line in a file."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the bars of libraries; where they are imported already:
        if "transformers" in sys.modules:
            sys.modules["transformers"].utils.logging.disable_progress_bar()


def parse_arguments(*dataclass_types: type, words: list[str] | None = None) -> tuple[Any, ...]:
    """Read the command line, or `words`, into an object for each dataclass; an unknown argument or value is an InputError."""
    from transformers.hf_argparser import HfArgumentParser

    class Parser(HfArgumentParser):
        def error(self, message: str) -> None:
            raise InputError(f"{Path(sys.argv[0]).name}: {message} (see --help)")

    parser = Parser(dataclass_types, description=(sys.modules["__main__"].__doc__ or "").partition("\n")[0])
    for no in (action for action in parser._actions if action.const is False):  # "--no_x" has the help of "--x"
        no.help, no.default = f"Turns --{no.dest} off.", argparse.SUPPRESS
    *parsed, unknown = parser.parse_args_into_dataclasses(words, return_remaining_strings=True)
    if unknown:
        raise InputError(f"expected arguments that --help lists, found {describe_unknown(unknown)}")
    return tuple(parsed)


def describe_unknown(unknown: list[str]) -> str:
    """Name the unknown parts of a command line and what to do about them: for former arguments, see REMOVED_ARGUMENTS."""
    removed = tomllib.loads(REMOVED_ARGUMENTS.read_text(encoding="utf-8"))
    names = [word.partition("=")[0].lstrip("-").replace("-", "_") for word in unknown if word.startswith("--")]
    advice = [f"--{name}, which was removed: {removed[name]}" for name in names if name in removed]
    return "; ".join(advice) or f"{' '.join(unknown)}: correct or remove it"


def require_file(path: str | Path, what: str, remedy: str) -> Path:
    """The path, if it is a non-empty file; otherwise InputError."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected {what} at {path}, found {'a folder' if path.is_dir() else 'nothing'}: {remedy}")
    if path.stat().st_size == 0:
        raise InputError(f"expected {what} at {path}, found an empty file: {remedy}")
    return path


def read_json(path: str | Path, what: str, remedy: str = "give another file", or_lines: bool = False) -> Any:
    """The content of a JSON file; InputError if it is missing, empty, not UTF-8 or not JSON.

    With `or_lines` the file may also hold JSON lines, whatever it is called; they become a list.
    """
    path = require_file(path, what, remedy)
    try:
        text = path.read_text(encoding="utf-8-sig")
        return parse_json_or_lines(text, path.suffix in LINES_SUFFIXES) if or_lines else json.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected {what} in UTF-8 at {path}, found byte {error.object[error.start]:#x} at {error.start}: save it as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].strip()
        found = repr(rest[:20]) if rest else "its end"
        raise InputError(
            f"expected {what} as JSON at {path}, found {found} in line {error.lineno} column {error.colno} ({error.msg}): correct it"
        ) from None


def parse_json_or_lines(text: str, is_lines: bool) -> Any:
    """One JSON value, or a list of those that follow one another; of a single one too if the file `is_lines`."""
    values, parse, place = [], json.JSONDecoder().raw_decode, SPACES.match(text).end()
    if not text.startswith("[", place):
        while place < len(text):
            value, end = parse(text, place)
            values.append(value)
            place = SPACES.match(text, end).end()
    return values if len(values) > 1 or (values and is_lines) else json.loads(text)


def log_file(path: str | Path) -> Path:
    """Where to write a file that belongs at `path` but that nobody opens first: in LOG_FOLDER beside it."""
    path = Path(path)
    return path.parent / LOG_FOLDER / path.name


def find_log_file(path: str | Path) -> Path:
    """Where to read it: in LOG_FOLDER, or at `path` itself if only an earlier version wrote it."""
    path, in_folder = Path(path), log_file(path)
    return path if path.exists() and not in_folder.exists() else in_folder


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file completely or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_text(path: str | Path, text: str | Iterable[str]) -> None:
    """Write a text, or one in pieces, completely or not at all: under a temporary name first, then renamed."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            file.writelines((text,) if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise InputError(
            f"expected to write {path}, found {error.strerror}: free the disk or give another path"
        ) from None
    finally:
        if unfinished.parent.is_dir():
            unfinished.unlink(missing_ok=True)


def llm_chat(
    messages: list[dict[str, str]],
    *,
    model: str,
    api_base: str | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    max_attempts: int = 5,
    retry_delay: float = 2.0,
    timeout: float = 300.0,
    on_retry: Callable[[BaseException], None] | None = None,
    read_answer: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Any:
    """Ask an OpenAI-compatible API once; to use another API, change this function and nothing else.

    `options` are passed on unchanged (max_tokens, temperature, seed, response_format). Errors that may go away on their own
    (RETRIED_STATUS, a lost connection, no answer within `timeout` seconds, an answer that is not the API's JSON) are
    retried, `max_attempts` calls in all, waiting `retry_delay` seconds, doubled each time, with jitter, or as long as the
    server's Retry-After asks for, at most MAX_WAIT_S; then the library's error is raised, or a JSONDecodeError for an
    answer that is not the API's JSON. `on_retry` is called with each error before a retry. `read_answer` makes the answer of
    the library's raw response, and raises what it finds wrong there. The key comes from the environment only.

    Returns an object with `.choices[0].message.content`, `.choices[0].finish_reason` and `.usage`.
    """
    import tenacity

    client = api_client(api_base, require_key(api_base, api_key_env), timeout)

    def call() -> Any:
        response = client.chat.completions.with_raw_response.create(model=model, messages=messages, **options)
        return read_answer(response) if read_answer else response.parse()

    backoff = tenacity.wait_exponential_jitter(multiplier=retry_delay, jitter=retry_delay, max=MAX_WAIT_S)

    def wait(state: tenacity.RetryCallState) -> float:
        response = getattr(state.outcome.exception(), "response", None)
        asked_for = None if response is None else parse_retry_after(response.headers.get("retry-after", ""))
        return backoff(state) if asked_for is None else min(asked_for, MAX_WAIT_S)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        stop=tenacity.stop_after_attempt(max_attempts),
        wait=wait,
        before_sleep=lambda state: on_retry(state.outcome.exception()) if on_retry else None,
        reraise=True,
    )
    return retrying(call)


def require_key(api_base: str | None, api_key_env: str = "OPENAI_API_KEY") -> str:
    """The API's key from the environment; "none" for a server given by `api_base`, which may need no key."""
    key = os.environ.get(api_key_env)
    if not key and not api_base:
        raise InputError(
            f"expected an API key in the environment variable {api_key_env}, found none: export it, or give --api_base"
        )
    return key or "none"


def is_transient(error: BaseException) -> bool:
    """Whether a call that failed with this error may succeed if it is made again."""
    import openai

    if getattr(error, "code", None) == QUOTA_USED_UP:
        return False
    no_answer = isinstance(error, openai.APIConnectionError | json.JSONDecodeError)
    return no_answer or getattr(error, "status_code", None) in RETRIED_STATUS


@functools.lru_cache
def api_client(api_base: str | None, key: str, timeout: float) -> Any:
    """One client for all calls: each new one costs 20 ms and a connection of its own.

    What follows a "?" in the address is sent with every call, such as Azure's api-version, which also has its own key header.
    The library appends CALL_PATH to the address, so one that was copied with it is taken without.
    """
    import openai

    address, _, query = (api_base or "").partition("?")
    address = address.rstrip("/").removesuffix(CALL_PATH)
    options = {"default_query": dict(parse_qsl(query)), "default_headers": {"api-key": key}} if query else {}
    if OWN_MACHINE.match(address or os.environ.get("OPENAI_BASE_URL", "")):
        options["http_client"] = openai.DefaultHttpxClient(trust_env=False)  # a proxy reaches no server of this machine
    limits = openai.Timeout(timeout, connect=min(timeout, CONNECT_S))
    try:
        return openai.OpenAI(base_url=address or None, api_key=key, timeout=limits, max_retries=0, **options)
    except (ImportError, ValueError) as error:  # the proxy of the environment: SOCKS, or no address
        raise InputError(f"expected a proxy that can be used, found {error}: correct or unset HTTPS_PROXY") from None


def address_of(api_base: str | None) -> str:
    """Where calls go, in a message: `api_base`, or what the library takes from OPENAI_BASE_URL, or has of its own."""
    import openai

    if api_base or "OPENAI_BASE_URL" not in os.environ:
        return api_base or str(openai.OpenAI(api_key="none").base_url)
    return f"{os.environ['OPENAI_BASE_URL'].strip() or 'no address'} (from OPENAI_BASE_URL)"


def parse_retry_after(retry_after: str) -> float | None:
    """The seconds that a Retry-After header asks for, given as a number or a date (RFC 9110, 10.2.3); None if neither."""
    if retry_after.replace(".", "", 1).isdigit():
        return float(retry_after)
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())
