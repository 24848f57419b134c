"""A command beside a Ray node of its own: neither outlives the other, and the command is stopped once and in peace."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from compose_file import FOLDER

# In place of `ray`, whose real node test_compose.py starts: what counts here is who is told to end, and when.
RAY = """#!/bin/bash
trap 'echo node ends >> "$LOG"; exit 15' TERM
echo "ray $*" >> "$LOG"
while [ -e "$RUNS" ]; do sleep 0.05; done
exit 7
"""
COMMAND = """
trap 'echo told to stop >> "$LOG"; sleep 0.2; echo command ends >> "$LOG"; exit 3' TERM
echo command starts >> "$LOG"
while [ ! -e "$DONE" ]; do sleep 0.05; done
exit 4
"""

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a command beside a node, and wait until both run."""
    ray = tmp_path / "bin" / "ray"
    ray.parent.mkdir()
    ray.write_text(RAY)
    ray.chmod(0o755)
    (tmp_path / "runs").touch()
    names = {name: str(tmp_path / name.lower()) for name in ("LOG", "RUNS", "DONE")}

    def started() -> subprocess.Popen[bytes]:
        program = [FOLDER / "bin" / "beside-ray-node", "ray-head:6379", "bash", "-c", COMMAND]
        process = subprocess.Popen(program, env={"PATH": f"{ray.parent}:{os.defpath}", **names})
        while len(said(tmp_path)) < 2:
            assert process.poll() is None
        return process

    return started


def said(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_told_to_stop_it_stops_the_command_once_and_the_node_after_it(start: Start, tmp_path: Path) -> None:
    process = start()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 3
    assert said(tmp_path)[2:] == ["told to stop", "command ends", "node ends"]


def test_told_to_stop_before_the_command_has_begun_it_leaves_nothing_behind(tmp_path: Path) -> None:
    # A shell that stands still between the start of the command and the next line, and is told to stop there.
    program = (FOLDER / "bin" / "beside-ray-node").read_text()
    held = program.replace("\ncommand=$!\n", '\nkill -TERM $$\ncommand=$!\necho $command > "$LOG"\n')
    assert held != program
    (tmp_path / "held").write_text(held)
    (tmp_path / "ray").write_text("#!/bin/bash\nexec sleep 60\n")
    (tmp_path / "ray").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.defpath}", "LOG": str(tmp_path / "log")}
    done = subprocess.run(["bash", tmp_path / "held", "ray-head:6379", "sleep", "60"], env=environment, timeout=50)
    assert done.returncode == 128 + signal.SIGTERM
    (command,) = said(tmp_path)
    assert not Path(f"/proc/{command}").exists()


def test_a_command_that_has_ended_before_it_is_waited_for_does_not_leave_the_node_behind(tmp_path: Path) -> None:
    program = (FOLDER / "bin" / "beside-ray-node").read_text()
    slow = program.replace("\ncommand=$!\n", '\ncommand=$!\nwhile kill -0 "$command" 2>/dev/null; do :; done\n')
    assert slow != program
    (tmp_path / "slow").write_text(slow)
    (tmp_path / "ray").write_text("#!/bin/bash\nexec sleep 60\n")
    (tmp_path / "ray").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.defpath}"}
    killed = ["bash", "-c", "kill -KILL $$"]
    done = subprocess.run(["bash", tmp_path / "slow", "ray-head:6379", *killed], env=environment, timeout=50)
    assert done.returncode == 128 + signal.SIGKILL


def test_when_the_node_ends_the_command_is_stopped(start: Start, tmp_path: Path) -> None:
    process = start()
    (tmp_path / "runs").unlink()
    assert process.wait(60) == 3
    assert said(tmp_path)[2:] == ["told to stop", "command ends"]


def test_when_the_command_ends_the_node_is_stopped_and_its_status_is_the_command_s(
    start: Start, tmp_path: Path
) -> None:
    process = start()
    (tmp_path / "done").touch()
    assert process.wait(60) == 4
    assert said(tmp_path)[2:] == ["node ends"]


def test_node_takes_no_trials(start: Start, tmp_path: Path) -> None:
    process = start()
    (joined,) = [line for line in said(tmp_path) if line.startswith("ray ")]
    assert joined.startswith("ray start --block --address=ray-head:6379 --num-cpus=0 --num-gpus=0")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
