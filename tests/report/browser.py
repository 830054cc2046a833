"""A page in a real browser: Chromium without a window."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAM = shutil.which("chromium")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip
# The page lies in a frame of a page that measures it: it allows no scripts itself.
FRAME = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="frame" style="border:0;width:{width}px;height:2000px" srcdoc="{page}"></iframe>
<script>
const frame = document.getElementById("frame");
frame.addEventListener("load", () => {{
  const page = frame.contentDocument;
  page.querySelectorAll("details").forEach(each => each.open = {is_open});
  const measures = {{
    width: page.documentElement.clientWidth,
    content_width: page.documentElement.scrollWidth,
    requests: frame.contentWindow.performance.getEntriesByType("resource").length,
    background: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    pictures: [...page.querySelectorAll("svg")].filter(
      each => each.getBoundingClientRect().height > 20).length,
  }};
  const result = document.createElement("pre");
  result.id = "measures";
  result.textContent = JSON.stringify(measures);
  document.body.append(result);
}});
</script>
"""


@dataclass(frozen=True)
class Measures:
    """Of a page as a browser shows it, in CSS pixels."""

    width: int
    content_width: int
    """More than `width` where the page can be scrolled sideways."""
    requests: int
    background: str
    pictures: int


def measure(page: str, directory: Path, *, width: int, dark: bool, is_open: bool) -> Measures:
    """Show the page at a width; `is_open` opens what is folded."""
    file = directory / "frame.html"
    file.write_text(
        FRAME.format(width=width, page=html.escape(page), is_open=str(is_open).lower()),
        encoding="utf-8",
    )
    assert PROGRAM
    done = subprocess.run(
        [
            PROGRAM, *OPTIONS, f"--user-data-dir={directory / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--window-size=1400,2000", "--dump-dom", file.as_uri(),
        ],
        env={"HOME": str(directory), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="measures">(.*?)</pre>', done.stdout)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return Measures(**json.loads(html.unescape(found[1])))
