"""Where the nodes and edges of a stage graph are drawn."""

from batches.core.plans.graph_layout import lay_out


def test_a_picture_places_every_phase_once_and_draws_every_known_dependency():
    layout = lay_out([["1"], ["2a", "2b"], ["3"]], {"2a": ["1"], "2b": ["1"], "3": ["2a", "2b", "gone"]}, ["1", "2b", "3"])
    assert sorted(node.key for node in layout.nodes) == ["1", "2a", "2b", "3"]
    assert {(edge.source, edge.target) for edge in layout.edges if edge.critical} == {("1", "2b"), ("2b", "3")}
    assert len(layout.edges) == 4
    assert len({(node.x, node.y) for node in layout.nodes}) == 4


def test_a_picture_draws_what_was_chosen_to_run_one_after_the_other():
    layout = lay_out([["1", "2"], ["3"]], {"3": ["1"]}, added={"2": ["1"], "3": ["1", "2", "gone"]})
    assert {(edge.source, edge.target) for edge in layout.edges if edge.added} == {("1", "2"), ("2", "3")}
    assert layout.has_added
    assert len(layout.edges) == 3
    assert not lay_out([["1"], ["3"]], {"3": ["1"]}).has_added


def test_barycentre_sweeps_untangle_what_can_be_untangled():
    layout = lay_out([["a", "b", "c"], ["x", "y", "z"]], {"x": ["c"], "y": ["b"], "z": ["a"]})
    height = {node.key: node.y for node in layout.nodes}
    assert [height["x"], height["y"], height["z"]] == [height["c"], height["b"], height["a"]]


def test_a_tall_stage_stands_in_lanes_so_that_500_phases_are_no_ribbon():
    wide = [f"2.{at}" for at in range(498)]
    layout = lay_out([["1"], wide, ["3"]], {key: ["1"] for key in wide} | {"3": wide})
    assert 0.4 < layout.height / layout.width < 2.5
    assert len({(node.x, node.y) for node in layout.nodes}) == 500
    middle = layout.columns[1]
    assert all(middle.x <= node.x <= middle.x + middle.width - layout.node_width for node in layout.nodes if node.column == 2)
    lanes = sorted((node.lane, node.x) for node in layout.nodes)
    assert [x for _, x in lanes] == sorted(x for _, x in lanes), "from left to right, as the arrow keys go"
