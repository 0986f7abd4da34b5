"""Files fetched from a server of our own on the loopback, and models of a local folder."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """The address and folder of a server, and the paths asked of it."""
    folder = tmp_path / "site"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, format: str, *args: Any) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder, asked
        server.shutdown()


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    torch.hub.set_dir(tmp_path / "hub")
    yield tmp_path / "hub"
    torch.hub._chosen = None


def test_a_state_dict_is_fetched_once(site: Any, cache: Path) -> None:
    address, folder, asked = site
    torch.save({"w": torch.arange(3.0)}, folder / "net.pth")
    for _ in range(2):
        found = torch.hub.load_state_dict_from_url(f"{address}/net.pth", progress=False)
        assert found["w"].tolist() == [0.0, 1.0, 2.0]
    assert asked == ["/net.pth"]
    assert [p.name for p in (cache / "checkpoints").iterdir()] == ["net.pth"]


def test_the_hash_in_the_name_is_checked(site: Any, cache: Path) -> None:
    address, folder, _ = site
    torch.save({"w": torch.ones(1)}, folder / "a.pth")
    content = (folder / "a.pth").read_bytes()
    good = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    for name in (good, "net-00000000.pth"):
        (folder / name).write_bytes(content)
    fetch = torch.hub.load_state_dict_from_url
    assert fetch(f"{address}/{good}", check_hash=True, progress=False)["w"].item() == 1
    with pytest.raises(RuntimeError, match="begins with 00000000"):
        fetch(f"{address}/net-00000000.pth", check_hash=True, progress=False)
    assert [p.name for p in (cache / "checkpoints").iterdir()] == [good]  # nothing half done


def test_one_file_in_an_archive_is_unpacked(site: Any, tmp_path: Path) -> None:
    address, folder, _ = site
    torch.save({"w": torch.ones(2)}, tmp_path / "inner.pth")
    with zipfile.ZipFile(folder / "old.zip", "w") as archive:
        archive.write(tmp_path / "inner.pth", "inner.pth")
    found = torch.hub.load_state_dict_from_url(
        f"{address}/old.zip", str(tmp_path / "kept"), progress=False, map_location="meta"
    )
    assert found["w"].is_meta


def test_progress_is_shown(site: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address, folder, _ = site
    (folder / "x").write_bytes(b"12345")
    torch.hub.download_url_to_file(f"{address}/x", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b"12345"
    assert "100.0 %" in capsys.readouterr().err


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    monkeypatch.delenv("TORCH_HOME", raising=False)
    assert torch.hub.get_dir() == "/c/torch/hub"
    monkeypatch.setenv("TORCH_HOME", "/t")
    assert torch.hub.get_dir() == "/t/hub"


def test_models_of_a_local_folder(tmp_path: Path) -> None:
    (tmp_path / "sizes_of_net.py").write_text("WIDTH = 3\n")
    (tmp_path / "hubconf.py").write_text(
        "dependencies = ['math']\n"
        "def net(scale=1):\n"
        "    'A net.'\n"
        "    from sizes_of_net import WIDTH\n"
        "    return scale * WIDTH\n"
        "def _hidden(): pass\n"
    )
    folder = str(tmp_path)
    assert torch.hub.load(folder, "net", source="local", scale=2) == 6
    assert torch.hub.list(folder, source="local") == ["net"]
    assert torch.hub.help(folder, "net", source="local") == "A net."
    with pytest.raises(RuntimeError, match="Got '_hidden'"):
        torch.hub.load(folder, "_hidden", source="local")
    with pytest.raises(RuntimeError, match="nothing is fetched from GitHub"):
        torch.hub.load("pytorch/vision", "resnet18")
    with pytest.raises(FileNotFoundError, match="hubconf"):
        torch.hub.load(str(tmp_path / "none"), "net", source="local")
    (tmp_path / "hubconf.py").write_text("dependencies = ['no_such_module']\n")
    with pytest.raises(RuntimeError, match="needs no_such_module"):
        torch.hub.list(folder, source="local")
