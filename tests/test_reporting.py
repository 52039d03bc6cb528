"""Whatever happens to wandb, TensorBoard and their kin, a training goes on. No network: servers are on loopback."""

from __future__ import annotations

import base64
import http.server
import json
import logging
import threading
from types import SimpleNamespace

import pytest
import transformers

from budget import wandb_run
from budget.wandb_run import saved_key, start_wandb, wandb_problem
from training.reporting import Reporter, guard_reporters, set_up_reporting

KEY = "k" * 40
STATE = SimpleNamespace(is_world_process_zero=True)


@pytest.fixture
def server():
    """Answers every request with `server.reply` and keeps what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            played.asked.append((self.path, self.headers["Authorization"], json.loads(body)))
            status, text = played.reply
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    played = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    played.asked, played.address = [], f"http://127.0.0.1:{played.server_port}"
    threading.Thread(target=played.serve_forever, daemon=True).start()
    yield played
    played.shutdown()
    played.server_close()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ((200, '{"data": {"viewer": {"id": "me"}}}'), None),
        ((200, '{"data": {"viewer": null}}'), "refuses the key"),
        ((200, "[]"), "refuses the key"),
        ((401, "{}"), "refuses the key"),
        ((403, "{}"), "refuses the key"),
        ((503, "{}"), "answers with status 503"),
        ((200, "<html>Sign in to the hotel</html>"), "cannot be reached (Expecting value: line 1 column 1 (char 0))"),
    ],
)
def test_a_wandb_server_is_asked_whether_it_takes_the_key(server, reply, problem):
    server.reply = reply
    assert wandb_problem(server.address + "/wandb/", KEY) == problem
    ((path, login, query),) = server.asked
    assert path == "/wandb/graphql" and "viewer" in query["query"]
    assert base64.b64decode(login.removeprefix("Basic ")) == b"api:" + KEY.encode()


def test_a_server_that_is_not_there_is_said_to_be_so(server):
    server.shutdown()
    server.server_close()
    assert wandb_problem(server.address, KEY) == "cannot be reached ([Errno 111] Connection refused)"


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    """The time limit of an HTTP client does not cover it."""
    answered = threading.Event()
    monkeypatch.setattr(wandb_run, "NETWORK_S", 0.01)
    monkeypatch.setattr(wandb_run.urllib.request, "urlopen", lambda *_, **__: answered.wait(5))
    assert wandb_problem("https://wandb.example", KEY) == "cannot be reached (no answer in 0.01 s)"
    answered.set()


@pytest.fixture
def arguments(monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", "/nowhere")
    monkeypatch.setattr(wandb_run, "wandb_server", lambda: "https://wandb.example")
    return SimpleNamespace(
        key=KEY,
        use_wandb=True,
        report_to=["tensorboard"],
        wandb_run_name="n",
        process_index=0,
        output_dir="/nowhere/lora",
    )


@pytest.mark.parametrize(
    ("changed", "problem", "mode"),
    [
        ({}, None, None),
        ({}, "refuses the key", "offline"),
        ({"key": None}, None, "offline"),
        ({"process_index": 1}, "asked by a rank that reports nothing", None),
    ],
)
def test_wandb_is_offline_without_a_key_or_a_server(arguments, monkeypatch, caplog, changed, problem, mode):
    monkeypatch.setattr(wandb_run, "wandb_problem", lambda server, key: problem)
    vars(arguments).update(changed)
    with caplog.at_level(logging.WARNING):
        set_up_reporting(arguments)
    assert wandb_run.os.environ.get("WANDB_MODE") == mode
    assert arguments.report_to == ["tensorboard", "wandb"] and arguments.run_name == "n" and arguments.key is None
    if mode and problem:
        assert caplog.messages == [
            "wandb: https://wandb.example refuses the key; logging goes on offline, `wandb sync` sends it later"
        ]
    else:
        assert caplog.messages == []


def test_nobody_is_asked_if_wandb_was_not_asked_for_or_is_offline_already(arguments, monkeypatch):
    monkeypatch.setattr(wandb_run, "wandb_problem", lambda *_: pytest.fail("asked"))
    wandb_run.os.environ["WANDB_MODE"] = "disabled"
    set_up_reporting(arguments)
    del wandb_run.os.environ["WANDB_MODE"]
    vars(arguments).update(use_wandb=False, report_to=[])
    set_up_reporting(arguments)
    assert arguments.report_to == [] and "WANDB_MODE" not in wandb_run.os.environ


def test_settings_that_wandb_refuses_end_nothing(arguments, monkeypatch):
    def refuse():
        raise ValueError("mode: Input should be 'online', 'offline' ...")

    monkeypatch.setattr(wandb_run, "wandb_server", refuse)
    set_up_reporting(arguments)
    assert arguments.report_to == ["tensorboard", "wandb"] and wandb_run.os.environ["WANDB_API_KEY"] == KEY


def test_a_key_that_wandb_login_saved_is_found(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text(f"machine wandb.example login user password {KEY}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert saved_key("https://wandb.example") == KEY and saved_key("https://other.example") is None


def play_wandb(monkeypatch, fails: tuple[str | None, ...]) -> list[dict]:
    """A wandb whose init fails in the modes `fails`."""
    started = []

    def init(mode, **options):
        if mode in fails:
            raise TimeoutError("Run initialization has timed out\nand more")
        started.append({"mode": mode, **options})

    played = SimpleNamespace(run=None, init=init, Settings=lambda **settings: settings)
    monkeypatch.setitem(__import__("sys").modules, "wandb", played)
    return started


def test_a_wandb_that_does_not_start_in_time_starts_offline(arguments, monkeypatch, caplog):
    started = play_wandb(monkeypatch, (None,))
    with caplog.at_level(logging.WARNING):
        start_wandb("n")
    assert started == [
        {
            "mode": "offline", "project": "KnowledgeUpdate", "name": "n",
            "settings": {"init_timeout": 10.0, "finish_timeout": 10.0},
        }
    ]  # fmt: skip
    assert caplog.messages == [
        "wandb: no start within seconds (Run initialization has timed out); logging goes on offline"
    ]


def test_wandb_starts_in_the_project_and_mode_of_the_environment(arguments, monkeypatch):
    started = play_wandb(monkeypatch, ())
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_MODE", "shared")
    start_wandb("n")
    assert [(one["mode"], one["project"], one["name"]) for one in started] == [("shared", "mine", "n")]


class WandbCallback(transformers.TrainerCallback):
    """Fails at its second entry, as wandb does when its service has gone."""

    def __init__(self, fails_at: int = 2):
        self.fails_at, self.entries = fails_at, []

    def on_log(self, args, state, control, logs=None, **_):
        self.given = (args, state, control)
        self.entries.append(logs["loss"])
        if len(self.entries) == self.fails_at:
            raise BrokenPipeError("the service has gone\nwith more words")


def test_a_reporter_that_fails_is_left_out_and_the_training_goes_on(caplog):
    callback = WandbCallback()
    reporter = Reporter(callback)
    with caplog.at_level(logging.WARNING):
        for loss in (3, 2, 1):
            assert reporter.on_log("arguments", STATE, "control", logs={"loss": loss}, model="m") is None
    assert callback.entries == [3, 2] and callback.given == ("arguments", STATE, "control")
    assert caplog.messages == ["Wandb: BrokenPipeError: the service has gone; the training goes on without it"]


def test_a_reporter_that_fails_without_a_word_is_named_by_its_error(caplog):
    def fail(*_, **__):
        raise TimeoutError

    callback = WandbCallback()
    callback.on_log = fail
    with caplog.at_level(logging.WARNING):
        Reporter(callback).on_log(None, STATE, None)
    assert caplog.messages == ["Wandb: TimeoutError: ; the training goes on without it"]


def test_wandb_that_starts_in_no_mode_is_left_out(arguments, monkeypatch, caplog):
    play_wandb(monkeypatch, (None, "offline"))
    reporter = Reporter(WandbCallback())
    with caplog.at_level(logging.WARNING):
        reporter.on_train_begin(SimpleNamespace(run_name="n"), STATE, None)
    assert caplog.messages[-1].startswith("Wandb: TimeoutError: Run initialization has timed out; the training goes on")
    assert reporter.callback is None
    other = Reporter(WandbCallback())
    other.on_train_begin(SimpleNamespace(run_name="n"), SimpleNamespace(is_world_process_zero=False), None)
    assert other.callback is not None, "only one rank reports"


def test_every_event_is_passed_on_and_only_reporters_are_guarded():
    events = [name for name in vars(transformers.TrainerCallback) if name.startswith("on_")]
    assert len(events) > 10 and all(name in vars(Reporter) for name in events)
    board, other = transformers.integrations.TensorBoardCallback(), transformers.TrainerCallback()
    trainer = SimpleNamespace(callback_handler=SimpleNamespace(callbacks=[board, other]))
    guard_reporters(trainer)
    first, second = trainer.callback_handler.callbacks
    assert isinstance(first, Reporter) and first.callback is board and second is other


def test_tensorboard_without_room_is_left_out(tmp_path, monkeypatch, caplog):
    """Its folder cannot be made, as on a full or read-only disk."""
    (tmp_path / "full").touch()
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "full" / "runs"))
    reporter = Reporter(transformers.integrations.TensorBoardCallback())
    state = SimpleNamespace(is_world_process_zero=True, is_hyper_param_search=False, global_step=1)
    arguments = SimpleNamespace(output_dir=str(tmp_path), to_json_string=lambda: "{}")
    with caplog.at_level(logging.WARNING):
        reporter.on_train_begin(arguments, state, None)
        reporter.on_log(arguments, state, None, logs={"loss": 1.0})
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith("TensorBoard: NotADirectoryError: ")
