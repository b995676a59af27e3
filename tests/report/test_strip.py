from xml.etree import ElementTree

from morphogen.report.strip import strip
from morphogen.report.verdict import Verdict


def test_the_interval_is_drawn_within_the_picture() -> None:
    for low, middle, high in ((-0.01, 0.004, 0.02), (0.01, 0.02, 0.03), (-0.03, -0.02, -0.01), (0.0, 0.0, 0.0)):
        drawn = ElementTree.fromstring(strip(Verdict("cannot tell", "", middle, low, high)))
        places = [float(e.attrib[a]) for e in drawn.iter() for a in ("x1", "x2", "cx") if a in e.attrib]
        assert 0 <= min(places)
        assert max(places) <= 460


def test_there_is_no_picture_without_an_interval_and_a_metric_is_escaped() -> None:
    assert "" == strip(Verdict("cannot tell", "", 0.1))
    assert "<b>" not in strip(Verdict("better", "", 1.0, 0.5, 1.5, metric="<b>"))
