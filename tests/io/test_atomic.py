"""Files appear whole or not at all. Catches: an input that is written over, a link that is lost, a
place that cannot be written and is found out after the work, a foreign file that is removed, a mode
that another thread's file gets."""

import os
import threading
import time
from pathlib import Path

import pytest

from pmf.errors import InputError
from pmf.io.atomic import check_target, left_in, replacing


def content(folder: Path) -> dict[str, str | None]:
    return {path.name: path.read_text() if path.is_file() else None for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["same", "dots", "symbolic", "hard", "chain", "read by a link"])
def test_what_is_read_is_not_written(kind, tmp_path):
    source, other = tmp_path / "in.csv", tmp_path / "other.csv"
    source.write_text("mine")
    read = source
    match kind:
        case "same":
            other = source
        case "dots":
            (tmp_path / "sub").mkdir()
            other = tmp_path / "sub" / ".." / "in.csv"
        case "symbolic":
            other.symlink_to("in.csv")
        case "hard":
            os.link(source, other)
        case "chain":
            (tmp_path / "middle").symlink_to("in.csv")
            other.symlink_to("middle")
        case "read by a link":
            read = tmp_path / "read.csv"
            read.symlink_to("in.csv")
            other = source
    before = content(tmp_path)
    with pytest.raises(InputError, match=f"{other.name}: it is also an input; name another"):
        check_target(other, reads=[read])
    assert content(tmp_path) == before


def test_a_file_of_a_folder_that_is_read_is_not_written(tmp_path):
    (tmp_path / "parts").mkdir()
    with pytest.raises(InputError, match="it is in an input folder"):
        check_target(tmp_path / "parts" / "new.pmf", reads=[tmp_path / "parts"])
    outside = tmp_path / "outside.parquet"
    outside.write_text("mine")
    (tmp_path / "parts" / "a.parquet").symlink_to(outside)
    with pytest.raises(InputError, match="it is also an input"):
        check_target(outside, reads=[tmp_path / "parts"])
    check_target(tmp_path / "new.pmf", reads=[tmp_path / "parts", "a" * 300, "no-such-file"])


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_followed_and_stays(exists, tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "m.pmf", tmp_path / "m.pmf"
    if exists:
        target.write_text("old")
    link.symlink_to(Path("far") / "m.pmf")
    check_target(link)
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and not target.is_symlink() and target.read_text() == "new"
    assert set(content(tmp_path)) == {"far", "m.pmf"} and set(content(target.parent)) == {"m.pmf"}


@pytest.mark.parametrize(
    ("leads_to", "message"),
    [
        ("m.pmf", "a circular link"),
        ("folder", "exists and is not a file"),
        ("nowhere/m.pmf", "its folder does not exist"),
    ],
)
def test_a_link_to_where_no_file_can_be(leads_to, message, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "m.pmf").symlink_to(leads_to)
    with pytest.raises(InputError, match=f"m.pmf.*{message}"):
        check_target(tmp_path / "m.pmf")


@pytest.mark.parametrize("length", [1, 150, 151, 245, 246, 255])
@pytest.mark.parametrize("letter", ["m", "é"])
def test_a_name_of_any_length(length, letter, tmp_path):
    path = tmp_path / (letter * (length // len(letter.encode())) or "x")
    check_target(path)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert content(tmp_path) == {path.name: "new"}


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match="cannot write .*too long"):
        check_target(tmp_path / ("x" * 256))


@pytest.fixture
def read_only(tmp_path):
    """A folder that this process cannot write to, whoever runs the test."""
    if not hasattr(os, "geteuid"):
        pytest.skip("no users")
    place = tmp_path / "kept"
    place.mkdir()
    for folder in (place, *tmp_path.parents[:2], tmp_path):
        folder.chmod(0o755)
    place.chmod(0o555)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    yield place
    if was == 0:
        os.seteuid(0)
    place.chmod(0o755)


def test_a_read_only_folder_is_refused_before_the_work(read_only):
    with pytest.raises(InputError, match="cannot write .*m.pmf: Permission denied"):
        check_target(read_only / "m.pmf")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_file_has_the_mode_that_the_umask_leaves(umask, tmp_path):
    """Also where a library, as safetensors does, puts a file of its own mode in its place."""

    def write(path: Path) -> None:
        with replacing(path) as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))

    was = os.umask(umask)
    try:
        write(tmp_path / "m.pmf")
    finally:
        os.umask(was)
    assert (tmp_path / "m.pmf").stat().st_mode & 0o777 == 0o666 & ~umask


def test_no_other_thread_sees_another_umask(tmp_path):
    stop, modes = threading.Event(), set()

    def make() -> None:
        for number in range(400):
            path = tmp_path / str(number)
            os.close(os.open(path, os.O_CREAT, 0o666))
            modes.add(path.stat().st_mode & 0o777)
        stop.set()

    was = os.umask(0o027)
    try:
        thread = threading.Thread(target=make)
        thread.start()
        while not stop.is_set():
            with replacing(tmp_path / "m") as temporary:
                temporary.write_text("")
        thread.join()
    finally:
        os.umask(was)
    assert modes == {0o640}


def killed_parts(folder: Path) -> Path:
    """What a process that is killed in a save leaves."""
    with replacing(folder / "m.pmf") as temporary:
        left, name = folder / "left", temporary.parent.name
        temporary.write_text("half")
        temporary.parent.rename(left)
        temporary.parent.mkdir()
        temporary.touch()
    left.rename(folder / name)
    return folder / name


def test_what_a_killed_save_left_is_removed_by_the_next_and_nothing_else(tmp_path):
    left, young = killed_parts(tmp_path), killed_parts(tmp_path)
    foreign = [".m.pmf.0123456789abcdef.part", ".x.part", f"{left.name[1:]}", f"{left.name}s"]
    for name in foreign:  # a seal that is not ours, and other names
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    (tmp_path / ".a file.part").write_text("mine")
    day = time.time() - 86_401
    for path in tmp_path.iterdir():
        if path != young:
            os.utime(path, (day, day))
    assert left_in(tmp_path) == [left]
    with replacing(tmp_path / "n.pmf") as temporary:
        os.utime(temporary.parent, (day, day))
        check_target(tmp_path / "o.pmf")  # a second writer leaves what a living one holds
        temporary.write_text("new")
    assert set(content(tmp_path)) == {"m.pmf", "n.pmf", young.name, *foreign, ".a file.part"}
    assert all((tmp_path / name / "mine.txt").is_file() for name in foreign)
