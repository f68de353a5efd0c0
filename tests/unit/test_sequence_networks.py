"""Networks that read the steps of a sequence: what they see in it, and that their graphs compute what they do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from epic22.core.column import Column, SequenceStep
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.sequence_columns import arrange_steps, leave_out_steps, mark_steps
from epic22.core.errors import ColumnError
from epic22.core.models.catalog import FAMILIES, get_family, refuse_unfit_families
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    Layers,
    LstmLayers,
    MlpLayers,
    NetworkColumns,
    NetworkSpec,
    TransformerLayers,
)
from epic22.core.task import Array

torch = pytest.importorskip("torch")

READERS = [family.name for family in FAMILIES if family.capabilities.reads_sequences]
SHAPES: list[Layers] = [
    LstmLayers(width=8, members=2, embedding=4, n_bins=4),
    LstmLayers(width=8, members=2, embedding=4, n_bins=4, depth=1, cell="gru"),
    TransformerLayers(width=8, members=2, embedding=4, n_bins=4, depth=1, heads=2, patch=3),
    ConvolutionLayers(width=8, members=2, embedding=4, n_bins=4, depth=2),
]
N_STEPS, N_CHANNELS = 7, 2
STEPS = tuple(tuple(2 + step * N_CHANNELS + channel for channel in range(N_CHANNELS)) for step in range(N_STEPS))
COLUMNS = NetworkColumns((0,), (1,), (3,), STEPS)


def build_spec(layers: Layers, n_outputs: int = 1) -> NetworkSpec:
    return NetworkSpec(COLUMNS, layers, n_outputs, "log_odds" if n_outputs == 1 else "class_scores")


def draw_rows(n: int = 6, seed: int = 0) -> Array:
    """A number, a category of three levels, and a sequence of two channels, some steps missing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, COLUMNS.n_columns)).astype(np.float32)
    X[:, 1] = rng.integers(0, 4, n)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


@pytest.mark.slow
@pytest.mark.parametrize("layers", SHAPES, ids=lambda layers: f"{type(layers).__name__}-{getattr(layers, 'cell', '')}")
def test_its_graphs_score_and_explain_as_the_network_does(layers: Layers) -> None:
    """The recurrent gradient is translated by hand: it is held against that of PyTorch."""
    from epic22.core.models.networks.architecture import build_network
    from epic22.core.models.networks.graph_session import GraphSession
    from epic22.core.models.networks.integrated_gradients import POINTS_PER_RUN
    from epic22.core.models.networks.members import average_members
    from epic22.core.models.networks.onnx_graph import bind_weights, export_reason_graph, export_score_graph, simplify_spec

    spec, X = build_spec(layers, n_outputs=3), draw_rows()
    torch.manual_seed(1)
    network = build_network(spec).eval()
    network.fit_inputs(draw_rows(50, seed=3))
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.2 * torch.randn_like(weight)
    x = torch.from_numpy(X)
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    vectors = network(x, "vectors").detach()
    weights["reference"] = vectors.mean(0).numpy()
    graphs = (export(simplify_spec(spec)) for export in (export_score_graph, export_reason_graph))
    score, reasons = (GraphSession(bind_weights(graph, weights)) for graph in graphs)
    expected = average_members(network(x), spec).detach().numpy()
    assert np.abs(score.run(X) - expected).max() < 1e-5

    points, shares = np.linspace(0, 1, POINTS_PER_RUN), np.array([0.5, 0.0, -1.0])
    parts = reasons.run(X[:1], points=points, outputs=shares)
    reference, places = vectors.mean(0), list(COLUMNS.places)

    def score_vectors(place: Any) -> Any:
        steps = place[:, 2:, :2].unflatten(1, (N_STEPS, N_CHANNELS))
        raw = network._compute_outputs(place[:, :2], steps, network.encoder)
        return average_members(raw, spec) @ torch.tensor(shares, dtype=torch.float32)

    for point, part in zip(points, parts, strict=True):
        place = (reference + float(point) * (vectors[:1] - reference)).requires_grad_()
        (gradient,) = torch.autograd.grad(score_vectors(place).sum(), place)
        on_way = (gradient * (vectors[:1] - reference)).sum(2)[0, places].numpy()
        assert np.abs(part[:-1] - on_way).max() < 1e-4
    assert np.abs(parts[:, -1] - score_vectors(reference[None]).item()).max() < 1e-5


