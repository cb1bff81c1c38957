"""What is said of an unusual window."""

import pytest

from agent.core.history.anomaly.detector import Detection
from agent.core.history.anomaly.score import detection_text


@pytest.mark.parametrize(
    ("detection", "sentence"),
    [
        (Detection(None), "what is usual is still being learnt"),
        (Detection(0.0), "nothing is unusual"),
        (
            Detection(6.0, "spike", 300_000, 812.5, 240.0, "week"),
            "the value is 812.5, where 240 was expected, the pattern of the week counted",
        ),
        (
            Detection(5.0, "shift", 1_200_000, 80.0, 20.0),
            "over the last 20m the mean is 80, where it was 20 before",
        ),
        (
            Detection(5.0, "level", 19_200_000, 0.7, 0.95),
            "over the last 5h20m the mean is 0.7, far from the 0.95 of the last days",
        ),
        (
            Detection(5.0, "unrest", 4_800_000, 0.7, 0.95),
            "over the last 1h20m values move about more, or more often, than they used to",
        ),
        (
            Detection(5.0, "calm", 4_800_000, 0.7, 0.7, "day"),
            "over the last 1h20m values move about less than they used to, "
            "the pattern of the day counted",
        ),
    ],
)
def test_it_says_what_stood_out(detection, sentence):
    assert detection_text(detection) == sentence
