"""The bundle: opens the same, and refuses what was damaged, altered or never ours, before constructing anything."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tests.folders import folder_of_process
from tests.toy import inputs, list_tried_kinds, toy

from epic22.core.artifact.bundle import Bundle, Schema, compute_model_hash, open_bundle, write_bundle
from epic22.core.data.preprocess import Preprocessor
from epic22.core.errors import BundleError
from epic22.core.evaluation.conformal import AdaptiveInterval, ClassSets, ConformalInterval, ConstantInterval
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.base import Family
from epic22.core.models.catalog import FAMILIES, get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.task import Kind


def bundle(family: Family, kind: Kind = "binary", seed: int = 0) -> Bundle:
    """A bundle fitted on a toy."""
    made = toy(kind)
    preprocessor = Preprocessor.fit(made.task.input_columns, made.examples.X)
    estimator = family.build(LearningProblem.of(made.task), seed=seed, threads=1)
    estimator.fit(preprocessor.transform(made.examples.X), made.examples.y)
    band = ConstantInterval(0.9, 1.5) if kind == "regression" else None
    empty = Bundle(Schema.of(made.task), family.name, "proven", "", "v0", seed, preprocessor, estimator, band)
    return replace(empty, model_hash=compute_model_hash(empty))


@cache
def write_once() -> Path:
    folder = folder_of_process() / "bundle"
    write_bundle(folder, bundle(get_family("boosting")), toy().examples.X)
    return folder


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return Path(shutil.copytree(write_once(), tmp_path / "bundle"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "kind"),
    [pytest.param(f, kind, id=f"{f.name}-{kind}") for f in FAMILIES for kind in list_tried_kinds(f)],
)
def test_an_opened_bundle_scores_the_same_bits(family: Family, kind: Kind, tmp_path: Path) -> None:
    made = bundle(family, kind)
    write_bundle(tmp_path / "b", made, toy(kind).examples.X)
    opened = open_bundle(tmp_path / "b")
    X = inputs(60, seed=4)
    raw = opened.estimator.decision_function(opened.preprocessor.transform(X))
    assert raw.tobytes() == made.estimator.decision_function(made.preprocessor.transform(X)).tobytes()
    assert (opened.schema, opened.interval, opened.model_hash) == (made.schema, made.interval, made.model_hash)


@pytest.mark.slow
def test_the_hash_follows_model_seed_and_data_and_nothing_else() -> None:
    made = bundle(get_family("boosting"))
    assert compute_model_hash(bundle(get_family("boosting"))) == made.model_hash
    assert compute_model_hash(bundle(get_family("boosting"), seed=1)) != made.model_hash
    assert compute_model_hash(replace(made, data_version="v1")) != made.model_hash
    assert compute_model_hash(replace(made, status="provisional")) == made.model_hash


BANDS: list[ConformalInterval] = [
    ConstantInterval(0.9, 1.5),
    AdaptiveInterval(0.9, "constant", 1.0, 2.0),
    AdaptiveInterval(0.9, "scaled", 1.1, 1.3, (0.0, 1.0, 5.0), (0.1, 0.2, 0.3)),
    AdaptiveInterval(0.9, "relative", 0.2, 0.3, min_value=0.4, floor=0.0),
]


@pytest.mark.parametrize("band", BANDS, ids=lambda band: getattr(band, "kind", "plain"))
def test_a_band_comes_back_the_same_and_is_part_of_the_hash(band: ConformalInterval, tmp_path: Path) -> None:
    plain = bundle(get_family("linear"), "regression")
    made = replace(plain, interval=band)
    made = replace(made, model_hash=compute_model_hash(made))
    write_bundle(tmp_path / "b", made, toy("regression").examples.X)
    opened = open_bundle(tmp_path / "b")
    assert (opened.interval, opened.coverage) == (band, 0.9)
    assert (opened.model_hash == plain.model_hash) == (band == plain.interval)


def test_sets_come_back_the_same_and_are_part_of_the_hash(tmp_path: Path) -> None:
    plain = bundle(get_family("linear"))
    made = replace(plain, sets=ClassSets(0.9, (0.3, 0.1), (1, 0)))
    made = replace(made, model_hash=compute_model_hash(made))
    write_bundle(tmp_path / "b", made, toy().examples.X)
    opened = open_bundle(tmp_path / "b")
    assert (opened.sets, opened.coverage) == (made.sets, 0.9)
    assert opened.model_hash != plain.model_hash


def test_a_bundle_written_before_sets_and_other_bands_existed_says_nothing_of_them(tmp_path: Path) -> None:
    """What such a manifest held, so that its hash still fits: a half width, and no word of sets."""
    write_bundle(tmp_path / "values", bundle(get_family("linear"), "regression"), toy("regression").examples.X)
    write_bundle(tmp_path / "classes", bundle(get_family("linear")), toy().examples.X)
    values, classes = (json.loads((tmp_path / name / "manifest.json").read_bytes()) for name in ("values", "classes"))
    assert values["conformal"] == {"coverage": 0.9, "half_width": 1.5}
    assert classes["conformal"] is None
    assert not {"sets"} & (set(values) | set(classes))
    assert open_bundle(tmp_path / "values").interval == ConstantInterval(0.9, 1.5)
    assert open_bundle(tmp_path / "classes").coverage is None


def test_a_band_that_this_version_does_not_know_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", bundle(get_family("linear"), "regression"), toy("regression").examples.X)
    change(tmp_path / "b", conformal={"coverage": 0.9, "kind": "oracle", "lower": 1.0, "upper": 1.0})
    with pytest.raises(BundleError, match="not known"):
        open_bundle(tmp_path / "b")


def test_no_file_of_a_bundle_is_a_pickle(written: Path) -> None:
    for path in written.rglob("*"):
        if path.is_file():
            with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError, AttributeError)):
                pickle.loads(path.read_bytes())  # noqa: S301


def truncated(folder: Path) -> None:
    path = folder / "model" / "booster.ubj"
    path.write_bytes(path.read_bytes()[:-10])


def flipped(folder: Path) -> None:
    path = folder / "model" / "booster.ubj"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def missing(folder: Path) -> None:
    (folder / "preprocessing.json").unlink()


def added(folder: Path) -> None:
    (folder / "model" / "extra.pkl").write_bytes(pickle.dumps(1))


def headless(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def half_a_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:100])


def foreign(folder: Path) -> None:
    change(folder, format="mlflow")


def newer(folder: Path) -> None:
    change(folder, format_version=99)


def another_family(folder: Path) -> None:
    change(folder, family="linear")


def unknown_family(folder: Path) -> None:
    change(folder, family="oracle")


def another_seed(folder: Path) -> None:
    change(folder, seed=7)


def linked_outside(folder: Path) -> None:
    path = folder / "preprocessing.json"
    aside = folder.parent / "aside.json"
    aside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(aside)


def forged_golden(folder: Path) -> None:
    """Even with its hash mended, a golden row that scores otherwise stops the bundle."""
    path = folder / "golden.json"
    golden = json.loads(path.read_bytes())
    golden["raw"][0] += 1.0
    path.write_bytes(canonical_json(golden))
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    files["golden.json"] = {"sha256": sha256(path.read_bytes()), "bytes": path.stat().st_size}
    change(folder, files=files)


def another_status(folder: Path) -> None:
    """A careless edit: the seal tells."""
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"proven"', '"approved"'))


def change(folder: Path, **values: object) -> None:
    """A careful edit: the manifest is sealed again."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes()) | values
    manifest.pop("seal")
    path.write_text(json.dumps(manifest | {"seal": sha256(canonical_json(manifest))}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncated, "bytes"),
        (flipped, "altered"),
        (missing, "differ"),
        (added, "differ"),
        (headless, "not a bundle of ours"),
        (half_a_manifest, "cannot be read"),
        (foreign, "not an epic22-bundle"),
        (newer, "format version 99"),
        (another_family, "cannot open|can open"),
        (unknown_family, "can open"),
        (another_seed, "not the one its manifest names"),
        (another_status, "manifest.json was altered"),
        (linked_outside, "leads outside"),
        (forged_golden, "golden row 1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_bundle_is_refused_with_the_reason(damage: Callable[[Path], None], said: str, written: Path) -> None:
    damage(written)
    with pytest.raises(BundleError, match=said):
        open_bundle(written)


def test_an_absent_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        open_bundle(tmp_path / "nowhere")


def test_a_bundle_is_never_written_over_another(written: Path) -> None:
    with pytest.raises(FileExistsError):
        write_bundle(written, bundle(get_family("constant")), toy().examples.X)
