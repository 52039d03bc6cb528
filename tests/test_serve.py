"""A run behind a real server, asked by the real openai client: what it answers, and what ends it."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT, save_random_adapter
from transformers.utils.import_utils import is_serve_available
from tuned_runs import MAX_NEW_TOKENS, write_tuned_run

from engines.arguments import EngineArguments
from engines.placement import Placement
from engines.processes import start_child
from engines.serve import read_options, require_free, running_server, server_command, wait_until_ready
from engines.tuned_run import TunedRun
from utils import InputError, MostlyFailed

ENGINES = [
    pytest.param("transformers", marks=pytest.mark.skipif(not is_serve_available(), reason="fastapi is not installed")),
    pytest.param("vllm", marks=pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(run: Path, port: int, engine: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "engines.serve", str(run), "", engine, str(port)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model_path) -> Path:
    return write_tuned_run(tmp_path_factory.mktemp("run"), tiny_model_path)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_base_and_tuned_are_served_by_name_and_ctrl_c_ends_both(run, engine):
    import openai

    port = free_port()
    server = start(run, port, engine)
    try:
        ready = server.stdout.readline()
        assert f"http://127.0.0.1:{port}/v1" in ready, server.stderr.read()
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
        for name in ("tuned", "base"):
            expected = json.loads((run / f"{name}.json").read_text())[3]
            messages = [{"role": "user", "content": expected["question"]}]
            reply = client.chat.completions.create(model=name, messages=messages, max_tokens=MAX_NEW_TOKENS)
            assert reply.choices[0].message.content.strip() == expected["response"], "no temperature given: greedy"
            stream = client.chat.completions.create(
                model=name, messages=messages, max_tokens=MAX_NEW_TOKENS, stream=True
            )
            pieces = [part.choices[0].delta.content or "" for part in stream if part.choices]
            assert len(pieces) > 1 and "".join(pieces).strip() == expected["response"]
    finally:
        server.send_signal(signal.SIGINT)
        _, messages = server.communicate(timeout=120)
    assert server.returncode == 0 and messages.count("8 of 8 answers are inference.py's") == 2
    require_free(port)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_an_adapter_without_effect_ends_the_server(run, engine, tmp_path):
    """The server loads it without a word: its second matrices are zero, as those of one that was never trained."""
    from safetensors.torch import load_file, save_file

    for file in run.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for folder in ("lora", "log"):
        (tmp_path / folder).mkdir()
        for file in (run / folder).glob("*.*"):
            (tmp_path / folder / file.name).write_bytes(file.read_bytes())
    file = tmp_path / "lora" / "adapter_model.safetensors"
    save_file({name: value * ("lora_A" in name) for name, value in load_file(file).items()}, file)
    port = free_port()
    server = start(tmp_path, port, engine)
    written, messages = server.communicate(timeout=600)
    assert server.returncode == 2 and not written
    assert "found 0 of 8" in messages and "8 of 8 those of 'base': the adapter has no effect there" in messages
    require_free(port)


def test_a_server_that_ends_is_an_error_with_its_last_words(tmp_path):
    log_path = tmp_path / "server.log"
    with log_path.open("w") as output:
        server = start_child([sys.executable, "-c", "print('no such model'); exit(3)"], stdout=output)
    with pytest.raises(InputError, match=r"exit code 3; the end of .*server\.log:\nno such model"):
        wait_until_ready(server, free_port(), log_path)


def test_a_port_in_use_is_refused_before_anything_is_loaded():
    """The answers of the server there would be taken for ours."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(InputError, match="found a server there"):
        require_free(other.getsockname()[1])
    require_free(free_port())


@pytest.mark.parametrize("port", [-1, 0, 65536, 80800])
def test_a_number_that_is_no_port_is_refused(port):
    """With 0 a server takes any that is free, and would be waited for at another without an end."""
    with pytest.raises(InputError, match=f"expected a PORT from 1 to 65535, found {port}"):
        require_free(port)


