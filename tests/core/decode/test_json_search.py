import numpy as np
import pytest

from agent.core.decode.batch import Chunk
from agent.core.decode.json_search import malformed, out_of_range

GOOD = b'{"a":1}'


def chunk(*records: bytes) -> Chunk:
    return Chunk(np.arange(len(records)), records)


@pytest.mark.parametrize(
    "bad", [b'{"a":NaN}', b'{"a":}', b'[{"a":1}]', b'{"a":1}}', b'{"a":"\xff"}']
)
@pytest.mark.parametrize("at", [0, 31, 32, 70])
def test_a_malformed_record_is_found_wherever_it_stands(bad: bytes, at: int) -> None:
    records = [GOOD] * 71
    records[at] = bad
    assert malformed(chunk(*records))[0] == [at]


def test_half_a_surrogate_pair_is_malformed() -> None:
    assert malformed(chunk(GOOD, b'{"a":"\\ud800"}', b'{"a":"\\ud83d\\ude00"}'))[0] == [1]


def test_a_record_on_several_lines_is_put_on_one() -> None:
    bad, lines = malformed(chunk(GOOD, b'{"a":\n1}', b'{"a":"x\ny"}'))
    assert (bad, lines[1]) == ([2], b'{"a": 1}')


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("number", [b"1e999", b"-1E+400", b"9" * 45])
def test_a_number_out_of_range_is_found_wherever_it_stands(number: bytes, at: int) -> None:
    records = [b'{"id":"3e456"}', b'{"id":"e000"}', GOOD]
    records[at] = b'{"a":' + number + b"}"
    assert out_of_range(chunk(*records))[0] == [at]
