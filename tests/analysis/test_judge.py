"""A judge behind a real server on the loopback address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rzero.analysis.judge import API_KEY, Judge
from rzero.domains.arithmetic import arithmetic
from rzero.domains.base import Oracle
from rzero.errors import ConfigError, EngineError


class Server(ThreadingHTTPServer):
    """Answers questions of arithmetic as an OpenAI-compatible server would."""

    seen: list[dict[str, object]]
    keys: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(body)
        self.server.keys.append(self.headers["Authorization"])
        if self.path != "/v1/chat/completions":
            self.send_error(404)
            return
        question = body["messages"][0]["content"].partition("\n")[0]
        answer = arithmetic.oracle.solve(question).answer or "none"
        text = "no idea" if question == "mumble" else f"It is \\boxed{{{answer}}}."
        reply = {"odd": 1} if question == "odd" else {"choices": [{"message": {"content": text}}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.seen, server.keys = [], []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def judge(server: Server, path: str = "/v1") -> Judge:
    return Judge(url=f"http://127.0.0.1:{server.server_port}{path}", model="big")


def test_a_judge_is_an_oracle_that_remembers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, "secret")
    asked = judge(server)
    assert isinstance(asked, Oracle)
    asked.ask_all(["2+3", "7*8", "2+3"])
    assert [asked.solve(question).answer for question in ("2+3", "7*8")] == ["5", "56"]
    assert asked.solve("2+").problem == "ill-posed to the judge"
    assert asked.solve("mumble").problem == "no answer of the judge"
    assert len(server.seen) == 4
    assert {(body["model"], body["temperature"]) for body in server.seen} == {("big", 0)}
    assert set(server.keys) == {"Bearer secret"}


def test_a_judge_that_cannot_be_used_is_an_error(server: Server) -> None:
    with pytest.raises(EngineError, match="it answers 404"):
        judge(server, "/v2").solve("2+3")
    with pytest.raises(EngineError, match="holds no message"):
        judge(server).solve("odd")
    with pytest.raises(ConfigError, match="is not an address"):
        Judge(url="file:///etc/passwd", model="big")
    address = f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    with pytest.raises(EngineError, match=r"cannot be used: .*refused"):
        Judge(url=address, model="big").solve("2+3")