@pytest.mark.slow
def test_a_graph_of_reasons_puts_no_gradient_of_steps_into_zeros_one_by_one() -> None:
    """Taking the steps out of the vectors, and delaying them, once cost a quarter of a convolution's reasons."""
    import onnx

    from epic22.core.models.networks.onnx_graph import export_reason_graph, simplify_spec

    graph = onnx.load_model_from_string(export_reason_graph(simplify_spec(build_spec(SHAPES[-1], n_outputs=3)))).graph
    assert sum(node.op_type.startswith("Scatter") for node in graph.node) == 1, "of the last step alone"


@pytest.mark.parametrize("n_steps", [2, 3, 5])
def test_a_convolution_that_reaches_beyond_the_first_step_sees_zeros_there(n_steps: int) -> None:
    from epic22.core.models.networks.convolution import CausalConvolution

    torch.manual_seed(0)
    layer, h = CausalConvolution(2, 3, kernel=4, dilation=1), torch.randn(5, n_steps, 2)
    longer = torch.cat([torch.zeros(5, 3, 2), h], dim=1)
    taps = torch.cat([longer[:, 3 - before : 3 - before + n_steps] for before in layer.before], dim=2)
    assert torch.allclose(layer(h), layer.taps(taps), atol=1e-6)


def draw_rises(n: int, seed: int) -> tuple[Array, Array]:
    """Walks of eight steps, level at random, and whether the last one lies above the one before; the values alone say little."""
    rng = np.random.default_rng(seed)
    X = (3 * rng.normal(size=(n, 1)) + rng.normal(size=(n, 8))).astype(np.float32)
    return X, (X[:, -1] > X[:, -2]).astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_it_learns_what_only_the_order_of_steps_tells(name: str) -> None:
    X, y = draw_rises(1200, 0)
    X_test, y_test = draw_rises(400, 1)
    problem = LearningProblem(
        "binary", tuple(f"x{j}" for j in range(8)), (False,) * 8, n_classes=2, steps=tuple((j,) for j in range(8))
    )
    estimator = get_family(name).build(
        problem, seed=1, skip=False, depth=1, width=16, members=2, embedding=2, n_bins=2, default_epochs=25, learning_rate=1e-2
    )
    estimator.fit(X, y)
    assert ((estimator.decision_function(X_test) > 0) == y_test).mean() > 0.9


def test_augmented_steps_are_noisy_and_of_each_row_at_most_one_short_stretch_is_missing() -> None:
    from epic22.core.models.networks.augmentation import augment_steps

    steps = torch.stack([torch.randn(400, 20, 2), torch.zeros(400, 20, 2)], dim=3)
    torch.manual_seed(3)
    changed = augment_steps(steps, 0.2)
    torch.manual_seed(3)
    assert torch.equal(changed, augment_steps(steps, 0.2))
    assert not torch.equal(changed, augment_steps(steps, 0.2))
    distance, is_missing = changed[..., 0], changed[..., 1]
    assert torch.equal(is_missing[..., 0], is_missing[..., 1])
    assert (distance[is_missing > 0] == 0).all()
    assert sorted(set(is_missing[..., 0].sum(1).tolist())) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (is_missing[..., 0].diff(dim=1) > 0).sum(1).max() <= 1
    noise = (distance - steps[..., 0])[is_missing == 0]
    assert float(noise.std()) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("layers", SHAPES, ids=lambda layers: f"{type(layers).__name__}-{getattr(layers, 'cell', '')}")
def test_a_network_answers_of_steps_as_they_are_whatever_it_was_trained_with(layers: Layers) -> None:
    from epic22.core.models.networks.architecture import build_network
    from epic22.core.models.networks.onnx_graph import simplify_spec

    assert not isinstance(layers, MlpLayers)
    x, augmented = torch.from_numpy(draw_rows(50)), build_spec(replace(layers, dropout=0.0, augmentation=0.3))
    torch.manual_seed(0)
    network = build_network(augmented)
    in_training = network(x)
    answer = network.eval()(x)
    assert not torch.equal(in_training, answer)
    assert torch.equal(answer, network(x))
    assert simplify_spec(augmented) == simplify_spec(build_spec(layers))


