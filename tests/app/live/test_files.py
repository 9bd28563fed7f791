"""What a visitor downloads."""

import io
import zipfile
from pathlib import Path

from app.live.files import packed


def test_several_files_stay_in_their_folders(tmp_path: Path) -> None:
    """An OBJ's library names its pictures by the way to them."""
    names = ["mesh.obj", "mesh.mtl", "textures/a.png", "textures/b/a.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    title, content = packed([tmp_path / name for name in names])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {name: name for name in names}
    assert title == "files.zip"
    assert packed([tmp_path / "textures/a.png"]) == ("a.png", b"textures/a.png")
