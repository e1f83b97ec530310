"""A run directory and its URL: who wins, what is sent and removed, what is refused. No model is opened."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_systems import Breaking, ObjectStore, breaking

from made_run import make_run
from rzero import cli
from rzero.errors import ConfigError, MissingExtraError, RunDirectoryError
from rzero.runs import mirror, remote
from rzero.runs.atomic import write_json
from rzero.runs.mirror import reading, working_copy
from rzero.runs.remote import Remote
from rzero.runs.state import State
from rzero.types import Phase

URL = "object://bucket/run"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty cache and an empty store."""
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSES_S", ())
    ObjectStore.store.clear()
    yield
    ObjectStore.store.clear()


def there() -> set[str]:
    return {path.removeprefix("/bucket/run/") for path in ObjectStore.store}


def sent(notes: list[str], *, advance: int = 0) -> Path:
    """Take up the run at the URL, or make one, and let it go ``advance`` parts further."""
    with working_copy(URL, note=notes.append) as copy:
        if not (copy.root / "run.json").exists():
            make_run(copy.root)
        state = State.load(copy.root / "state.json")
        state.saved = copy.saved
        state.saved()
        if advance:
            write_json(copy.root / "iter_02" / "vote" / "parts" / f"part_{advance:04d}.jsonl", {})
            state.advance(2, Phase.VOTE, advance)
    return copy.root


def test_what_is_sent(tmp_path: Path) -> None:
    notes: list[str] = []
    root = sent(notes)
    here = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert there() == here and "state.json" in here
    assert notes[-1].startswith(f"{URL}: sent ")
    with breaking(None):
        sent(notes)
        assert Breaking.operations == 0
    (root / "aside" / "attempt_02").mkdir(parents=True)
    (root / "aside" / "attempt_02" / "old").write_text("")
    (root / "metrics.jsonl").write_text("{}\n")
    ObjectStore().pipe_file("/bucket/run/notes.txt", b"of the user's own")
    with breaking(None), working_copy(URL, note=notes.append) as copy:
        (copy.root / "iter_01" / "labels.json").unlink()
        copy.saved()
        assert Breaking.operations == 2
    assert there() == here - {"iter_01/labels.json"} | {"metrics.jsonl", "notes.txt"}


def test_what_a_tidied_cache_lost_is_not_removed_at_the_url() -> None:
    root = sent([])
    before = there()
    shutil.rmtree(root / "iter_01")
    sent([])
    assert there() == before and (root / "iter_01" / "labels.json").exists()


def test_a_fetch_that_breaks_off_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    root = sent(notes)
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "other"))
    sent([], advance=1)
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mirror, "write_text", raise_interrupt)  # all is fetched but state.json
        sent(notes)
    assert State.load(root / "state.json").done == 0
    assert State.load(sent(notes) / "state.json").done == 1
    assert not any("kept" in note for note in notes)


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_copy_is_ahead_or_the_url_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    root = sent(notes)
    with pytest.raises(RunDirectoryError, match=r"the other side has gone away.*nothing is lost"), breaking(0):
        sent(notes, advance=1)
    assert State.load(root / "state.json").done == 1
    sent(notes)  # an upload that did not finish is finished
    assert "iter_02/vote/parts/part_0001.jsonl" in there()
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "other"))
    sent(notes, advance=2)
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "cache"))
    assert State.load(sent(notes) / "state.json").done == 2
    assert not any("kept" in note for note in notes)
    with pytest.raises(RunDirectoryError), breaking(0):
        sent(notes, advance=3)
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "other"))
    sent(notes, advance=4)
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "cache"))
    assert State.load(sent(notes) / "state.json").done == 4
    assert State.load(root.with_name("run.kept-1") / "state.json").done == 3
    assert any(str(root.with_name("run.kept-1")) in note for note in notes)
    ObjectStore.store.clear()  # a run that was removed there does not come back from a copy
    sent(notes)
    assert State.load(root / "state.json").done == 0 and root.with_name("run.kept-2").exists()


