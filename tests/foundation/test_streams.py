"""Colour, width and animation, at a terminal and off it."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import struct
import subprocess
import termios

import pytest
from rich.table import Table

from aperture_db.cli.run import CommonOptions, Run
from aperture_db.render.console import ColorMode, make_console, wants_color
from aperture_db.render.progress import ProgressReporter
from tests.foundation.running import PROBE, probe_environment, run_probe
from tests.terminal import open_terminal
from tests.waiting import wait_until

ANSI = "\x1b["


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("mode", "environ", "at_terminal", "elsewhere"),
    [
        ("auto", {}, True, False),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {"NO_COLOR": ""}, True, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ("auto", {"FORCE_COLOR": "1"}, True, True),
        ("auto", {"FORCE_COLOR": "0"}, True, False),
        ("auto", {"FORCE_COLOR": ""}, True, False),
        ("auto", {"CLICOLOR_FORCE": "1"}, True, True),
        ("auto", {"CLICOLOR_FORCE": "0"}, True, False),
        ("auto", {"CLICOLOR_FORCE": "0", "FORCE_COLOR": "3"}, True, True),
        ("always", {"NO_COLOR": "1"}, True, True),
        ("always", {"TERM": "dumb"}, True, True),
        ("never", {"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_when_there_is_colour(
    mode: str, environ: dict[str, str], at_terminal: bool, elsewhere: bool
) -> None:
    assert wants_color(ColorMode(mode), FakeTerminal(), environ) is at_terminal
    assert wants_color(ColorMode(mode), io.StringIO(), environ) is elsewhere
    for stream, expected in ((FakeTerminal(), at_terminal), (io.StringIO(), elsewhere)):
        make_console(ColorMode(mode), stream, environ).print("text", style="error")
        assert (ANSI in stream.getvalue()) is expected


def run_at_terminal(*arguments: str, streams: str = "both", **variables: str) -> tuple[str, str]:
    """Run the probe at a terminal of 80 columns; what appeared there, and what went elsewhere."""
    screen, terminal = open_terminal()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*PROBE, *arguments],
        env=probe_environment(TERM="xterm", **variables),
        cwd="/",
        stdin=terminal,
        stdout=subprocess.PIPE if streams == "stderr" else terminal,
        stderr=subprocess.PIPE if streams == "stdout" else terminal,
        text=True,
    )
    os.close(terminal)
    elsewhere = "".join(map(str, filter(None, process.communicate())))
    shown = b""
    try:
        while chunk := os.read(screen, 65536):
            shown += chunk
    except OSError:
        pass  # Linux's way to say that nobody has the terminal open any more.
    os.close(screen)
    return shown.decode(), elsewhere


def test_each_stream_has_its_own_colour() -> None:
    wrong = ("-d", "postgresql://u@nowhere.invalid/d")
    shown, _ = run_at_terminal(*wrong)
    assert "\x1b[1;31merror: " in shown
    shown, elsewhere = run_at_terminal(*wrong, streams="stdout")
    assert (shown, elsewhere.partition(":")[0]) == ("", "error")
    assert ANSI not in run_at_terminal(*wrong, NO_COLOR="1")[0]
    assert ANSI not in run_at_terminal(*wrong, "--color", "never")[0]


def test_colour_off_a_terminal_only_on_demand() -> None:
    wrong = ("-d", "postgresql://u@nowhere.invalid/d")
    assert ANSI not in run_probe(*wrong).err
    assert ANSI in run_probe(*wrong, "--color", "always").err
    assert ANSI in run_probe(*wrong, FORCE_COLOR="1").err
    assert ANSI not in run_probe(*wrong, FORCE_COLOR="0").err


def test_help_heeds_colour_too() -> None:
    assert ANSI not in run_probe("--help").out
    assert ANSI not in run_probe("--help", FORCE_COLOR="0").out
    assert ANSI in run_probe("--help", FORCE_COLOR="1").out


def test_json_never_has_colour(admin_conninfo: str) -> None:
    done = run_probe("--json", "--color", "always", conninfo=admin_conninfo)
    assert ANSI not in done.out


def make_table() -> Table:
    table = Table("Name", "Value")
    table.add_row("x" * 300, "y" * 300)
    return table


def test_nothing_is_cut_or_wrapped_off_a_terminal(admin_conninfo: str) -> None:
    stream = io.StringIO()
    make_console(ColorMode.AUTO, stream, {}).print(make_table())
    assert f"│ {'x' * 300} │ {'y' * 300} │\n" in stream.getvalue()
    long = "word " * 1000
    done = run_probe("--sql", f"SELECT '{long}end'", conninfo=admin_conninfo)
    assert done.out == f"{long}end\n"


def test_what_text_looks_like_markup_stays(admin_conninfo: str) -> None:
    text = "[bold]x[/bold] :smile: [1, 2]"
    done = run_probe("--sql", f"SELECT '{text}'", conninfo=admin_conninfo)
    assert done.out == f"{text}\n"


def test_an_ascii_terminal_does_not_end_the_run(admin_conninfo: str) -> None:
    done = run_probe(
        "-q", "--json", "--sql", "SELECT 'Amélie'", conninfo=admin_conninfo,
        PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert done.code == 0
    assert json.loads(done.out)["data"] == {"values": ["Amélie"]}


def narrate(console_stream: io.StringIO, *, animated: bool, silent: bool = False) -> str:
    console = make_console(ColorMode.NEVER, console_stream, {"TERM": "xterm"})
    with ProgressReporter(console, animated=animated, silent=silent) as reporter:
        reporter.step("first", 1, 2)
        reporter.line("first is done")
        reporter.step("second", 2, 2)
    return console_stream.getvalue()


def test_progress_off_a_terminal_is_lines() -> None:
    assert narrate(io.StringIO(), animated=False) == "first is done\n"


def test_progress_at_a_terminal_is_a_bar_that_goes_away() -> None:
    shown = narrate(FakeTerminal(), animated=True)
    assert "first is done" in shown
    assert "2/2" in shown
    assert "\x1b[2K" in shown
    assert "\x1b[1m" not in shown


def test_prose_is_broken_between_words_and_only_at_a_terminal() -> None:
    text = "a/path/that/does/not/fit is [not] there"
    written = {}
    for stream in (io.StringIO(), FakeTerminal()):
        console = make_console(ColorMode.NEVER, stream, {})
        console.width = 20
        console.print_prose(text, mark="why:   ")
        written[stream.isatty()] = stream.getvalue()
    assert written[False] == f"why:   {text}\n"
    assert written[True] == "why:   a/path/that/does/not/fit\n       is [not]\n       there\n"


def test_a_command_in_a_sentence_is_not_broken() -> None:
    terminal = FakeTerminal()
    console = make_console(ColorMode.NEVER, terminal, {})
    console.width = 30
    command = "aperture-db backup --list --dir '/a b; c'"
    grant = 'GRANT SELECT ON "a; b" TO someone;'
    for step in (
        f"choose another of the backups: {command}",
        f"{command}; or as the owner of the tables run: {grant}",
        "aperture-db relink --users lists both of them with their ids",
    ):
        console.print_prose(step, mark="next:  ")
    assert terminal.getvalue().splitlines() == [
        "next:  choose another of the",
        "       backups:",
        f"       {command}",
        f"next:  {command};",
        "       or as the owner of the",
        "       tables run:",
        f"       {grant}",
        "next:  aperture-db relink --users",
        "       lists both of them with",
        "       their ids",
    ]


class InterruptedStream(io.StringIO):
    """A signal comes when a text is out already, and rich does not know that yet."""

    def flush(self) -> None:
        if self.getvalue().count("\n") == 1:
            self.write("^C\n")
            raise KeyboardInterrupt


def test_a_line_that_a_signal_breaks_off_is_not_repeated() -> None:
    stream = InterruptedStream()
    console = make_console(ColorMode.NEVER, stream, {})
    with pytest.raises(KeyboardInterrupt):
        console.print("a line")
    console.print("cleaned up")
    assert stream.getvalue() == "a line\n^C\ncleaned up\n"


def test_progress_without_any_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    with Run("probe", CommonOptions()).reporter() as reporter:
        reporter.line("unheard")


def test_silent_progress() -> None:
    for stream, animated in ((FakeTerminal(), True), (io.StringIO(), False)):
        assert narrate(stream, animated=animated, silent=True) == ""


def test_the_heartbeat_names_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aperture_db.render.progress.HEARTBEAT_SECONDS", 0.01)
    written = io.StringIO()
    console = make_console(ColorMode.NEVER, written, {})
    with ProgressReporter(console, animated=False, silent=False) as reporter:
        reporter.step("indexes")
        wait_until(lambda: "indexes" in written.getvalue(), "a heartbeat")
    line = next(line for line in written.getvalue().splitlines() if "indexes" in line)
    assert re.fullmatch(r"… indexes, \S+ \S+ so far", line)
