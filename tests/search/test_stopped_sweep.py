"""What becomes of a sweep that is stopped or killed, and of what its Ray leaves behind.

Each is a real `emphasis` process that starts its own Ray; the one that resumes it joins another that runs already.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from brake import BRAKED
from brake import Brake
from driver_process import DriverProcess
from driver_process import RayProcess
from driver_process import eventually
from driver_process import joining
from sweep_record import SMALL
from sweep_record import TRIALS
from sweep_record import Record
from sweep_record import assert_complete
from sweep_record import assert_kept
from sweep_record import assert_nothing_runs

from search.errors import SweepBusy
from search.home import Home
from search.orchestrator import resume_sweep
from search.store import AttemptState
from search.store import Store
from search.store import SweepState
from search.store import TrialState

HELD = (*SMALL, *BRAKED, "--epochs", "2")


def resume(home: Path, record: Record, cluster: RayProcess) -> Record:
    """Resume a sweep from the beginning of its id; its record afterwards."""
    with DriverProcess(home, "resume", record.sweep.id[:-1], environment=joining(cluster)) as driver:
        assert driver.wait() == 0, driver.output
    return Record(Home(home))


def test_ctrl_c_ends_a_sweep_cleanly_and_says_how_to_resume(tmp_path: Path, brake: Brake) -> None:
    brake.let(2)
    with DriverProcess(tmp_path, "run", *HELD, environment=brake.environment) as driver:
        driver.wait_for(f"| 2/{TRIALS} trials")
        with Store.open(Home(tmp_path).store_url) as store:
            sweep_id = store.sweeps()[0].id
        with pytest.raises(SweepBusy, match="is being run by"):
            resume_sweep(sweep_id, home=tmp_path)
        servers = driver.processes()
        driver.interrupt()
        status = driver.wait()
        output = driver.output
    stopped = Record(Home(tmp_path))

    assert status == 1
    assert f"emphasis resume {sweep_id}" in output
    assert "Traceback" not in output
    assert (stopped.sweep.state, stopped.sweep.message) == (SweepState.PAUSED, "interrupted")
    assert 2 <= len(stopped.finished) < TRIALS
    assert_nothing_runs(stopped)
    assert not psutil.wait_procs(servers, timeout=120)[1]


@pytest.mark.long
def test_sigterm_ends_a_sweep_as_ctrl_c_does(tmp_path: Path, cluster: RayProcess, brake: Brake) -> None:
    brake.let(1)
    with DriverProcess(tmp_path, "run", *HELD, environment=joining(cluster)) as driver:
        driver.wait_for(f"| 1/{TRIALS} trials")
        driver.terminate()
        status = driver.wait()
        output = driver.output
    stopped = Record(Home(tmp_path))

    assert status == 1
    assert output.splitlines()[-1].startswith(f"Sweep {stopped.sweep.id} stopped: interrupted.")
    assert "SIGTERM" not in output
    assert stopped.sweep.state is SweepState.PAUSED
    assert_nothing_runs(stopped)


@pytest.mark.long
def test_killed_driver_leaves_no_process_and_its_sweep_resumes_without_repeating_finished_trials(
    tmp_path: Path, cluster: RayProcess, brake: Brake
) -> None:
    brake.let(3)
    with DriverProcess(tmp_path, "run", *HELD, "--concurrency", "2", environment=brake.environment) as driver:
        driver.wait_for("| searching |")
        brake.wait_until_held()
        eventually(lambda: len(Record(Home(tmp_path)).finished) >= 3)
        left = driver.kill()
    brake.open()
    killed = Record(Home(tmp_path))

    assert killed.sweep.state is SweepState.RUNNING  # it could not say a word
    assert 3 <= len(killed.finished) < TRIALS

    resumed = resume(tmp_path, killed, cluster)
    assert_kept(killed.finished, resumed)
    assert_complete(resumed)
    assert len(resumed.trials) == TRIALS
    lost = [
        attempt.reason
        for attempts in resumed.attempts.values()
        for attempt in attempts
        if attempt.state is AttemptState.LOST
    ]
    assert lost
    assert set(lost) == {"the process that ran it was killed"}
    # Ray's agents look for their raylet, and take a minute or so to believe that it is gone.
    assert not psutil.wait_procs(left, timeout=240)[1]


@pytest.mark.long
@pytest.mark.parametrize("killed", ["raylet", "gcs_server", "all"])
def test_when_ray_is_killed_the_driver_says_how_to_resume_and_resume_completes(
    tmp_path: Path, cluster: RayProcess, brake: Brake, killed: str
) -> None:
    brake.let(2)
    with DriverProcess(tmp_path, "run", *HELD, environment=brake.environment) as driver:
        driver.wait_for(f"| 2/{TRIALS} trials")
        for process in driver.processes():
            if killed in ("all", process.name()):
                process.kill()
        status = driver.wait()
        output = driver.output
    stopped = Record(Home(tmp_path))

    assert status == 1
    assert "Ray ended: its process" in output
    assert f"emphasis resume {stopped.sweep.id}" in output
    assert stopped.sweep.state is SweepState.PAUSED
    assert not [trial for trial in stopped.trials if trial.state is TrialState.FAILED]
    assert_nothing_runs(stopped)

    brake.open()
    resumed = resume(tmp_path, stopped, cluster)
    assert_kept(stopped.finished, resumed)
    assert_complete(resumed)
    assert len(resumed.trials) == TRIALS
