"""A run at a URL: it works in a copy in the user's cache directory, and whatever becomes safe there is sent.

``state.json`` is sent after everything that it speaks of, and files are removed after it, so what is at the URL can be
resumed from at any instant. Each side deletes below ``iter_NN/`` alone. ``aside/`` stays in the copy.

The URL's ``state.json`` says whose turn it is. As long as it is what this copy sent or fetched last, the copy is what
is there or ahead of it, and goes on. Otherwise another machine has gone on, and the URL wins; a copy whose work never
arrived is then kept beside the new one.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rzero.errors import RunDirectoryError
from rzero.runs.atomic import TEMPORARY_PREFIX, read_json, require_space, write_json, write_text
from rzero.runs.lock import LOCK, in_use, lock
from rzero.runs.remote import Listed, Remote
from rzero.runs.store import RESULTS, RunDirectory
from rzero.user_cache import user_cache

MANIFEST, STATE = "run.json", "state.json"

Stamp = tuple[int, int]
"""Size and time of change of a file here, by which it is known again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingCopy:
    """Where a run works, and what has to be called whenever something became safe."""

    root: Path
    saved: Callable[[], None]


def is_url(place: str | Path) -> bool:
    """Whether a run's place is a URL.

    >>> is_url("s3://bucket/run"), is_url("runs/rzero"), is_url(Path("runs"))
    (True, False, False)
    """
    return isinstance(place, str) and "://" in place


def copy_of(url: str) -> Path:
    """The directory of the working copy; it need not exist."""
    url = url.rstrip("/")
    name = re.sub(r"[^\w.-]", "_", url.rpartition("/")[2]) or "run"
    return user_cache() / "runs" / hashlib.sha256(url.encode()).hexdigest()[:12] / name


@contextmanager
def working_copy(out: str | Path, *, note: Callable[[str], None]) -> Iterator[WorkingCopy]:
    """Where a run that goes to ``out`` works: there, or in a copy that is as far as the URL and is sent to it.

    Raises RunDirectoryError if the URL cannot be read or written, holds something else, or changes under the run.
    """
    if not is_url(out):
        yield WorkingCopy(root=Path(out), saved=lambda: None)
        return
    mirror = Mirror(str(out), note=note)
    with lock(mirror.root.parent) as ours:
        if not ours:
            raise in_use(mirror.url)
        mirror.bring()
        note(f"{mirror.url}: at work in {mirror.root}")
        yield WorkingCopy(root=mirror.root, saved=mirror.send)
        mirror.send(last=True)
    note(mirror.cost())


@contextmanager
def reading(place: str, *, weights: bool = True) -> Iterator[Path]:
    """The directory of a run to read: ``place``, or a copy of what is at the URL, without checkpoints if no ``weights``
    are needed. What is put into the copy's ``RESULTS`` is sent. Warnings go to standard error.

    Raises RunDirectoryError if the URL cannot be read or holds no run.
    """
    if not is_url(place):
        yield Path(place)
        return
    mirror = Mirror(place, note=lambda text: print(f"rzero: {text}", file=sys.stderr))
    with lock(mirror.root.parent) as ours:
        if ours:  # else a run is at work here, and its copy is ahead of the URL
            mirror.bring(without=("resumable",) if weights else ("resumable", "checkpoint"))
    if not RunDirectory.exists(mirror.root):
        raise RunDirectoryError(f"{mirror.url} holds no rzero run; give the URL that --out named")
    before = mirror.files()
    yield mirror.root
    mirror.send_results(before)


@dataclass(slots=True)
class Record:
    """What is known of a copy.

    ``states``: the contents that ``state.json`` can have at the URL if nobody else wrote there (two while it is sent).
    ``whole``: nothing was left out. ``sent``: files that are there as they are here. ``fetched``: their versions there.
    """

    states: list[str | None] = field(default_factory=lambda: [None])
    whole: bool = True
    sent: dict[str, Stamp] = field(default_factory=dict)
    fetched: dict[str, str] = field(default_factory=dict)


