"""How long a writer waits for another one is a number of seconds, or it is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion import IngestionError, writer_lock


@pytest.mark.parametrize("text", ["soon", "nan", "-5", "10 s"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("WRITER_LOCKS", str(tmp_path))
    monkeypatch.setenv("WRITER_WAIT", text)
    with pytest.raises(IngestionError, match=f"WRITER_WAIT is {text}. Write a number"), writer_lock("bronze", "test"):
        pass
