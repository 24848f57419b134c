"""The command line: what is said, what is written, and the exit status."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
import yaml
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from rich.console import Console
from typer.testing import CliRunner
from typer.testing import Result

from search.cli import app
from search.cli.output_file import check_output_file
from search.owner import this_process
from search.spec import SweepSpec
from search.store import Store
from spaces import Configuration
from trainers.errors import InvalidInput
from trainers.noise import noise_model_names

RECORDED = ("status", "list", "show", "logs", "export", "ui")
UPKEEP = ("backup", "restore", "prune")
STEERING = ("pause", "resume", "cancel", "delete")
LISTS = ("supervisions", "spaces", "datasets", "noise-models", "backbones")
COMMANDS = ("run", "submit", "validate", "compare", "estimate-noise", *STEERING, *RECORDED, *LISTS, *UPKEEP)
HEAVY = ("torch", "ray", "optuna", "mlflow", "matplotlib", "sqlalchemy", "sklearn", "pandas", "scipy", "cleanlab")

Emphasis = Callable[..., Result]
SweepFile = Callable[[str], Path]


@pytest.fixture
def emphasis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Emphasis:
    """Call a command with `tmp_path` as home folder, where the `store` fixture's store is too."""
    monkeypatch.setenv("EMPHASIS_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return call


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "sweep.yaml"
        file.write_text(text)
        return file

    return write


def documents(dry_run: Result) -> list[dict[str, Any]]:
    """The specs that a dry run printed."""
    assert dry_run.exit_code == 0, dry_run.stderr
    return list(yaml.safe_load_all(dry_run.stdout))


def example_lines() -> list[str]:
    """Every call of emphasis in the help of every command, its continued lines joined."""
    root = typer.main.get_command(app)
    commands = [root, *(root.commands[name] for name in COMMANDS)]
    text = "\n".join(command.help or "" for command in commands).replace("\\\n", " ")
    return re.findall(r"^\s+emphasis (\S.*)$", text, flags=re.MULTILINE)


class TestHelp:
    def test_importing_the_command_line_loads_nothing_heavy(self) -> None:
        code = f"import search.cli, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_explains_itself_with_an_example(self, emphasis: Emphasis, command: str) -> None:
        told = emphasis(command, "--help")
        assert told.exit_code == 0
        assert f"emphasis {command}" in told.stdout

    def test_the_help_names_every_command(self, emphasis: Emphasis) -> None:
        told = emphasis("--help").stdout
        assert all(re.search(rf"\b{command}\b", told) for command in COMMANDS)

    @pytest.mark.parametrize("example", example_lines())
    def test_examples_are_accepted_as_they_stand(self, example: str) -> None:
        root = typer.main.get_command(app)
        words = shlex.split(example)
        name = next(word for word in words if word in root.commands)
        place = words.index(name)
        context = root.make_context("emphasis", words[: place + 1])
        assert root.commands[name].make_context(name, words[place + 1 :], parent=context).command.name == name

    def test_there_are_examples_to_check(self) -> None:
        assert len(example_lines()) > 15

    def test_an_unknown_command_is_bad_input(self, emphasis: Emphasis) -> None:
        assert emphasis("serch").exit_code == 2


class TestValidate:
    def test_sound_file_is_valid_for_each_of_its_noise_rates(
        self, emphasis: Emphasis, sweep_file: Callable[[str], Path]
    ) -> None:
        done = emphasis("validate", sweep_file("dataset: digits\nnoise_rate: [0.2, 0.4]\ntrials: 8"))
        assert done.exit_code == 0
        assert [line.rsplit(": ", 1)[1] for line in done.stdout.splitlines()] == ["valid", "valid"]
        assert "noise rate 0.2, 20 trials" in done.stdout

    def test_everything_wrong_is_said_at_once_a_field_a_line(
        self, emphasis: Emphasis, sweep_file: Callable[[str], Path]
    ) -> None:
        text = "dataset: digit\nnoise_rate: 1.4\ntrials: -3\nbackbone: resnet21\ntraining: {epoch: 3}"
        done = emphasis("validate", sweep_file(text))
        assert done.exit_code == 2
        assert done.stdout == ""
        said = {line.split(" = ")[0]: line for line in done.stderr.splitlines()}
        assert set(said) == {"dataset", "noise_rate", "trials", "backbone", "training.epoch"}
        assert "Did you mean digits?" in said["dataset"]
        assert "1.4: must be below 1. Give" in said["noise_rate"]
        assert "epochs" in said["training.epoch"]

    def test_missing_file_is_bad_input(self, emphasis: Emphasis, tmp_path: Path) -> None:
        done = emphasis("validate", tmp_path / "none.yaml")
        assert done.exit_code == 2
        assert "none.yaml" in done.stderr
        assert "Traceback" not in done.stderr


class TestDryRun:
    SMALL = ("--dataset", "digits", "--epochs", "2", "--limit-train", "200", "--dry-run")

    def test_shows_full_spec_trial_count_and_a_timed_estimate(self, emphasis: Emphasis) -> None:
        options = ("--noise-rate", "0.4", "--trials", "5", "--concurrency", "2", "--lanes", "3")
        done = emphasis("run", *self.SMALL, *options)
        (spec,) = documents(done)
        assert (spec["concurrency"], spec["lanes"]) == (2, 3)
        assert spec["sampler"] == "tpe"
        assert spec["backbone"] == "mlp"
        assert spec["training"]["epochs"] == 2
        assert spec["training"]["momentum"] == 0.9
        assert "# trials: 17 = 5 search + 9 confirm + 3 CCE baseline" in done.stdout
        assert re.search(r"# estimate: .*, 2 at once, 2 in a process, .*from timing \d+ steps", done.stdout)

    def test_records_nothing(self, emphasis: Emphasis, store: Store) -> None:
        emphasis("run", *self.SMALL, "--noise-rate", "0.4")
        assert store.sweeps() == []

    def test_what_it_prints_is_a_file_that_asks_for_the_same(
        self, emphasis: Emphasis, sweep_file: Callable[[str], Path]
    ) -> None:
        first = emphasis("run", *self.SMALL, "--noise-rate", "0.4", "--space", "paper-table-3")
        again = emphasis("run", sweep_file(first.stdout), "--dry-run")
        assert documents(again) == documents(first)

    def test_options_override_the_file(self, emphasis: Emphasis, sweep_file: Callable[[str], Path]) -> None:
        text = (
            "dataset: digits\nnoise_rate: [0.2, 0.4]\nlimit_train: 200\n"
            "training: {iterations: 7, batch_size: 32}\nconfirm: {top: 2, seeds: 4}"
        )
        overriding = ("--noise-rate", "0.6", "--epochs", "2", "--confirm-top", "1", "--gpus", "0")
        (spec,) = documents(emphasis("run", sweep_file(text), *overriding, "--dry-run"))
        assert spec["noise_rate"] == 0.6
        assert spec["training"]["epochs"] == 2
        assert "iterations" not in spec["training"]
        assert spec["training"]["batch_size"] == 32
        assert spec["confirm"] == {"top": 1, "seeds": 4, "defaults": False}

    def test_each_noise_rate_is_a_sweep_of_its_own(self, emphasis: Emphasis) -> None:
        done = emphasis("run", *self.SMALL, "--noise-rate", "0.2", "--noise-rate", "0.6")
        assert [spec["noise_rate"] for spec in documents(done)] == [0.2, 0.6]

    @pytest.mark.parametrize(
        ("space", "trials"),
        [
            ("paper-figures-6-9", 18),
            ("{kind: grid, beta: [4, 8], lam: [0.5, 1]}", 4),
            ("[[8, 0.5], [12, 0.5], {beta: 16, lam: 1}]", 3),
        ],
    )
    def test_space_is_a_name_or_yaml(self, emphasis: Emphasis, space: str, trials: int) -> None:
        (spec,) = documents(emphasis("run", *self.SMALL, "--noise-rate", "0.4", "--space", space))
        assert spec["trials"] == trials
        assert spec["sampler"] == "grid"

    def test_estimate_rests_on_recorded_trials_that_did_the_same_work(
        self, emphasis: Emphasis, record_sweep: RecordSweep
    ) -> None:
        asked = SweepSpec.model_validate(
            {"dataset": "digits", "noise_rate": 0.4, "limit_train": 200, "training": {"epochs": 2}}
        )
        other = SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4})
        record_sweep("same", spec=asked.to_json_dict()).searched((12, 0.5), 0.9, 0.8, 0.7)
        record_sweep("longer", spec=other.to_json_dict()).searched((12, 0.5), 0.9)
        done = emphasis("run", *self.SMALL, "--noise-rate", "0.2", "--concurrency", "2")
        # 30 search trials in 15 rounds and 12 fresh ones in 6, of 0.4 s each.
        assert "# estimate: at most 8.4 s, 2 at once, 0.4 s a trial (median of 3 recorded trials" in done.stdout

    def test_a_trial_takes_as_long_as_the_lanes_of_its_process_together(
        self, emphasis: Emphasis, record_sweep: RecordSweep
    ) -> None:
        asked = SweepSpec.model_validate(
            {"dataset": "digits", "noise_rate": 0.4, "limit_train": 200, "training": {"epochs": 2}, "lanes": 3}
        )
        record_sweep("same", spec=asked.to_json_dict()).searched((12, 0.5), 0.9, 0.8, 0.7)
        done = emphasis("run", *self.SMALL, "--noise-rate", "0.2", "--concurrency", "3", "--lanes", "3")
        # 30 search trials in 10 rounds and 12 fresh ones in 4, of three times 0.4 s each.
        assert "# estimate: at most 17 s, 3 at once, 3 in a process, 1.2 s a trial (median of 3 recorded" in done.stdout

    def test_paths_are_made_absolute_so_that_a_sweep_can_be_resumed_from_elsewhere(
        self, emphasis: Emphasis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import numpy as np

        labels = np.arange(40) % 4
        images = np.zeros((40, 6), np.float32)
        images[:, 0] = labels
        np.savez(
            tmp_path / "mine.npz", x_train=images, y_train=labels, x_test=images[:8], y_test=labels[:8]
        )
        monkeypatch.chdir(tmp_path)
        options = ("--dataset", "mine.npz", "--noise-rate", "0.3", "--epochs", "1", "--dry-run")
        (spec,) = documents(emphasis("run", *options))
        assert spec["dataset"] == str(tmp_path / "mine.npz")

    def test_processors_that_this_machine_lacks_are_refused_but_valid_elsewhere(
        self, emphasis: Emphasis, sweep_file: Callable[[str], Path]
    ) -> None:
        done = emphasis("run", *self.SMALL, "--noise-rate", "0.4", "--cpus", "4096")
        assert done.exit_code == 2
        assert done.stderr.startswith("resources.cpus = 4096.0: Ray has ")
        text = "dataset: digits\nnoise_rate: 0.4\nresources: {cpus: 4096}"
        assert emphasis("validate", sweep_file(text)).exit_code == 0

    def test_hopeless_noise_rate_is_warned_of(self, emphasis: Emphasis) -> None:
        done = emphasis("run", *self.SMALL, "--noise-rate", "0.95")
        assert done.exit_code == 0
        objective, warning = done.stderr.splitlines()
        assert objective.startswith("Objective: final accuracy on the intact labels")
        assert warning.startswith("Warning: noise_rate = 0.95")


    def test_a_supervision_is_asked_for_by_name_with_its_fixed_values(self, emphasis: Emphasis) -> None:
        space = "{kind: ranges, dimensions: {weight_decay: {low: 1e-5, high: 1e-2, log: true}}}"
        options = ("--supervision", "gce", "--set", "q=0.5", "--space", space)
        done = emphasis("run", *self.SMALL, "--noise-rate", "0.4", *options)
        (spec,) = documents(done)
        assert (spec["supervision"], spec["hyperparameters"]) == ("gce", {"q": 0.5})
        assert spec["space"]["supervision"] == "gce"
        assert "from timing" in done.stdout

    def test_what_is_fixed_or_left_to_its_default_is_printed(self, emphasis: Emphasis) -> None:
        options = ("--supervision", "gce", "--space", "[{dropout: 0.1}, {dropout: 0.2}]")
        (spec,) = documents(emphasis("run", *self.SMALL, "--noise-rate", "0.4", *options))
        assert spec["hyperparameters"] == {"q": 0.7}


class TestListing:
    def test_supervisions_are_listed_with_their_hyperparameters_and_defaults(self, emphasis: Emphasis) -> None:
        lines = {line.split()[0]: line for line in emphasis("supervisions").stdout.splitlines()}
        assert {"gr", "cce", "mae", "gce"} <= lines.keys()
        assert lines["gce"].endswith("[q = 0.7]")
        assert "[beta, lambda, transform = exp, normalise = batch]" in lines["gr"]

    def test_spaces_and_datasets_are_listed_with_a_line_each(self, emphasis: Emphasis) -> None:
        lines = {line.split()[0]: line for line in emphasis("spaces").stdout.splitlines()}
        assert lines["gce"].endswith("gce, q in [0.05, 1]")
        assert {"kappa", "box", "l2", "dropout", "paper-table-7"} <= lines.keys()
        lines = {line.split()[0]: line for line in emphasis("datasets").stdout.splitlines()}
        assert "1,437 + 360 images" in lines["digits"]

    def test_noise_models_and_backbones_are_listed_with_a_line_each(self, emphasis: Emphasis) -> None:
        lines = {line.split()[0]: line for line in emphasis("noise-models").stdout.splitlines()}
        assert list(lines) == noise_model_names()
        assert "truck→automobile" in lines["asymmetric_cifar10"]
        lines = {line.split()[0]: line for line in emphasis("backbones").stdout.splitlines()}
        assert {"mlp", "resnet20", "resnet110", "torchvision:NAME"} <= lines.keys()

    @pytest.mark.parametrize("kind", ["supervisions", "spaces", "datasets", "backbones"])
    def test_a_plugin_that_does_not_load_says_so_and_breaks_no_list(
        self, emphasis: Emphasis, install_package: Callable[..., None], kind: str
    ) -> None:
        install_package(f"emphasis.{kind}", {"broken": "example_missing:Thing"})
        done = emphasis(kind)
        assert done.exit_code == 0
        (line,) = [each for each in done.stdout.splitlines() if each.startswith("broken")]
        others = [each for each in done.stdout.splitlines() if each != line]
        assert "cannot be used: the plugin emphasis-example (example_missing:Thing) does not load" in line
        assert not [other for other in others if "cannot be used" in other]


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--weights", "/nosuch.pt"), "training.weights = "),
            (("--space", "{kind: ranges, dimensions: {lambda: [0, 1]}}", "--set", "beta=-3"), "hyperparameters.beta"),
        ],
    )
    def test_one_mistake_is_one_error_under_the_name_that_a_file_has_for_it(
        self, emphasis: Emphasis, options: tuple[str, ...], said: str
    ) -> None:
        done = emphasis("run", "--dataset", "digits", "--noise-rate", "0.4", *options)
        assert done.exit_code == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(said)

    def test_a_file_of_two_sweeps_says_how_to_write_them(self, emphasis: Emphasis, sweep_file: SweepFile) -> None:
        rates = ("--noise-rate", "0.2", "--noise-rate", "0.6")
        dry = emphasis("run", "--dataset", "digits", *rates, "--trials", "3", "--epochs", "1", "--dry-run").stdout
        done = emphasis("validate", sweep_file(dry))
        assert done.exit_code == 2
        assert "holds a second sweep at line" in done.stderr
        assert "noise_rate: [0.2, 0.6]" in done.stderr

    def test_where_nothing_can_be_written_no_work_is_begun(self, emphasis: Emphasis, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        within = tmp_path / "file" / "inside"
        for command in (("compare", "--supervision", "gce", "--dry-run"), ("estimate-noise", "--epochs", "1")):
            done = emphasis(*command, "--dataset", "digits", "--noise-rate", "0.4", "--output", within)
            assert done.exit_code == 2
            assert done.stderr.startswith(f"output = '{within}': cannot be written")
            assert done.stdout == ""

    def test_what_is_no_file_may_be_written_to(self, tmp_path: Path) -> None:
        check_output_file(Path("/dev/null"))
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "there" / "table.md")
        check_output_file(tmp_path / "link")
        (tmp_path / "astray").symlink_to(tmp_path / "nowhere" / "table.md")
        with pytest.raises(InvalidInput, match="nowhere is no writable folder"):
            check_output_file(tmp_path / "astray")
        with pytest.raises(InvalidInput, match="is a folder"):
            check_output_file(tmp_path)

    def test_labels_are_written_to_a_file_of_a_kind_that_there_is(self, emphasis: Emphasis, tmp_path: Path) -> None:
        done = emphasis("labels", "--dataset", "digits", "--noise-rate", "0.4", "-o", tmp_path / "labels.txt")
        assert done.exit_code == 2
        assert done.stderr.startswith(f"output = '{tmp_path / 'labels.txt'}': ends in none of .npy, .csv, .npz.")

    def test_arrays_of_others_are_told_from_labels_and_text_from_arrays(
        self, emphasis: Emphasis, tmp_path: Path
    ) -> None:
        np.savez(tmp_path / "other.npz", x=np.zeros(3))
        (tmp_path / "text.npz").write_text("label,weight\n1,2\n")
        noise = ("--noise-model", "file", "--noise-file", tmp_path / "other.npz")
        done = emphasis("run", "--dataset", "digits", *noise, "--dry-run")
        assert "not a file of corrupted labels (it has no 'labels'). Give one that `emphasis" in done.stderr
        done = emphasis("run", "--dataset", tmp_path / "text.npz", "--noise-rate", "0.4", "--dry-run")
        assert "cannot be read as .npz (it is cut off, or no .npz at all)" in done.stderr
        assert "pickle" not in done.stderr

    @pytest.mark.parametrize("command", ["run", "compare"])
    def test_an_address_of_ray_that_is_none_is_refused_before_anything_else(
        self, emphasis: Emphasis, command: str
    ) -> None:
        done = emphasis(command, "--dataset", "digits", "--noise-rate", "0.4", "--ray-address", "head", "--dry-run")
        assert done.exit_code == 2
        assert done.stderr.startswith("ray_address = 'head': is no host:port.")

    @pytest.mark.parametrize("option", ["q", "=1", "q="])
    def test_a_fixed_value_without_name_or_value_is_bad_input(self, emphasis: Emphasis, option: str) -> None:
        done = emphasis("run", "--dataset", "digits", "--noise-rate", "0.4", "--set", option)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"set = {option!r}: is not of the form name=value")

    def test_a_value_fixed_twice_is_bad_input(self, emphasis: Emphasis) -> None:
        done = emphasis("run", "--dataset", "digits", "--noise-rate", "0.4", "--set", "q=1", "--set", "q=2")
        assert done.exit_code == 2
        assert "gives q a second time" in done.stderr

    def test_run_says_everything_wrong_at_once_and_records_nothing(
        self, emphasis: Emphasis, store: Store
    ) -> None:
        wrong = ("--noise-rate", "0.2", "--noise-rate", "x", "--trials", "1.5", "--gpus", "1/x")
        done = emphasis("run", "--dataset", "cifar11", *wrong, "--sampler", "tp", "--epochs", "-1")
        assert done.exit_code == 2
        fields = {line.split(" = ")[0] for line in done.stderr.splitlines()}
        assert fields == {
            "dataset",
            "noise_rate[1]",
            "trials",
            "resources.gpus",
            "sampler",
            "training.epochs",
        }
        assert store.sweeps() == []

    def test_compare_says_what_is_wrong_with_each_supervision_and_once_what_is_wrong_with_all(
        self, emphasis: Emphasis
    ) -> None:
        wrong = ("--dataset", "digits", "--noise-rate", "0.4", "--trials", "0")
        done = emphasis("compare", *wrong, "--supervision", "gce", "--supervision", "gc", "--supervision", "forwards")
        assert done.exit_code == 2
        found = sorted(line.split(":")[0] for line in done.stderr.splitlines())
        assert found == ["supervision = 'forwards'", "supervision = 'gc'", "trials = 0"]

    def test_run_without_anything_says_what_is_required(self, emphasis: Emphasis) -> None:
        done = emphasis("run")
        assert done.exit_code == 2
        assert [line.split(" = ")[0] for line in done.stderr.splitlines()] == ["dataset", "noise_rate"]

    def test_broken_yaml_of_a_space_is_named(self, emphasis: Emphasis) -> None:
        options = ("--dataset", "digits", "--noise-rate", "0.4", "--space", "{kind: box")
        done = emphasis("run", *options)
        assert done.exit_code == 2
        assert done.stderr.startswith("space = '{kind: box': is no valid YAML")

    def test_a_home_folder_of_nobody_is_bad_input(self, emphasis: Emphasis, store: Store, tmp_path: Path) -> None:
        for option in (["--data-dir", "~nobody-here"], ["--dataset", "~nobody-here/x.npz"]):
            told = emphasis("run", "--dataset", "digits", "--noise-rate", "0.4", *option)
            assert told.exit_code == 2
            assert "begins with the home folder of nobody" in told.stderr
        for command in (
            ("run", "--dataset", "digits", "--noise-rate", "0.4", "--home", "~nobody-here/emphasis"),
            ("estimate-noise", "--dataset", "digits", "--data-dir", "~nobody-here"),
            ("labels", "--dataset", "cifar10", "--data-dir", "~nobody-here", "-o", tmp_path / "labels.npy"),
            ("labels", "--dataset", "digits", "--noise-rate", "0.4", "-o", "~nobody-here/labels.npy"),
            ("backup", "~nobody-here/backup.tar.gz"),
        ):
            told = emphasis(*command)
            assert told.exit_code == 2, command
            assert "begins with the home folder of nobody" in told.stderr

    def test_home_that_cannot_be_a_folder_is_bad_input(self, emphasis: Emphasis, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = emphasis("list", "--home", tmp_path / "file")
        assert done.exit_code == 2
        assert done.stderr.startswith("home = ")

    def test_sweep_that_another_process_runs_is_not_resumed(
        self, emphasis: Emphasis, record_sweep: RecordSweep, store: Store
    ) -> None:
        sweep = record_sweep("busy", spec=SweepSpec(dataset="digits", noise_rate=0.4).to_json_dict())
        store.claim_sweep(sweep.id, this_process(), is_alive=lambda owner, heartbeat: True)
        done = emphasis("resume", "busy")
        assert done.exit_code == 1
        assert "is being run by" in done.stderr

    def test_resuming_an_unknown_sweep_is_bad_input(
        self, emphasis: Emphasis, record_sweep: RecordSweep
    ) -> None:
        record_sweep("digits-one")
        done = emphasis("resume", "digits-two")
        assert done.exit_code == 2
        assert "digits-one" in done.stderr


class TestHome:
    def test_home_is_taken_before_and_after_the_command(self, emphasis: Emphasis, tmp_path: Path) -> None:
        before = emphasis("--home", tmp_path / "before", "list")
        after = emphasis("--home", tmp_path / "before", "list", "--home", tmp_path / "after")
        assert (tmp_path / "before" / "emphasis.db").exists()
        assert str(tmp_path / "before") in before.stdout
        assert str(tmp_path / "after") in after.stdout

    def test_commands_in_messages_carry_the_home_that_was_given(
        self, emphasis: Emphasis, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "with space"
        assert f"`emphasis --home '{elsewhere}' run" in emphasis("list", "--home", elsewhere).stdout
        assert f"`emphasis --home '{elsewhere}' run" in emphasis("show", "x", "--home", elsewhere).stderr
        assert "`emphasis run" in emphasis("list").stdout


class TestList:
    def test_shows_state_progress_and_best(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep
    ) -> None:
        record_sweep("digits-new", noise_rate=0.2)
        header, new, done = emphasis("list").stdout.splitlines()
        assert header.split() == ["sweep", "state", "trials", "β", "λ", "objective", "noise", "backbone", "created"]
        assert new.split()[:4] == ["digits-new", "queued", "0/0", "–"]
        assert done.split()[:9] == ["digits-done", "done", "25/25,", "1", "failed", "16", "1", "0.960", "0.4"]

    def test_where_other_supervisions_were_searched_each_sweep_says_which(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep
    ) -> None:
        other = record_sweep("digits-gce", supervision="gce")
        other.searched(Configuration.of("gce", q=0.5), 0.9)
        header, gce, gr = emphasis("list").stdout.splitlines()
        assert header.split()[3:6] == ["supervision", "best", "objective"]
        assert gce.split()[3:6] == ["gce", "q=0.5", "0.900"]
        assert gr.split()[5:9] == ["gr", "β=16", "λ=1", "0.960"]

    def test_sweep_of_a_person_whose_process_died_is_paused(
        self, emphasis: Emphasis, record_sweep: RecordSweep, store: Store
    ) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", "from search.owner import this_process; print(this_process())"],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            owner, _ = process.communicate()
        store.claim_sweep(record_sweep("dead").id, owner.strip(), is_alive=lambda owner, heartbeat: True)
        store.claim_sweep(
            record_sweep("alive").id, this_process(), is_alive=lambda owner, heartbeat: True
        )
        states = dict(line.split()[:2] for line in emphasis("list").stdout.splitlines())
        assert states["dead"] == "paused"
        assert states["alive"] == "running"
        assert "resume   `emphasis resume dead`" in emphasis("show", "dead").stdout

    def test_only_what_was_asked_for(
        self, emphasis: Emphasis, record_sweep: RecordSweep, confirmed_sweep: RecordedSweep
    ) -> None:
        record_sweep("other", dataset="cifar10", noise_rate=0.2)
        assert "digits-done" not in emphasis("list", "--dataset", "cifar10").stdout
        assert "other" not in emphasis("list", "--noise-rate", "0.4").stdout
        none = emphasis("list", "--dataset", "cifar10", "--noise-rate", "0.4").stdout
        assert "No sweep matches" in none
        assert "list` without options shows all." in none

    @pytest.mark.parametrize(("width", "left_out"), [(60, {"best", "trials"}), (80, {"supervision"}), (100, {"noise"})])
    def test_ids_states_and_objectives_are_whole_on_a_narrow_terminal(
        self, width: int, left_out: set[str], emphasis: Emphasis, record_sweep: RecordSweep,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        for number, supervision in enumerate(("gr", "gce")):
            sweep = record_sweep(f"digits-r40-261122-140000-ef5{number}", supervision=supervision)
            values = {"beta": 4.9, "lam": 0.9374, "learning_rate": 0.06619} if supervision == "gr" else {"q": 0.225}
            sweep.searched(Configuration.of(supervision, **values), 0.954)
            sweep.searched(Configuration.of(supervision, **dict.fromkeys(values, 0.5)), None)
        console = Console(width=width)
        monkeypatch.setattr("search.cli.recorded.output", lambda: console)
        with console.capture() as captured:
            emphasis("list")
        header, *rows = captured.get().splitlines()
        assert not left_out & {*header.split()}
        assert max(map(len, rows)) <= width
        for sweep_id in ("digits-r40-261122-140000-ef50", "digits-r40-261122-140000-ef51"):
            assert any(re.search(rf"^{sweep_id}  queued .* 0\.954\b", row) for row in rows)

    def test_what_is_wider_than_the_terminal_is_broken_into_lines_and_never_cut(
        self, emphasis: Emphasis, record_sweep: RecordSweep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sweep = record_sweep(f"{'photographs-' * 6}r40-261122-140000-ef5")
        sweep.searched((4, 1), 0.954)
        console = Console(width=60)
        monkeypatch.setattr("search.cli.recorded.output", lambda: console)
        with console.capture() as captured:
            emphasis("list")
        columns = list(zip(*(line.ljust(60) for line in captured.get().splitlines()), strict=True))
        told = "".join("".join(column) for column in columns).replace(" ", "")
        assert max(map(len, captured.get().splitlines())) <= 60
        assert sorted(set(sweep.id) - set(told)) == []
        assert sum(map(len, captured.get().split())) >= len(sweep.id + "queued" + "0.954")

    def test_a_file_or_pipe_holds_a_table_as_wide_as_it_needs(
        self, emphasis: Emphasis, record_sweep: RecordSweep
    ) -> None:
        record_sweep("digits-r40-261122-140000-ef56", backbone=f"torchvision:{100 * 'x'}", submitter=50 * "a")
        told = emphasis("list").stdout
        assert all(text in told for text in ("digits-r40-261122-140000-ef56", 100 * "x", 50 * "a", "created"))


class TestShow:
    def test_shows_spec_trials_recommendation_and_reasons(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep
    ) -> None:
        told = emphasis("show", "digits-d").stdout
        assert "state    done" in told
        assert "kind: kappa" in told
        assert "Recommended: beta = 16, lambda = 1" in told
        assert "CCE beside it: intact accuracy 0.610 ± 0.006 (n=3)" in told
        assert "failed 12: the loss is not finite" in told
        assert len(re.findall(r"^\d+ +(?:search|confirm|baseline)", told, flags=re.MULTILINE)) == 25

    def test_a_narrow_terminal_shows_what_was_trained_and_how_it_went(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wide = emphasis("show", "digits-done").stdout
        console = Console(width=80)
        monkeypatch.setattr("search.cli.recorded.output", lambda: console)
        with console.capture() as captured:
            emphasis("show", "digits-done")
        header, narrow = (
            next(line for line in captured.get().splitlines() if line.startswith(start)) for start in ("trial ", "12 ")
        )
        assert re.search(r"^trial .* seed +starts", wide, flags=re.MULTILINE)
        assert "starts" not in header
        assert "gr(beta=" in narrow
        assert "…" not in captured.get()
        assert max(map(len, captured.get().splitlines())) <= 80

    def test_json_holds_everything(self, emphasis: Emphasis, confirmed_sweep: RecordedSweep) -> None:
        told = json.loads(emphasis("show", "digits-done", "--json").stdout)
        assert told["sweep"]["id"] == "digits-done"
        assert told["sweep"]["state"] == "done"
        assert told["progress"]["failed"] == 1
        assert told["recommendation"]["recommended"]["beta"] == 16
        assert [trial["number"] for trial in told["trials"]] == list(range(25))
        assert told["trials"][12]["reason"] == "the loss is not finite"
        assert told["trials"][12]["objective"] is None

    def test_sweep_without_trials_is_shown(self, emphasis: Emphasis, record_sweep: RecordSweep) -> None:
        record_sweep("empty")
        assert emphasis("show", "empty").exit_code == 0
        assert json.loads(emphasis("show", "empty", "--json").stdout)["recommendation"] is None

    def test_unknown_sweep_is_bad_input(self, emphasis: Emphasis, record_sweep: RecordSweep) -> None:
        record_sweep("digits-one")
        done = emphasis("show", "digits-two")
        assert done.exit_code == 2
        assert "Use one of: digits-one." in done.stderr


class TestExport:
    def test_every_format_names_the_recommended_point(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep
    ) -> None:
        for format in ("json", "yaml", "csv", "md"):
            done = emphasis("export", "--dataset", "digits", "--noise-rate", "0.4", "--format", format)
            assert done.exit_code == 0
            assert "digits-done" in done.stdout
        objects = json.loads(emphasis("export", "--dataset", "digits").stdout)
        assert objects[0]["recommended"]["beta"] == 16

    def test_a_sweep_that_is_named_is_written_whichever_is_newest(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep
    ) -> None:
        newer, empty = record_sweep("digits-newer"), record_sweep("digits-empty")
        newer.confirmed((9, 1), 0.90, 0.91)
        newer.done()
        for asked, beta in ((("--dataset", "digits"), 9), (("--sweep", "digits-done"), 16)):
            (found,) = json.loads(emphasis("export", *asked).stdout)
            assert found["recommended"]["beta"] == beta
        refused = emphasis("export", "--sweep", "digits-done", "--dataset", "digits")
        assert refused.exit_code == 2
        assert refused.stderr.startswith("sweep, dataset = 'digits-done': names one sweep")
        nothing = emphasis("export", "--sweep", empty.id)
        assert nothing.exit_code == 2
        assert nothing.stderr.startswith("sweep = 'digits-empty': recommends nothing")

    def test_output_is_replaced_whole_through_a_link_and_keeps_its_permissions(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep, tmp_path: Path
    ) -> None:
        folder = tmp_path / "exported"
        folder.mkdir()
        file, link = folder / "best.json", folder / "link.json"
        file.write_text("old")
        file.chmod(0o640)
        link.symlink_to(file)
        assert emphasis("export", "--output", link).exit_code == 0
        assert json.loads(file.read_text())[0]["dataset"] == "digits"
        assert link.is_symlink()
        assert file.stat().st_mode & 0o777 == 0o640
        assert sorted(os.listdir(folder)) == ["best.json", "link.json"]

    def test_new_output_is_as_readable_as_any_file(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep, tmp_path: Path
    ) -> None:
        (tmp_path / "usual").touch()
        emphasis("export", "--output", tmp_path / "new.json")
        assert (tmp_path / "new.json").stat().st_mode == (tmp_path / "usual").stat().st_mode

    def test_nothing_to_export_leaves_the_file_and_says_what_there_is(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep, tmp_path: Path
    ) -> None:
        file = tmp_path / "best.json"
        file.write_text("old")
        done = emphasis("export", "--dataset", "digits", "--noise-rate", "0.8", "--output", file)
        assert done.exit_code == 2
        assert "There is: digits at noise_rate 0.4" in done.stderr
        assert file.read_text() == "old"

    @pytest.mark.parametrize(
        ("option", "value"), [("--format", "xls"), ("--output", "no/such/folder/best.json")]
    )
    def test_unusable_format_or_output_is_bad_input(
        self, emphasis: Emphasis, confirmed_sweep: RecordedSweep, option: str, value: str
    ) -> None:
        done = emphasis("export", option, value)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"{option[2:]} = '{value}'")


@pytest.mark.parametrize("name", ["list", "export"])
def test_a_noise_rate_that_is_no_number_is_bad_input(emphasis: Emphasis, name: str) -> None:
    done = emphasis(name, "--noise-rate", "abc")
    assert done.exit_code == 2
    assert done.stderr.startswith("noise_rate = 'abc': is not a number.")


class TestUi:
    def test_port_in_use_is_bad_input(self, emphasis: Emphasis) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = emphasis("ui", "--port", port)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"port = {port}: cannot be listened on")

    def test_record_of_a_server_is_looked_at_there(
        self, emphasis: Emphasis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        done = emphasis("ui")
        assert done.exit_code == 2
        assert "Open http://127.0.0.1:9 in a browser" in done.stderr
