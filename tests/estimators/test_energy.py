"""Counters of energy, as files."""

from pathlib import Path

from morphogen.estimators.energy import Meter


def package(root: Path, name: str, energy: int) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "energy_uj").write_text(f"{energy}\n")
    (root / name / "max_energy_range_uj").write_text("1000000\n")


def test_packages_are_added_up_and_parts_of_them_are_not_counted_twice(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 100)
    package(tmp_path, "intel-rapl:1", 200)
    package(tmp_path, "intel-rapl:0:0", 50)
    meter = Meter.find(tmp_path)
    assert meter is not None
    before = meter.read()
    assert (100, 200) == before
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("4100\n")
    assert 4.0 == meter.millijoules(before, meter.read())


def test_a_counter_that_began_again_is_seen(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 999_000)
    meter = Meter.find(tmp_path)
    assert meter is not None
    assert 3.0 == meter.millijoules((999_000,), (2_000,))


def test_a_machine_that_tells_nothing_has_no_meter(tmp_path: Path) -> None:
    assert Meter.find(tmp_path) is None
    (tmp_path / "intel-rapl:0").mkdir()
    assert Meter.find(tmp_path) is None