class Mirror:
    """A copy, ``root``, and the ``url`` that it is a copy of."""

    def __init__(self, url: str, *, note: Callable[[str], None]) -> None:
        self.url = url.rstrip("/")
        self.root = copy_of(url)
        self._note = note
        self._remote = Remote(self.url)
        self._record_path = self.root.parent / "mirror.json"
        self._record = Record()
        self._there: set[str] = set()
        self._num_files = self._num_bytes = self._num_sends = 0
        self._seconds = 0.0

    def bring(self, *, without: tuple[str, ...] = ()) -> None:
        """Make the copy as new as the URL, unless it is that or ahead; folders that are named ``without`` are left out
        where anything has to be fetched.
        """
        own = self._own_state()
        if own is None:
            shutil.rmtree(self.root, ignore_errors=True)
        elif self._record_path.exists():
            raw = read_json(self._record_path)
            self._record = Record(**raw | {"sent": {name: tuple(stamp) for name, stamp in raw["sent"].items()}})
        listed = self._remote.listing()
        if MANIFEST not in listed and any(not _is_temporary(name) for name in listed):
            raise RunDirectoryError(
                f"{self.url} is not empty and holds no rzero run; choose another --out, or empty it yourself"
            )
        self._there = set(listed)
        state = self._remote.read(STATE) if STATE in listed else None
        record = self._record
        if record.whole and state in record.states:
            record.sent = {n: s for n, s in record.sent.items() if n in listed and listed[n].size == s[0]}
            self._restore()
            return
        if own is not None and (state is None or own not in record.states):
            self._keep_aside()
        self._fetch(listed, state, without)

    def send(self, *, last: bool = False) -> None:
        """Make the URL as new as the copy. Raises RunDirectoryError, and overwrites nothing, if somebody else wrote.

        What trackers write changes all the time, so it goes with the ``last`` alone.
        """
        started = time.monotonic()
        record = self._record
        with self._explained():
            there = self._unchanged_state()
            here = {name: stamp for name, stamp in self.files().items() if last or not name.startswith("trackers/")}
            changed = [name for name, stamp in here.items() if name != STATE and record.sent.get(name) != stamp]
            # Without run.json the files would be no run, and refused; files that go together arrive in any order.
            self._send_files([name for name in changed if name == MANIFEST], here)
            self._send_files([name for name in changed if name != MANIFEST], here)
            if (own := self._own_state()) != there:
                self._unchanged_state()
                record.states = [there, own]
                self._save_record()
                self._send_files([STATE], here)
            record.states = [own]
            gone = [n for n in self._there if n not in here and (n.startswith("iter_") or _is_temporary(n))]
            self._remote.remove(sorted(gone))
        self._there -= set(gone)
        self._save_record()
        self._num_sends += 1
        self._seconds += time.monotonic() - started

    def _unchanged_state(self) -> str | None:
        """The URL's ``state.json``, if it is what this copy knows."""
        there = self._remote.read(STATE)
        if there not in self._record.states:
            raise RunDirectoryError(
                f"{self.url} was changed by another process since this run last wrote there. End one of the two; the "
                "same command then goes on from what is at the URL"
            )
        return there

    def send_results(self, before: dict[str, Stamp]) -> None:
        """Send what of ``RESULTS`` is not as it was ``before``."""
        changed = [name for name, stamp in self.files().items() if before.get(name) != stamp]
        self._remote.send(self.root, [name for name in changed if name.split("/")[0] in RESULTS])

    def cost(self) -> str:
        """What sending took, in one line."""
        size = f"{self._num_bytes / 2**20:.1f} MiB in {self._num_files} files"
        return f"{self.url}: sent {size}, {self._num_sends} times, in {self._seconds:.1f} s altogether"

    def files(self) -> dict[str, Stamp]:
        """What of the copy belongs at the URL."""
        found: dict[str, Stamp] = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            left_out = name.startswith("aside/") or name == LOCK or _is_temporary(name)
            if path.is_file() and not left_out:
                status = path.stat()
                found[name] = status.st_size, status.st_mtime_ns
        return found

    def _send_files(self, names: list[str], here: dict[str, Stamp]) -> None:
        self._remote.send(self.root, names)
        for name in names:
            self._record.sent[name] = here[name]
            self._record.fetched.pop(name, None)
            self._there.add(name)
            self._num_bytes += here[name][0]
        self._num_files += len(names)

    def _restore(self) -> None:
        """Fetch what was lost here since it was sent, as to tidied caches; it would be removed at the URL else."""
        lost = [name for name in self._record.sent if not (self.root / name).exists()]
        self._remote.fetch(self.root, lost)
        here = self.files()
        self._record.sent |= {name: here[name] for name in lost}

    def _fetch(self, listed: dict[str, Listed], state: str | None, without: tuple[str, ...]) -> None:
        self._record.states.append(state)
        self._record.whole = False  # until all is here
        self._save_record()
        chosen = {name for name in listed if not set(without) & set(name.split("/")) and not _is_temporary(name)}
        for name in self.files():
            if name.startswith("iter_") and name not in listed:
                (self.root / name).unlink()
        fetched = self._record.fetched
        wanted = sorted(n for n in chosen if not (self.root / n).exists() or fetched.get(n) != listed[n].version)
        require_space(self.root, sum(listed[name].size for name in wanted))
        self._remote.fetch(self.root, [name for name in wanted if name != STATE])
        if state is not None:
            write_text(self.root / STATE, state)
        here = self.files()
        self._record = Record(
            states=[state],
            whole=not without,
            sent={name: here[name] for name in chosen},
            fetched={name: listed[name].version for name in chosen},
        )
        self._save_record()

    def _keep_aside(self) -> None:
        number = 1
        while (kept := self.root.with_name(f"{self.root.name}.kept-{number}")).exists():
            number += 1
        self.root.rename(kept)
        self._record = Record()
        self._note(f"warning: {self.url} is not what the copy here went on from; the copy is kept in {kept}")

    def _own_state(self) -> str | None:
        path = self.root / STATE
        return path.read_text(encoding="utf-8") if path.exists() else None

    def _save_record(self) -> None:
        write_json(self._record_path, asdict(self._record))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RunDirectoryError as error:
            raise RunDirectoryError(f"{error}; nothing is lost: what is finished is in {self.root} as well") from error


def _is_temporary(name: str) -> bool:
    return any(part.startswith(TEMPORARY_PREFIX) for part in name.split("/"))
