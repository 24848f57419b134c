from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_ABOVE = ("ray", "optuna", "mlflow", "sqlalchemy", "pydantic", "search", "spaces")
# Needed by some data sets only, so imported where they are read.
_LAZY = ("torchvision", "sklearn")


def run_alone(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loss_in_a_users_own_loop_brings_nothing_but_torch() -> None:
    script = f"""
import sys
import torch
from trainers import GradientRescaling
logits = torch.zeros(4, 10, requires_grad=True)
GradientRescaling(beta=8, lam=0.5)(logits, torch.tensor([1, 0, 3, 9])).backward()
assert logits.grad.any()
print([name for name in {_ABOVE + _LAZY} if name in sys.modules])
"""
    assert run_alone(script).strip() == "[]"


def test_the_loss_works_where_nothing_but_torch_is_installed() -> None:
    script = """
import sys
for name in ("numpy", "torchvision", "sklearn", "PIL"):
    sys.modules[name] = None  # importing it fails, as where it is not installed
import torch
import trainers
for name in trainers.__all__:
    getattr(trainers, name)
logits = torch.zeros(4, 10, requires_grad=True)
trainers.GradientRescaling(beta=8, lam=0.5)(logits, torch.tensor([1, 0, 3, 9])).backward()
print(bool(logits.grad.any()))
"""
    assert run_alone(script).strip() == "True"


def test_no_module_of_trainers_imports_the_rooms_above_it_or_a_data_source() -> None:
    script = f"""
import importlib, pkgutil, sys
import trainers
names = [module.name for module in pkgutil.walk_packages(trainers.__path__, "trainers.")]
assert "trainers.engines.solo" in names and "trainers.datasets.cifar" in names, names
for name in names:
    importlib.import_module(name)
print([name for name in {_ABOVE + _LAZY} if name in sys.modules])
"""
    assert run_alone(script).strip() == "[]"


def test_training_on_digits_imports_neither_torchs_compiler_nor_scikit_learn() -> None:
    # Each would cost every process of a sweep more CPU time than a training does.
    script = """
import sys
from trainers.datasets import load_dataset
from trainers.noise import symmetric_noise
from trainers.recipes import training_task
from trainers.supervision import GradientRescaling
from trainers.training import Lane, train
digits = load_dataset("digits")
labels = symmetric_noise(digits.y_train, 0.4, 10, 0)
(result,) = train(training_task(digits, epochs=1), [Lane("lane", GradientRescaling(12, 0.5), labels, 0)])
assert result.final is not None
print([name for name in ("torch._dynamo", "sympy", "sklearn", "scipy") if name in sys.modules])
"""
    assert run_alone(script).strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    script = """
import trainers
try:
    trainers.GradientRescalling
except AttributeError as error:
    print(error)
"""
    assert "GradientRescalling" in run_alone(script)