def test_two_at_one_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    sent(notes)
    with (
        pytest.raises(RunDirectoryError, match="was changed by another process"),
        working_copy(URL, note=notes.append) as copy,
    ):
        with pytest.raises(RunDirectoryError, match=f"{URL} is in use by another rzero process"):
            sent(notes)
        monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "other"))
        sent(notes, advance=7)
        before = dict(ObjectStore.store)
        (copy.root / "metrics.jsonl").write_text("{}\n")
        copy.saved()
    assert ObjectStore.store == before


def test_failures_that_pass_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES_S", (0, 0))
    failures = iter([OSError("reset"), TimeoutError(), None])

    class Shaky(ObjectStore):
        protocol = "object"

        def put_file(self, lpath: str, rpath: str, *args: object, **kwargs: object) -> None:
            if failure := next(failures, None):
                raise failure
            super().put_file(lpath, rpath)

    monkeypatch.setattr(remote, "_open", lambda url: (Shaky(), "/bucket/run"))
    notes: list[str] = []
    sent(notes)
    assert "state.json" in there() and next(failures, "used up") == "used up"


def test_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = sent([])
    ObjectStore().pipe_file("/bucket/run/iter_01/train_solver/checkpoint/model.safetensors", b"weights")
    ObjectStore().pipe_file("/bucket/run/iter_02/train_solver/resumable/step_0001/learner.json", b"{}")
    shutil.rmtree(tmp_path / "cache")
    with reading(URL, weights=False) as light:
        assert light == root and not list(light.rglob("checkpoint")) and not list(light.rglob("resumable"))
    with reading(URL) as heavy:
        assert list(heavy.rglob("model.safetensors")) and not list(heavy.rglob("resumable"))
        (heavy / "eval").mkdir()
        (heavy / "eval" / "table.json").write_text("{}")
        (heavy / "eval.txt").write_text("")
    assert "eval/table.json" in there() and "eval.txt" not in there()
    sent([])  # what readers left out is fetched before a run goes on, and nothing of it is removed
    assert list(root.rglob("learner.json")) and any(name.endswith("learner.json") for name in there())
    with working_copy(URL, note=print) as copy:  # a run is at work: its copy is read as it is
        (copy.root / "metrics.jsonl").write_text("{}")
        with reading(URL) as live:
            assert (live / "metrics.jsonl").exists()
    assert cli.main(["report", URL]) == 0 and "report.html" in there()
    assert cli.main(["status", URL]) == 0
    assert f"url        {URL}\n" in capsys.readouterr().out


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(RunDirectoryError, match="object://bucket/none holds no rzero run"),
        reading("object://bucket/none"),
    ):
        pass
    ObjectStore().pipe_file("/bucket/photos/cat.jpg", b"cat")
    for place, said in (
        ("object://bucket/photos", "is not empty and holds no rzero run"),
        ("object://bucket/photos/cat.jpg", "is a file"),
    ):
        with pytest.raises(RunDirectoryError, match=said), working_copy(place, note=print):
            pass
    with pytest.raises(ConfigError, match="'s4' is no kind of URL"):
        Remote("s4://bucket/run").listing()
    with pytest.raises(MissingExtraError, match=r'run: pip install "rzero\[remote\]" s3fs$'):
        Remote("s3://bucket/run").listing()
    with pytest.raises(RunDirectoryError, match=r"ftp://127.0.0.1:9/run cannot be listed \(ConnectionRefusedError"):
        Remote("ftp://127.0.0.1:9/run").listing()
    (tmp_path / "locked").write_text("")
    with (
        pytest.raises(RunDirectoryError, match="cannot be"),
        working_copy(f"share://{tmp_path}/locked/run", note=print) as copy,
    ):
        make_run(copy.root)
        copy.saved()
    for command in (["ablate"], ["sft", "--data", "x"], ["export", "runs/x"], ["report", "runs/x"]):
        with pytest.raises(ConfigError, match=f"rzero {command[0]} writes to no URL"):
            cli._dispatch([*command, "--out", URL])
