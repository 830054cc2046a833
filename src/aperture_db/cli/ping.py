"""Tells a monitor about runs that cron starts, by the convention of healthchecks.io.

A POST to URL/start before the work, then to URL on success or URL/fail, with the end of the report
as its body. A monitor that cannot be reached is a warning: it changes neither the work nor the exit
code.
"""

from __future__ import annotations

import base64
import http.client
import threading
import urllib.error
import urllib.request
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from aperture_db import __version__
from aperture_db.errors import UsageError

TIMEOUT_SECONDS = 5.0
MAX_BODY_BYTES = 10_000


class Monitor:
    """One check of a monitor, named by its URL. The URL is a secret: whoever knows it can ping."""

    def __init__(self, url: str) -> None:
        """Raises UsageError for a URL that is not http or https."""
        try:
            parts = urlsplit(url)
            # Reading the port raises for one that is no number, or too large.
            has_host = bool(parts.hostname) and parts.port != 0
            is_usable = parts.scheme in ("http", "https") and has_host
            self.host = parts.netloc.rpartition("@")[2]
        except ValueError:
            is_usable = False
        if not is_usable or not url.isprintable() or " " in url:
            raise UsageError(
                "the URL to ping is not usable",
                why="it is not an http or https URL",
                next_step="check --ping or APERTURE_DB_PING_URL: https://hc-ping.com/UUID",
            )
        self._parts = parts

    def start(self) -> str | None:
        """Ping that the work begins. Returns the reason of a failure."""
        return self._ping("/start", b"")

    def finish(self, exit_code: int, report: str) -> str | None:
        """Ping success for the exit code 0, else failure. Returns the reason of a failure."""
        body = last_lines(f"{report}\nexit code {exit_code}\n")
        return self._ping("/fail" if exit_code else "", body)

    def _ping(self, suffix: str, body: bytes) -> str | None:
        """A thread, because the resolver of host names has no time limit of its own."""
        reasons: list[str | None] = []
        request = self._request(suffix, body)
        thread = threading.Thread(target=lambda: reasons.append(_send(request)), daemon=True)
        thread.start()
        thread.join(TIMEOUT_SECONDS)
        reason = reasons[0] if reasons else f"no answer within {TIMEOUT_SECONDS:g} s"
        return f"could not ping {self.host}: {reason}" if reason else None

    def _request(self, suffix: str, body: bytes) -> urllib.request.Request:
        headers = {
            "User-Agent": f"aperture-db/{__version__}",
            "Content-Type": "text/plain; charset=utf-8",
        }
        if self._parts.username is not None:
            headers["Authorization"] = _basic_authentication(self._parts)
        path = self._parts.path.rstrip("/") + suffix
        url = urlunsplit(self._parts._replace(netloc=self.host, path=path, fragment=""))
        return urllib.request.Request(  # noqa: S310
            url, data=body, headers=headers, method="POST"
        )


def last_lines(text: str) -> bytes:
    """The end of a text, of at most MAX_BODY_BYTES, in whole lines where possible."""
    body = text.strip().encode(errors="replace")
    if len(body) <= MAX_BODY_BYTES:
        return body
    tail = body[-MAX_BODY_BYTES:]
    whole_lines = tail.partition(b"\n")[2] or tail
    return whole_lines.decode(errors="ignore").encode()


def _send(request: urllib.request.Request) -> str | None:
    """Returns the reason of a failure, without the URL."""
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            response.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except urllib.error.URLError as error:
        return str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    return None


def _basic_authentication(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
