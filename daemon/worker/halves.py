"""Half-precision networks made fit for the chip that they run on.

Works on a TorchScript graph, in place, before it is run for the first time. A frozen network's
weights are constants of its graph, which nothing else changes any more.
"""

from typing import Any, Final

# c10::ScalarType: how TorchScript writes dtypes down.
_FLOAT32: Final = 6
_HALVES: Final = {"torch.float16": 5, "torch.bfloat16": 15}


def widen(graph: Any) -> None:
    """Make weights and casts of a graph that are float16 or bfloat16 float32.

    For a chip without units for them: what would take it 20 to 60 times as long then takes once.
    The weights keep the values that they were rounded to, so results differ from the network's
    float32 export by that rounding, and by less than in half precision.
    """
    for node in graph.findAllNodes("prim::Constant"):
        if node.output().type().kind() == "TensorType":
            tensor = node.t("value")
            if str(tensor.dtype) in _HALVES:
                node.t_("value", tensor.float())
    for node in graph.findAllNodes("aten::to"):
        for at, value in enumerate(node.inputs()):
            if _is_half(value):
                node.replaceInput(at, _float32(graph, node, value))


def _is_half(value: Any) -> bool:
    node = value.node()
    is_number = node.kind() == "prim::Constant" and value.type().kind() == "IntType"
    return is_number and node.i("value") in _HALVES.values()


def _float32(graph: Any, before: Any, like: Any) -> Any:
    """A constant of its own: the other may be somebody else's 5 or 15."""
    node = graph.create("prim::Constant")
    node.i_("value", _FLOAT32)
    node.output().setType(like.type())
    node.insertBefore(before)
    return node.output()
