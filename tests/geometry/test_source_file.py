"""Which files beside a mesh are opened, and which never."""

import os
from pathlib import Path

import pytest

from core.errors import UserError
from geometry.source_file import read_beside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a mesh, and a secret beside it."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "deeper").mkdir()
    return tmp_path / "meshes"


@pytest.mark.parametrize(("name", "uri"), [("my tex.png", "my%20tex.png"), ("deeper/ä.bin", "deeper%2F%C3%A4.bin")])
def test_a_uri_is_decoded_in_gltf_and_nowhere_else(folder: Path, name: str, uri: str):
    (folder / name).write_bytes(b"this")
    for mesh in ("a.gltf", "a.GLB"):
        assert read_beside(folder / mesh, uri) == b"this"
    with pytest.raises(UserError, match="which does not exist"):
        read_beside(folder / "a.obj", uri)
    (folder / "100%25.png").write_bytes(b"a per cent sign of its own")
    assert read_beside(folder / "a.obj", "100%25.png").startswith(b"a per cent")


@pytest.mark.parametrize("mesh", ["a.gltf", "a.glb", "a.obj", "a.ply"])
@pytest.mark.parametrize("name", ["../secret", "deeper/../../secret", "/etc/hostname"])
def test_nothing_leads_out_of_the_folder(folder: Path, mesh: str, name: str):
    with pytest.raises(UserError, match=rf"{mesh}: refers to '.*' outside of its folder; such files are not opened"):
        read_beside(folder / mesh, name)


@pytest.mark.parametrize("uri", ["%2e%2e%2fsecret", "..%2Fsecret", "deeper/%2E%2E/%2e./secret", "%2Fetc%2Fhostname"])
def test_a_uri_is_checked_after_it_is_decoded(folder: Path, uri: str):
    with pytest.raises(UserError, match=r"a\.gltf: refers to '.*%.*' outside of its folder"):
        read_beside(folder / "a.gltf", uri)


def test_decoding_is_done_once(folder: Path):
    with pytest.raises(UserError, match="which does not exist"):
        read_beside(folder / "a.gltf", "%252e%252e%252fsecret")


def test_links_out_of_the_folder_are_not_followed(folder: Path):
    (folder / "link").symlink_to(folder.parent / "secret")
    with pytest.raises(UserError, match="outside of its folder"):
        read_beside(folder / "a.obj", "link")


def test_what_is_no_file_is_told(folder: Path):
    os.mkfifo(folder / "pipe")
    for name in ("none.bin", "deeper", "pipe", "https://example.org/a.bin", ""):
        with pytest.raises(UserError, match=rf"a\.gltf: refers to '{name}', which does not exist"):
            read_beside(folder / "a.gltf", name)
    (folder / "circle").symlink_to(folder / "circle")
    for name in ("%00", "a" * 5000, "circle"):
        with pytest.raises(UserError, match=rf"a\.gltf: refers to '{name}', which (cannot be read: |does not exist)"):
            read_beside(folder / "a.gltf", name)
