"""Which names a base model may declare, and what is said of the others, before anything runs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from dbt_common.exceptions import DbtRuntimeError
from dbt_local_stack import refuse_names


def base(**fields: str | None) -> SimpleNamespace:
    """A parsed model that declares columns; of each the field that `meta` names, if it does."""
    columns = {
        name: SimpleNamespace(config=SimpleNamespace(meta={} if field is None else {"field": field}))
        for name, field in fields.items()
    }
    return SimpleNamespace(name="base_bank__card_changes", columns=columns)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"is_deleted": None}, "is_deleted is a name of Silver's own.*bank_is_deleted.*field: is_deleted"),
        ({"IS_DELETED": None}, "IS_DELETED is a name of Silver's own"),
        ({"_loaded_at": "loaded"}, "_loaded_at is a name of Silver's own.*field: loaded"),
        ({"_cdc_op": "op"}, "_cdc_op is a name of Silver's own.*field: op"),
        ({"id": None, "ID": None}, "ID is there twice, as Spark ignores capitals.*bank_ID.*field: ID"),
    ],
)
def test_a_name_that_is_taken_is_refused_with_what_to_write(fields: dict[str, str | None], said: str) -> None:
    with pytest.raises(DbtRuntimeError, match=said):
        refuse_names(base(**fields))


def test_every_other_name_is_the_banks() -> None:
    refuse_names(
        base(_version=None, change=None, select=None, _message=None, bank_is_deleted="is_deleted", _loaded_at=None)
    )
