from pathlib import Path

import pytest

from store.errors import StoreError
from store.home import Home


def test_everything_lies_under_the_home_the_environment_names(tmp_path: Path) -> None:
    home = Home.default({"MULTITRACK_HOME": str(tmp_path / "mt")})
    assert home.root == tmp_path / "mt"
    assert home.store == tmp_path / "mt" / "store.sqlite3"
    folder = home.folder("k3m9t")
    assert folder.observations == tmp_path / "mt" / "runs" / "k3m9t" / "observations.md"
    for path in (folder.report, folder.log, folder.patches, folder.mirror, folder.sandboxes, folder.lock):
        assert path.is_relative_to(folder.path)


def test_without_a_name_it_is_the_users_data_folder() -> None:
    root = Home.default({}).root
    assert root.name == "multitrack" and root.is_absolute()


def test_a_named_store_may_lie_elsewhere_and_the_run_folders_stay(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "other.sqlite3")
    assert home.store == tmp_path / "other.sqlite3"
    assert home.folder("k3m9t").path.is_relative_to(tmp_path / "home")


def test_a_relative_home_and_a_tilde_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home(Path("here")).root == tmp_path / "here"
    assert Home(Path("~/there")).root == tmp_path / "there"


def test_folders_are_for_their_user_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "mt", tmp_path / "elsewhere" / "store.sqlite3").create()
    folder = home.folder("k3m9t").create().create()
    for path in (home.root, home.store.parent, folder.path.parent, folder.path, folder.patches, folder.sandboxes):
        assert path.is_dir() and path.stat().st_mode & 0o777 == 0o700
    assert not folder.mirror.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\0b"])
def test_a_name_that_leads_elsewhere_is_no_runs(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError):
        Home(tmp_path).folder(name)


def test_a_home_below_a_file_is_answered_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/home cannot be made .*MULTITRACK_HOME"):
        Home(tmp_path / "file" / "home").create()
