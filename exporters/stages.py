"""The folders of a run's stages, for those who tell of all of them: `stages.json` beside them lists them in order."""

from pathlib import Path

from core.files import read_json

STAGES = "stages.json"


def stages_in(folder: Path) -> list[str]:
    """The names of a run's stages, in order; none for a run that has no stages."""
    names = read_json(folder / STAGES)
    if not isinstance(names, list):
        return []
    return [name for name in names if isinstance(name, str) and Path(name).name == name and name not in ("", "..")]


def stage_folders(folder: Path) -> list[Path]:
    """The folders of a run's stages, in order."""
    return [folder / name for name in stages_in(folder)]


def whole_run(folder: Path) -> Path:
    """The folder of all stages, of a run that is the last of several; else the run's own."""
    return folder.parent if stages_in(folder.parent)[-1:] == [folder.name] else folder


def enclosing_run(folder: Path) -> Path:
    """The folder of all stages, of a run that is any of several; else the run's own. It is what can be resumed."""
    return folder.parent if folder.name in stages_in(folder.parent) else folder


def earlier_stages(run_folder: Path) -> list[Path]:
    """The folders of the stages that a run goes on from, the first one first."""
    names = stages_in(run_folder.parent)
    if run_folder.name not in names:
        return []
    return [run_folder.parent / name for name in names[: names.index(run_folder.name)]]
