"""Labels from a file: every format, and nothing of a broken or hostile file is believed or run."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise import CorruptedLabels
from trainers.noise import make_noise_model
from trainers.noise import symmetric_noise

CIFAR_N = Path(__file__).parents[4] / "shared" / "data" / "cifar_n"
GIVEN = [2, 0, 1, 1, 0, 2]
INTACT = torch.tensor([2, 0, 1, 0, 0, 1])


def read(path: Path, column: str | None = None, intact: torch.Tensor | None = None) -> CorruptedLabels:
    return make_noise_model("file", file=path, column=column).draw(INTACT, 3, seed=0, intact=intact)


def refusal(path: Path, column: str | None = None) -> FieldError:
    """The one error with which a file is refused, by check and by draw alike."""
    with pytest.raises(InvalidInput) as drawn:
        read(path, column)
    with pytest.raises(InvalidInput) as checked:
        make_noise_model("file", file=path, column=column).check(3, len(INTACT))
    assert checked.value.errors == drawn.value.errors
    (error,) = drawn.value.errors
    assert error.remedy
    return error


def text_file(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def saved_pt(folder: Path, content: object) -> Path:
    path = folder / "labels.pt"
    torch.save(content, path)
    return path


def pt_of_pickle(folder: Path, pickled: bytes) -> Path:
    """A torch archive around any pickle."""
    whole = saved_pt(folder, {})
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else content)
    return whole


# --- what is read ---


@pytest.mark.parametrize("dtype", ["int64", "uint8", ">i2"])
def test_npy_of_any_integers_is_read(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "labels.npy", np.array(GIVEN, dtype=dtype))
    drawn = read(tmp_path / "labels.npy")
    assert drawn.labels.tolist() == GIVEN
    assert drawn.labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("2\n0\n1\n1\n0\n2\n", None),
        ("label\n2\n0\n1\n1\n0\n2\n", None),
        ("index,label\n5,2\n0,2\n2,1\n1,0\n3,1\n4,0\n", None),
        ("index,label,intact_label\n0,2,0\n1,0,0\n2,1,0\n3,1,0\n4,0,0\n5,2,0\n", None),
        ("worst,label\n2,0\n0,0\n1,0\n1,0\n0,0\n2,0\n", "worst"),
        ("worst\n2\n0\n1\n1\n0\n2", None),
        ('\ufeffindex ,"label"\r\n\r\n0, 2\r\n1,0\r\n2,1\r\n3,1\r\n4,0\r\n5,2\r\n', None),
    ],
    ids=["bare", "header", "any order", "as exported", "column", "only column", "spreadsheet"],
)
def test_csv_is_read(tmp_path: Path, text: str, column: str | None) -> None:
    assert read(text_file(tmp_path, text), column).labels.tolist() == GIVEN


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_pt_of_columns_is_read(tmp_path: Path, kind: type) -> None:
    path = saved_pt(tmp_path, {"worse_label": kind(GIVEN), "clean_label": kind(INTACT.tolist())})
    assert read(path, "worse_label").labels.tolist() == GIVEN


def test_mask_is_known_only_where_intact_labels_are_given(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.array(GIVEN))
    unknown = read(tmp_path / "labels.npy")
    assert (unknown.mask, unknown.noise_rate, unknown.realised_rate) == (None, None, None)
    known = read(tmp_path / "labels.npy", intact=INTACT)
    assert known.mask is not None
    assert known.mask.tolist() == [False, False, False, True, False, True]
    assert known.realised_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("file", "column", "classes", "rate"),
    [
        ("CIFAR-10_human.pt", "worse_label", 10, 0.40208),
        ("CIFAR-10_human.pt", "aggre_label", 10, 0.0901),
        ("CIFAR-10_human.pt", "random_label1", 10, 0.17234),
        ("CIFAR-10_human.pt", "random_label2", 10, 0.18122),
        ("CIFAR-10_human.pt", "random_label3", 10, 0.1764),
        ("CIFAR-100_human.pt", "noisy_label", 100, 0.402),
    ],
)
def test_cifar_n_is_read_with_its_published_noise_rate(file: str, column: str, classes: int, rate: float) -> None:
    # Published to 0.1 % (arXiv 2110.12088, Table 1): 40.21, 9.03, 17.23, 18.12, 17.64 and 40.20 %.
    if not CIFAR_N.is_dir():
        pytest.skip("CIFAR-N's labels (../shared/data) are not here")
    anything = torch.zeros(50_000, dtype=torch.int64)
    clean = make_noise_model("file", file=CIFAR_N / file, column="clean_label").draw(anything, classes, seed=0)
    assert torch.bincount(clean.labels).tolist() == [50_000 // classes] * classes
    model = make_noise_model("file", file=CIFAR_N / file, column=column)
    drawn = model.draw(clean.labels, classes, seed=0, intact=clean.labels)
    assert drawn.realised_rate == pytest.approx(rate, abs=1e-9)


def test_cifar_n_stands_in_the_order_of_the_images(cifar10_dir: Path) -> None:
    batches = [cifar10_dir / "cifar-10-batches-py" / f"data_batch_{number}" for number in range(1, 6)]
    intact = np.concatenate([pickle.loads(path.read_bytes(), encoding="bytes")[b"labels"] for path in batches])
    model = make_noise_model("file", file=CIFAR_N / "CIFAR-10_human.pt", column="clean_label")
    assert model.draw(intact, 10, seed=0, intact=intact).realised_rate == 0


def test_file_that_changes_between_two_draws_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "labels.npy"
    np.save(path, np.array(GIVEN))
    first = read(path)
    first.labels[0] = 1  # its own copy
    assert read(path).labels.tolist() == GIVEN
    np.save(path, np.array(GIVEN[::-1]))
    os.utime(path, ns=(0, 0))  # clocks may be coarser than this test is quick
    assert read(path).labels.tolist() == GIVEN[::-1]


def test_file_that_has_gone_since_it_was_named_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.npy"
    np.save(path, np.array(GIVEN))
    model = make_noise_model("file", file=path)
    path.unlink()
    with pytest.raises(InvalidInput, match="noise_file"):
        model.draw(INTACT, 3, seed=0)


# --- what is refused ---


class RunsWhenUnpickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "it ran"
    hostile = pickle.dumps({"label": RunsWhenUnpickled(trap)}, protocol=2)
    archive = pt_of_pickle(tmp_path, hostile)
    bare = tmp_path / "bare.pt"
    bare.write_bytes(hostile)
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([RunsWhenUnpickled(trap)] * 6, dtype=object))
    packed = tmp_path / "objects.npz"
    np.savez(packed, labels=np.array([RunsWhenUnpickled(trap)] * 6, dtype=object))
    for path in (archive, bare, objects, packed):
        assert refusal(path, "label" if path.suffix == ".pt" else None).field == "noise_file"
        assert not trap.exists()
    pickle.loads(hostile)  # the trap would have worked
    assert trap.exists()


@pytest.mark.parametrize("module", ["numpy f2py", "numpy fromfile", "numpy.core.multiarray scalar", "builtins eval"])
def test_globals_that_cifar_n_does_not_need_are_refused(tmp_path: Path, module: str) -> None:
    path = pt_of_pickle(tmp_path, b"\x80\x02c" + module.replace(" ", "\n").encode() + b"\n.")
    error = refusal(path, "label")
    assert error.field == "noise_file"
    assert "cannot be read" in error.problem


def test_reading_leaves_torchs_own_list_of_allowed_globals_as_it_was(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    read(saved_pt(tmp_path, {"label": np.array(GIVEN)}), "label")
    refusal(pt_of_pickle(tmp_path, b"\x80\x02cbuiltins\neval\n."), "label")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
@pytest.mark.parametrize("kept", [0, 7, 0.5, 0.95])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"labels{suffix}"
    labels = np.arange(5000) % 3
    if suffix == ".npy":
        np.save(path, labels)
    elif suffix == ".npz":
        symmetric_noise(labels, 0.4, 3, seed=0).save(path)
    else:
        torch.save({"label": labels}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    error = refusal(path, "label" if suffix == ".pt" else None)
    assert (error.field, error.value) == ("noise_file", str(path))


def test_few_bytes_that_pose_as_a_huge_array_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread = saved_pt(tmp_path, {"label": torch.zeros(1, dtype=torch.int64).expand(2**40)})
    assert "(1099511627776,)" in refusal(spread, "label").problem

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (2**40,)})
    (tmp_path / "labels.npy").write_bytes(header.getvalue())
    assert refusal(tmp_path / "labels.npy").field == "noise_file"

    # A limit that takes no seconds to exceed.
    monkeypatch.setattr("trainers.unpacked_size._MOST_BYTES", 2**20)
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", bytes(2**20 + 1))
    assert bomb.stat().st_size < 2**12
    assert "far more than labels take" in refusal(bomb).problem
    bomb = bomb.rename(tmp_path / "bomb.pt")
    assert "far more than labels take" in refusal(bomb, "label").problem


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.array(GIVEN[:-1]), r"has int64 \(5,\), not one integer for each of 6 examples"),
        (np.array([GIVEN]), r"has int64 \(1, 6\)"),
        (np.array(GIVEN, dtype=float), r"has float64 \(6,\)"),
        (np.array(GIVEN) > 0, r"has bool"),
        (np.array(GIVEN, dtype=object), r"cannot be read"),
        (np.array([0, 1, 2, 3, 1, 1]), r"example 3 \(from 0\) has the label 3, not in 0\.\.\.2"),
        (np.array([0, 1, -1, 2, 1, 1]), r"example 2 \(from 0\) has the label -1"),
        (np.array([0, 1, 2**64 - 1, 2, 1, 1], dtype=np.uint64), r"example 2 .* 18446744073709551615"),
        (np.array(7), r"has int64 \(\)"),
    ],
    ids=["short", "matrix", "float", "bool", "objects", "too large", "negative", "unsigned", "scalar"],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, array: np.ndarray, says: str) -> None:
    np.save(tmp_path / "labels.npy", array)
    error = refusal(tmp_path / "labels.npy")
    assert error.field == "noise_file"
    assert re.search(says, error.problem)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label\n2\n0\n1.0\n1\n0\n2\n", "line 4: '1.0' is not an integer"),
        ("label\n2\n0\ncat\n1\n0\n2\n", "line 4: 'cat' is not an integer"),
        ("label\n2\n0\n1\n1\n0\n٢\n", "line 7: '٢' is not an integer"),
        ("label\n2\n0\n1\n1\n0\n1_0\n", "line 7: '1_0' is not an integer"),
        ("index,label\n0,2\n1,\n2,0\n3,0\n4,0\n5,0\n", "line 3: '' is not an integer"),
        ("2\n0\n1\n1\n0\n99999999999999999999\n", "line 6: 99999999999999999999 is too large"),
        ("index,label\n0,2\n1,0\n2\n3,1\n4,0\n5,2\n", "line 4 has 1 columns, not 2"),
        ("index,label\n0,2\n1,0\n1,1\n3,1\n4,0\n5,2\n", "line 4: index 1 is given twice"),
        ("index,label\n1,2\n2,0\n3,1\n4,1\n5,0\n6,2\n", "line 7: index 6 is not in 0...5"),
        ("0,2\n1,0\n2,1\n3,1\n4,0\n5,2\n", "line 1 has 2 columns and no header names them"),
        ("label\n2\n0\n1\n1\n0\n", "has int64 (5,), not one integer for each of 6 examples"),
        ("label\n", "has int64 (0,)"),
        ("", "empty"),
        ('label\n"2\n0\n', "cannot be read"),
    ],
)
def test_csv_is_refused_with_the_line_that_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    error = refusal(text_file(tmp_path, text))
    assert error.field == "noise_file"
    assert says in error.problem


def test_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"label\n\xff\xfe\x00\x01\n")
    assert refusal(tmp_path / "labels.csv").field == "noise_file"


def test_missing_column_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    path = saved_pt(tmp_path, {"worse_label": np.array(GIVEN), "aggre_label": np.array(GIVEN)})
    for column in (None, "worst_label"):
        error = refusal(path, column)
        assert (error.field, error.value) == ("noise_column", column)
        assert "worse_label, aggre_label" in error.remedy
    path = text_file(tmp_path, "index,worse,aggregate\n" + "".join(f"{i},0,0\n" for i in range(6)))
    for column in (None, "worst", "index"):
        error = refusal(path, column)
        assert (error.field, error.value) == ("noise_column", column)
        assert "worse, aggregate" in error.remedy
    assert refusal(text_file(tmp_path, "0\n" * 6), "label").field == "noise_column"


@pytest.mark.parametrize("content", [[1, 2], torch.tensor(GIVEN), {"label": "a"}, {"label": {"deep": 1}}])
def test_pt_without_arrays_in_columns_is_refused(tmp_path: Path, content: object) -> None:
    assert refusal(saved_pt(tmp_path, content), "label").field == "noise_file"


def test_npz_that_is_no_saved_draw_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "labels.npz", labels=np.array(GIVEN))
    assert "not a file of corrupted labels" in refusal(tmp_path / "labels.npz").problem


def test_everything_wrong_with_a_draw_is_reported_at_once(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.array(GIVEN))
    model = make_noise_model("file", file=tmp_path / "labels.npy")
    with pytest.raises(InvalidInput) as caught:
        model.draw(torch.tensor([0, 1, 5, 0, 0]), 3, seed=-1, intact=torch.tensor([0]))
    assert [error.field for error in caught.value.errors] == ["noise_file", "seed", "labels", "intact"]
