"""The gradient of a recurrent layer as an ONNX graph.

PyTorch's exporter has no gradient of its fused recurrent layers, and takes a minute for one of thirty steps written out. So in a
graph to be exported a layer is an operator of ours, which has a shape and a gradient but computes nothing; it is translated to
ONNX here. What can be computed for all steps at once is; the rest is seven operators a step (backpropagation through time:
Werbos 1990; the formulas are those of Greff et al. 2017, "LSTM: a search space odyssey", without peepholes).

n = rows, s = steps, i = inputs, w = width.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from onnxscript import opset18 as op
from torch import Tensor

from epic22.core.errors import InternalError


def _refuse(*_: object) -> Tensor:
    raise InternalError("a recurrent layer of a graph computes nothing in PyTorch: it is there to be exported.")


@torch.library.custom_op("epic22::recurrent_states", mutates_args=())
def recurrent_states(steps: Tensor, into: Tensor, across: Tensor, bias_in: Tensor, bias_across: Tensor) -> Tensor:
    """A layer's states, (n, s, w), of steps (n, s, i) and PyTorch's four weights of the layer."""
    return _refuse()


@torch.library.custom_op("epic22::recurrent_gradient", mutates_args=())
def recurrent_gradient(
    steps: Tensor, into: Tensor, across: Tensor, bias_in: Tensor, bias_across: Tensor, slope: Tensor
) -> Tensor:
    """The gradient with respect to the steps, (n, s, i), where that with respect to the states is `slope` (n, s, w)."""
    return _refuse()


@recurrent_states.register_fake
def _shape_states(steps: Tensor, into: Tensor, across: Tensor, bias_in: Tensor, bias_across: Tensor) -> Tensor:
    return steps.new_empty(steps.shape[0], steps.shape[1], across.shape[1])


@recurrent_gradient.register_fake
def _shape_gradient(steps: Tensor, into: Tensor, across: Tensor, bias_in: Tensor, bias_across: Tensor, slope: Tensor) -> Tensor:
    return torch.empty_like(steps)


def _keep_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _pull_back(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
    return (recurrent_gradient(*ctx.saved_tensors, slope), None, None, None, None)


recurrent_states.register_autograd(_pull_back, setup_context=_keep_inputs)


# From here on values are those of an ONNX graph in the making; steps come first in them: (s, n, …).


def translate_states(steps: Any, into: Any, across: Any, bias_in: Any, bias_across: Any) -> Any:
    """`recurrent_states` in ONNX."""
    return _to_rows_first(_compute_states(_to_steps_first(steps), (into, across, bias_in, bias_across)))


def translate_gradient(steps: Any, into: Any, across: Any, bias_in: Any, bias_across: Any, slope: Any) -> Any:
    """`recurrent_gradient` in ONNX."""
    weights = (into, across, bias_in, bias_across)
    inputs, slopes = _to_steps_first(steps), _split(_to_steps_first(slope), int(steps.shape[1]), axis=0)
    pull = {4: _pull_through_lstm, 3: _pull_through_gru}[_count_gates(weights)]
    by_gate = pull(inputs, _compute_states(inputs, weights), weights, slopes)
    return _to_rows_first(op.MatMul(by_gate, into))


TRANSLATIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.epic22.recurrent_states.default: translate_states,
    torch.ops.epic22.recurrent_gradient.default: translate_gradient,
}


def _compute_states(inputs: Any, weights: Sequence[Any]) -> Any:
    into, across, bias_in, bias_across = weights
    width = int(across.shape[1])
    # PyTorch has the gates enter, forget, candidate, leave and reset, update, new; ONNX enter, leave, forget, candidate and
    # update, reset, new.
    order = {4: (0, 3, 1, 2), 3: (1, 0, 2)}[_count_gates(weights)]

    def reorder(weight: Any) -> Any:
        blocks = _split(weight, len(order), axis=0)
        return op.Unsqueeze(op.Concat(*(blocks[place] for place in order), axis=0), _list(0))

    bias = op.Concat(reorder(bias_in), reorder(bias_across), axis=1)
    if len(order) == 4:
        states, _, _ = op.LSTM(inputs, reorder(into), reorder(across), bias, hidden_size=width)
    else:
        states, _ = op.GRU(inputs, reorder(into), reorder(across), bias, hidden_size=width, linear_before_reset=1)
    return op.Squeeze(states, _list(1))


def _pull_through_lstm(inputs: Any, states: Any, weights: Sequence[Any], slopes: Sequence[Any]) -> Any:
    """The gradient with respect to the gates before their functions, (s, n, 4 w)."""
    into, across, bias_in, bias_across = weights
    sums = op.Add(_apply(inputs, into, bias_in), _apply(_delay(states), across, bias_across))
    enter, forget, candidate, leave = _split(sums, 4, axis=2)
    enter, forget, leave, candidate = op.Sigmoid(enter), op.Sigmoid(forget), op.Sigmoid(leave), op.Tanh(candidate)
    n_steps, entered = len(slopes), op.Mul(enter, candidate)
    memories: list[Any] = []
    for keep, new in zip(_split(forget, n_steps, axis=0), _split(entered, n_steps, axis=0), strict=True):
        memories.append(op.Add(op.Mul(keep, memories[-1]), new) if memories else new)
    memory = op.Concat(*memories, axis=0)
    seen, before = op.Tanh(memory), _delay(memory)
    # What a gate's sum gets of the memory's gradient, and the last one of the state's.
    factors = op.Concat(
        op.Mul(candidate, _slope_of_sigmoid(enter)),
        op.Mul(before, _slope_of_sigmoid(forget)),
        op.Mul(enter, _slope_of_tanh(candidate)),
        op.Mul(seen, _slope_of_sigmoid(leave)),
        axis=2,
    )
    into_memory = _split(op.Mul(leave, _slope_of_tanh(seen)), n_steps, axis=0)
    factor, keep = _split(factors, n_steps, axis=0), _split(forget, n_steps, axis=0)
    by_gate: list[Any] = []
    by_memory: Any = None
    for step in reversed(range(n_steps)):
        by_state = op.Add(slopes[step], op.MatMul(by_gate[-1], across)) if by_gate else slopes[step]
        own = op.Mul(by_state, into_memory[step])
        by_memory = own if by_memory is None else op.Add(own, op.Mul(by_memory, keep[step + 1]))
        by_gate.append(op.Mul(op.Concat(by_memory, by_memory, by_memory, by_state, axis=2), factor[step]))
    return op.Concat(*reversed(by_gate), axis=0)


def _pull_through_gru(inputs: Any, states: Any, weights: Sequence[Any], slopes: Sequence[Any]) -> Any:
    """The gradient with respect to the gates before their functions, (s, n, 3 w), as the inputs see them."""
    into, across, bias_in, bias_across = weights
    before = _delay(states)
    reset_in, update_in, new_in = _split(_apply(inputs, into, bias_in), 3, axis=2)
    reset_across, update_across, new_across = _split(_apply(before, across, bias_across), 3, axis=2)
    reset, update = op.Sigmoid(op.Add(reset_in, reset_across)), op.Sigmoid(op.Add(update_in, update_across))
    new = op.Tanh(op.Add(new_in, op.Mul(reset, new_across)))
    into_new = op.Mul(op.Sub(_one(), update), _slope_of_tanh(new))
    factors = op.Concat(
        op.Mul(op.Mul(into_new, new_across), _slope_of_sigmoid(reset)),
        op.Mul(op.Sub(before, new), _slope_of_sigmoid(update)),
        into_new,
        axis=2,
    )
    n_steps = len(slopes)
    ones = op.Add(op.Mul(reset, op.Constant(value_float=0.0)), _one())
    factor, keep = _split(factors, n_steps, axis=0), _split(update, n_steps, axis=0)
    # The state enters the new one through the reset gate alone.
    passed = _split(op.Concat(ones, ones, reset, axis=2), n_steps, axis=0)
    by_gate: list[Any] = []
    by_state: Any = None
    for step in reversed(range(n_steps)):
        if by_state is None:
            by_state = slopes[step]
        else:
            through = op.MatMul(op.Mul(by_gate[-1], passed[step + 1]), across)
            by_state = op.Add(slopes[step], op.Add(op.Mul(by_state, keep[step + 1]), through))
        by_gate.append(op.Mul(op.Concat(by_state, by_state, by_state, axis=2), factor[step]))
    return op.Concat(*reversed(by_gate), axis=0)


def _count_gates(weights: Sequence[Any]) -> int:
    return int(weights[1].shape[0]) // int(weights[1].shape[1])


def _split(value: Any, n: int, axis: int) -> tuple[Any, ...]:
    parts = op.Split(value, axis=axis, num_outputs=n)
    return tuple(parts) if n > 1 else (parts,)


def _apply(inputs: Any, weight: Any, bias: Any) -> Any:
    return op.Add(op.MatMul(inputs, op.Transpose(weight, perm=[1, 0])), bias)


def _delay(states: Any) -> Any:
    """States one step later: zeros, then all but the last."""
    return op.Pad(op.Slice(states, _list(0), _list(-1), _list(0)), _list(1, 0, 0, 0, 0, 0))


def _slope_of_sigmoid(value: Any) -> Any:
    return op.Mul(value, op.Sub(_one(), value))


def _slope_of_tanh(value: Any) -> Any:
    return op.Sub(_one(), op.Mul(value, value))


def _one() -> Any:
    return op.Constant(value_float=1.0)


def _list(*numbers: int) -> Any:
    return op.Constant(value_ints=list(numbers))


def _to_steps_first(steps: Any) -> Any:
    return op.Transpose(steps, perm=[1, 0, 2])


_to_rows_first = _to_steps_first
