"""The page's process. Catches: a server that outlives the command that started it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest

import pmf
from pmf.app import launch
from pmf.data.readers.reading import Reading

pytest.importorskip("streamlit", reason="the page needs the extra app")
PATIENCE = 120  # seconds


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def until(condition) -> bool:
    """Whether a condition came true in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    frame = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 3], "rating": [1.0, 2, 3, 5]})
    path = tmp_path_factory.mktemp("launch") / "m.pmf"
    pmf.PMF(1, prior=pmf.IsotropicPrior(1, 1, 1, 1, 1), num_steps=2).fit(frame).save(path)
    return path


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT])
def test_no_signal_leaves_a_server(model, how):
    port = free_port()
    command = [sys.executable, "-m", "pmf", "app", str(model), "--port", str(port)]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert until(lambda: answers(port) or page.poll() is not None) and page.poll() is None
        page.send_signal(how)
        page.wait(PATIENCE)
        assert until(lambda: not answers(port))
        assert f"http://localhost:{port}" in page.stdout.readline()
    finally:
        page.kill()
        page.stdout.close()


def test_the_command_becomes_the_server(monkeypatch, tmp_path, capsys):
    """The same without waiting for a server: one process, told of the model and the address."""
    became = []
    monkeypatch.setattr(
        launch.os, "execve", lambda *arguments: became.append(arguments) or sys.exit(0)
    )
    monkeypatch.setattr(
        launch.subprocess, "run", lambda *arguments, **named: pytest.fail("a second")
    )
    with pytest.raises(SystemExit):
        reading = Reading(separator=";", columns={"user": "who"})
        launch.launch(tmp_path / "m.pmf", "ml-100k", 8765, "0.0.0.0", reading)
    ((program, command, environment),) = became
    assert program == command[0] == sys.executable and "--server.port=8765" in command
    assert "--server.address=0.0.0.0" in command
    assert Reading(**json.loads(environment[launch.READING])) == reading
    assert environment[launch.MODEL] == str(tmp_path / "m.pmf")
    assert environment[launch.DATA] == "ml-100k"
    assert "http://0.0.0.0:8765" in capsys.readouterr().out
