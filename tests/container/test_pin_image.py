"""`make lock` pins the base image by its digest."""

from __future__ import annotations

import json
import runpy
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
TOKEN = "the token"


class Registry(BaseHTTPRequestHandler):
    """Answers as Docker Hub and its token service do."""

    digest = DIGEST

    def do_GET(self) -> None:
        assert self.path == "/token?service=x&scope=repository:library/debian:pull"
        self.answer({}, json.dumps({"token": TOKEN}).encode())

    def do_HEAD(self) -> None:
        is_right = (
            self.path == "/v2/library/debian/manifests/trixie-slim"
            and self.headers["Authorization"] == f"Bearer {TOKEN}"
            and "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
        )
        self.answer({"Docker-Content-Digest": self.digest} if is_right else {}, b"")

    def answer(self, headers: dict[str, str], content: bytes) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def pin(registry: str) -> Callable[[str], str]:
    function = runpy.run_path(str(ROOT / "docker" / "pin_image.py"))["pin"]

    def pin_text(text: str) -> str:
        return str(function(text, registry, f"{registry}/token?service=x"))

    return pin_text


def test_the_dockerfile_is_pinned_and_renewed(pin: Callable[[str], str]) -> None:
    text = (ROOT / "Dockerfile").read_text()
    pinned = pin(text)
    assert f"\nARG DEBIAN=debian:trixie-slim@{DIGEST}\n" in pinned
    assert pin(pinned.replace(DIGEST, "sha256:old")) == pinned
    assert len(pinned.splitlines()) == len(text.splitlines())


def test_every_stage_begins_with_what_is_pinned_or_named_by_who_builds() -> None:
    text = (ROOT / "Dockerfile").read_text()
    froms = [line.split() for line in text.splitlines() if line.startswith("FROM ")]
    stages = {words[3] for words in froms if words[2:3] == ["AS"]}
    assert {words[1] for words in froms} - stages == {"${DEBIAN}", "${APERTURE_IMAGE}"}


def test_an_answer_without_a_digest_changes_nothing(
    pin: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "digest", "moved")
    with pytest.raises(ValueError, match="no digest for library/debian:trixie-slim"):
        pin((ROOT / "Dockerfile").read_text())