# answers as a server that is ready, and ends once it is asked for /end
SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.flush()
        if self.path == "/end":
            print("no memory left", flush=True); os._exit(9)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """running_server with SERVER in the place of a real one; (server, address), as a context."""
    port = free_port()
    monkeypatch.setattr("engines.serve.place_model", lambda *_: Placement("transformers"))
    monkeypatch.setattr("engines.serve.require_installed", lambda _: None)
    monkeypatch.setattr("engines.serve.link_models", lambda run, engine, folder: folder.mkdir(parents=True))
    monkeypatch.setattr("engines.serve.server_command", lambda *_: [sys.executable, "-c", SERVER, str(port)])
    return running_server(TunedRun(tmp_path, "base", "lora", None), EngineArguments(), port, [])


def test_a_server_that_ends_when_it_was_ready_is_an_error_with_its_last_words(stand_in):
    """It ended the script with its exit code and without a word."""
    with (
        pytest.raises(InputError, match=r"exit code 9; the end of .*:\n(.*\n)*no memory left$"),
        stand_in as (server, address),
    ):
        urllib.request.urlopen(address.replace("/v1", "/end"), timeout=60).read()
        server.wait(60)


@pytest.mark.parametrize("error", [InputError, MostlyFailed])
def test_what_a_server_did_not_answer_is_told_with_its_log(stand_in, error):
    """Otherwise: `start the server or correct the address`, of a server that this program has started itself."""
    with pytest.raises(error, match=r"status 500 \(the server's log is .*server\.log\)"), stand_in:
        raise error("expected an answer, found status 500")


def test_what_a_server_that_ended_did_not_answer_is_told_with_its_last_words(stand_in):
    with pytest.raises(InputError, match=r"exit code 9; the end of"), stand_in as (server, address):
        urllib.request.urlopen(address.replace("/v1", "/end"), timeout=60).read()
        server.wait(60)
        raise InputError("expected the server to answer, found no connection: start the server")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--port", "9000"], "found --port: give PORT"),
        (["--max-model-len", "64", "--port=9000"], "found --port: give PORT"),
        (["--served_model_name=mine"], "found --served-model-name: leave it out"),
        (["--uds", "/tmp/a"], "found --uds: leave it out"),
        (["--lora-modules", "mine=lora"], "found --lora-modules: leave it out"),
        (["--ssl-certfile", "a.pem"], "found --ssl-certfile: put a proxy before it"),
        (["--served-model-name", "mine"], "found --served-model-name: leave it out"),
        (["--host", "192.0.2.1"], r"expected --host 0\.0\.0\.0, .*found 192\.0\.2\.1"),
        (["--host=::1"], "found ::1"),
    ],
)
def test_what_would_hide_the_server_from_its_check_is_refused_before_it_starts(options, remedy):
    """It would load, and be waited for without an end."""
    with pytest.raises(InputError, match=remedy):
        read_options(options)


@pytest.mark.parametrize(
    ("options", "exported", "key"),
    [
        (["--host", "0.0.0.0", "--max-model-len", "4096"], None, None),
        (["--api-key", "a", "b", "--host=localhost"], "c", "a"),
        (["--api_key=a_b"], None, "a_b"),
        ([], "c", "c"),
        ([], "", None),
    ],
)
def test_the_key_that_the_server_asks_for_is_known_to_the_check(monkeypatch, options, exported, key):
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    if exported is not None:
        monkeypatch.setenv("VLLM_API_KEY", exported)
    assert read_options(options) == key


def test_vllm_is_told_of_the_adapter_its_rank_and_both_names(tmp_path, tiny_model_path):
    save_random_adapter(tiny_model_path, tmp_path, 3)
    command = server_command(Placement("vllm", ["a GPU", "another"], 2), str(tmp_path), 8123)
    given = dict(itertools.pairwise(command[4:]))
    assert command[1:5] == ["-m", "vllm.entrypoints.cli.main", "serve", "base"]
    assert json.loads(given["--lora-modules"]) == {"name": "tuned", "path": str(tmp_path)}
    assert {name: given[name] for name in ("--served-model-name", "--max-lora-rank", "--port")} == {
        "--served-model-name": "base",
        "--max-lora-rank": "8",  # the least that vLLM has for a rank of 3
        "--port": "8123",
    }
    assert "--enable-lora" in command and given["--tensor-parallel-size"] == "2" and "float32" not in command