def test_quantiles_of_a_network_never_cross() -> None:
    from epic22.core.models.networks.members import order_quantiles

    raw = torch.randn(20, 3, 10) * 30
    ordered = order_quantiles(raw, 5).unflatten(-1, (2, 5))
    assert (ordered.diff(dim=-1) >= 0).all()
    assert torch.equal(ordered[..., 2], raw.unflatten(-1, (2, 5))[..., 2])


@pytest.mark.parametrize("layers", SHAPES, ids=lambda layers: f"{type(layers).__name__}-{getattr(layers, 'cell', '')}")
def test_steps_in_another_order_of_columns_are_the_same_sequence(layers: Layers) -> None:
    from epic22.core.models.networks.architecture import build_network

    spec, X = build_spec(layers), draw_rows(20)
    order = np.random.default_rng(0).permutation(COLUMNS.n_columns)
    place = {int(old): new for new, old in enumerate(order)}
    moved = NetworkColumns((place[0],), (place[1],), (3,), tuple(tuple(place[p] for p in step) for step in STEPS))
    torch.manual_seed(0)
    network = build_network(spec).eval()
    other = build_network(replace(spec, columns=moved)).eval()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(network(torch.from_numpy(X)), other(torch.from_numpy(np.ascontiguousarray(X[:, order]))))


def name_columns(*names: str) -> list[Column]:
    return [Column(name, "float") for name in names]


def test_a_pattern_takes_columns_by_the_numbers_in_their_names() -> None:
    columns = name_columns("load_10", "heat_9", "age", "load_9", "heat_10", "loading_3")
    marked = mark_steps(columns, ["load_*", "heat_*"])
    assert [c.step and (c.step.channel, c.step.number) for c in marked] == [
        ("load_*", 10),
        ("heat_*", 9),
        None,
        ("load_*", 9),
        ("heat_*", 10),
        None,
    ]
    assert arrange_steps(marked) == ((3, 1), (0, 4))


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["load"], "expected one \\*"),
        (
            ["laod_*"],
            r"--sequence 'laod_\*': names none of the inputs, expected 2 or more with a number for the \*; "
            r"write --sequence 'load_\*' for load_1, load_2, load_3",
        ),
        (["load_*", "l*oad_*"], "expected one \\*"),
        (["load_*", "*oad_2"], "names none of the inputs"),
        (["heat_1*"], "names none of the inputs, .*write --sequence 'heat_\\*' for heat_2, heat_3"),
        (["loa*"], "names none of the inputs, .*write --sequence 'load_\\*'"),
        (["load_*", "heat_*"], "heat_\\* has no step 1, which load_\\* has"),
    ],
)
def test_patterns_that_name_no_sequence_are_refused(patterns: list[str], message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        mark_steps(name_columns("load_1", "load_2", "load_3", "heat_2", "heat_3"), patterns)


def test_where_no_columns_are_numbered_alike_they_are_named_and_the_option_is_to_be_left_out() -> None:
    with pytest.raises(
        ColumnError, match=r"names only load_1 of the inputs.* among load_1, size; rename .* leave --sequence out"
    ):
        mark_steps(name_columns("load_1", "size"), ["load_*"])


def test_a_category_is_no_step() -> None:
    with pytest.raises(ColumnError, match="load_2 is of type category, expected numbers"):
        mark_steps([Column("load_1", "float"), Column("load_2", "category")], ["load_*"])


def test_a_family_that_reads_a_sequence_is_refused_where_there_is_none() -> None:
    with pytest.raises(ColumnError, match="lstm reads a sequence, and no columns are declared as its steps"):
        refuse_unfit_families(["lstm"], "binary")
    refuse_unfit_families(["lstm"], "binary", has_sequence=True)


def test_steps_for_sequences_alone_are_hidden_from_families_that_read_rows() -> None:
    columns = [
        Column("age", "int"),
        *(Column(f"load_{i}", "float", step=SequenceStep("load", i, only_sequences=True)) for i in range(3)),
    ]
    rows = leave_out_steps(FeatureRecipe(), columns, reads_sequences=False)
    assert rows.inputs == ("age",)
    assert leave_out_steps(FeatureRecipe(), columns, reads_sequences=True) == FeatureRecipe()


def test_a_problem_without_one_of_its_columns_keeps_the_places_of_its_steps() -> None:
    problem = LearningProblem("binary", ("exposure", "a_1", "a_2"), (False,) * 3, steps=((1,), (2,)))
    assert problem.drop_column("exposure").steps == ((0,), (1,))
