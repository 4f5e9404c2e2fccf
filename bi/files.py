"""All files by their paths, and how they come into a folder."""

from __future__ import annotations

from pathlib import Path

from bi import power_bi_project, tableau_source
from bi.connection import Connection
from bi.marts import Gold

# Of these, a file that is no longer made belongs to a mart that is no more.
OF_MARTS = ("power_bi/*.SemanticModel/definition/tables/*.tmdl", "tableau/*.tds")


def make(gold: Gold, connection: Connection | None = None) -> dict[str, str]:
    """Every file's text by its path, which is relative to the folder that holds `power_bi/` and `tableau/`.

    Raises:
        BiError: Gold has something that one of the two programs can't be told.
    """
    connection = connection or Connection()
    made = {
        "power_bi": power_bi_project.files(gold, connection),
        "tableau": tableau_source.files(gold, connection),
    }
    return {f"{program}/{path}": text for program, texts in made.items() for path, text in texts.items()}


def write(files: dict[str, str], folder: Path) -> None:
    """Write the files, and remove those of marts that are no more; what else is in the folder stays."""
    for pattern in OF_MARTS:
        for file in folder.glob(pattern):
            if file.relative_to(folder).as_posix() not in files:
                file.unlink()
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
