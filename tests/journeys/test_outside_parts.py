"""A part of another package: written, checked, named in a config, trained, loaded, and never trusted unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
OUTSIDE = ("{type: robust_zscore}", "{type: mypackage/my_detector, smallest_scale: 0.5}")


@pytest.fixture
def with_package(tmp_path: Path, tocsin: Run, in_child: Run) -> Run:
    """The command line where `mypackage` is installed; its detector is the one that `tocsin new` writes."""
    home = tmp_path / "installed"
    assert tocsin("new", "detector", "my_detector", "--folder", home / "mypackage").returncode == 0
    (home / "mypackage" / "__init__.py").write_text('"""Parts of ours."""\n', "utf-8")
    about = home / "mypackage-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1.0\n", "utf-8")
    (about / "entry_points.txt").write_text(
        "[tocsin.detectors]\nmy_detector = mypackage.my_detector:MyDetector\nodd = mypackage.my_detector:np\n", "utf-8"
    )
    return partial(in_child, PYTHONPATH=str(home))


def test_it_is_checked_trained_and_loaded_again(
    site: Path, configure: Callable[..., Path], with_package: Run, tocsin: Run
) -> None:
    checked = with_package("check-part", "detectors", "mypackage/my_detector", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["failures"] == {}

    configure(OUTSIDE)
    trained = with_package("train", "--promote", "--no-plots", "--json")
    assert trained.returncode == 0, trained.stderr
    judged = with_package("evaluate", "--no-plots", "--json")
    assert judged.returncode == 0, judged.stderr
    learnt, found = json.loads(trained.stdout), json.loads(judged.stdout)
    assert found["model"] == learnt["model"]
    assert found["report"]["figures"]["roc_auc"] == learnt["report"]["figures"]["roc_auc"]
    shown = json.loads(with_package("models", "show", "1", "--json").stdout)
    assert shown["content"]["detector"] == {"type": "mypackage/my_detector", "smallest_scale": 0.5}

    configure()
    refused = with_package("score", site / "data" / "rows.csv")
    assert refused.returncode == 1
    assert "parts of other packages: mypackage/my_detector" in refused.stderr
    assert "name it in the config of this machine if you trust it" in refused.stderr

    configure(OUTSIDE)
    missing = tocsin("train")
    assert missing.returncode == 2
    assert 'got "mypackage/my_detector", wanted one of: none is installed' in missing.stderr


def test_it_is_trusted_inside_a_blend_where_the_config_names_it_there(
    site: Path, configure: Callable[..., Path], with_package: Run
) -> None:
    members = "[{type: robust_zscore}, {type: mypackage/my_detector}]"
    configure((OUTSIDE[0], f"{{type: blend, of: {members}}}"))
    assert with_package("train", "--promote", "--no-plots").returncode == 0
    assert with_package("score", site / "data" / "rows.csv").returncode == 0
    configure()
    refused = with_package("score", site / "data" / "rows.csv")
    assert refused.returncode == 1
    assert "parts of other packages: mypackage/my_detector" in refused.stderr


def test_an_unknown_or_odd_outside_part_is_refused_by_name(configure: Callable[..., Path], with_package: Run) -> None:
    configure(("robust_zscore", "mypackage/my_detektor"))
    unknown = with_package("check")
    assert unknown.returncode == 2
    assert 'did you mean "mypackage/my_detector"?' in unknown.stdout
    configure(("robust_zscore", "mypackage/odd"))
    odd = with_package("train")
    assert odd.returncode == 2
    assert "$.detector.type" in odd.stderr
    assert "a class derived from tocsin's Part" in odd.stderr
