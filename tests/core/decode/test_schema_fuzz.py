import pytest

from tests.core.decode.schema_fuzz import differences


@pytest.mark.parametrize("format", ["avro", "protobuf"])
def test_columns_say_of_each_record_what_its_json_says(format: str) -> None:
    assert list(differences(format, seed=1, count=3_000)) == []
