#!/usr/bin/env python3
"""Writes the small ONNX files beside it, and the seeds of the fuzz corpora. Needs the Python packages onnx (1.16 or newer) and
numpy; what it writes is checked in, so tests need neither. Run it from anywhere: python3 tests/data/onnx/make.py"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE.parents[1] / "fuzz" / "corpus"
RNG = np.random.default_rng(7)


def value(name, *shape, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, list(shape))


def floats(name, *shape, dtype=np.float32):
    return nh.from_array(RNG.standard_normal(shape).astype(dtype), name)


def model(nodes, inputs, outputs, inits=(), opset=17, **more):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(inits), **more)
    m = h.make_model(graph, producer_name="make.py", opset_imports=[h.make_opsetid("", opset)], ir_version=8)
    return m


def mlp():
    return model(
        [h.make_node("Gemm", ["x", "w1", "b1"], ["h"], "fc1", transB=1), h.make_node("Relu", ["h"], ["r"], "relu1"),
         h.make_node("Gemm", ["r", "w2"], ["z"], "fc2"), h.make_node("Softmax", ["z"], ["y"], axis=-1)],
        [value("x", "N", 4)], [value("y", "N", 3)],
        [floats("w1", 5, 4), floats("b1", 5), floats("w2", 5, 3)], value_info=[value("h", "N", 5)])


def typed():
    return model(
        [h.make_node("Cast", ["h"], ["hf"], to=T.FLOAT), h.make_node("MatMul", ["x", "f"], ["m"]), h.make_node("Add", ["m", "hf"], ["y"])],
        [value("x", "N", 2)], [value("y", "N", 3)],
        [h.make_tensor("f", T.FLOAT, [2, 3], [1, 0, -2, 3.5, 0, 0.25]), h.make_tensor("h", T.FLOAT16, [3], [0.5, -1, 0]),
         h.make_tensor("bf", T.BFLOAT16, [2], [1.5, -2]), h.make_tensor("d", T.DOUBLE, [2], [0.1, 0.2]),
         h.make_tensor("i", T.INT64, [3], [-1, 2, 1 << 40]), h.make_tensor("u", T.UINT64, [1], [1 << 63]),
         h.make_tensor("s", T.STRING, [2], [b"a", b"\xff\x00"]), h.make_tensor("c", T.COMPLEX64, [1], [1 + 2j]),
         h.make_tensor("i4", T.INT4, [3], [1, -2, 3])])


def subgraphs():
    then = h.make_graph([h.make_node("Identity", ["x"], ["t"])], "then", [], [value("t", 2)])
    other = h.make_graph([h.make_node("Neg", ["x"], ["e"])], "else", [], [value("e", 2)])
    return model(
        [h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
         h.make_node("Constant", [], ["k"], value=floats("k", 2)), h.make_node("Constant", [], ["l"], value_floats=[1.0, 2.0]),
         h.make_node("Squeeze", ["y", ""], ["z", ""], "optional"), h.make_node("Custom", ["z"], ["q"], domain="com.example", mode="x", axes=[0, 1])],
        [value("x", 2), value("c", dtype=T.BOOL)], [value("q", 2)])


def external():
    m = mlp()
    t = m.graph.initializer[0]
    t.ClearField("raw_data")
    t.data_location = T.EXTERNAL
    for key, text in (("location", "../../etc/passwd"), ("offset", "-1"), ("length", "99999999999999999999")):
        t.external_data.add(key=key, value=text)
    return m


def sparse():
    s = h.make_sparse_tensor(h.make_tensor("sp", T.FLOAT, [2], [1, 2]), h.make_tensor("idx", T.INT64, [2], [0, 99]), [2, 3])
    return model([h.make_node("MatMul", ["x", "sp"], ["y"])], [value("x", "N", 2)], [value("y", "N", 3)], sparse_initializer=[s])


def functions():
    m = model([h.make_node("Twice", ["x"], ["y"], domain="local")], [value("x", 2)], [value("y", 2)])
    m.opset_import.append(h.make_opsetid("local", 1))
    body = [h.make_node("Add", ["a", "a"], ["b"])]
    m.functions.append(h.make_function("local", "Twice", ["a"], ["b"], body, [h.make_opsetid("", 17), h.make_opsetid("local", 1)]))
    m.training_info.add().initialization.name = "start"
    h.set_model_props(m, {"key": "value"})
    return m


def multi():
    """Two inputs, three outputs: a number and a class for a sequence, and a class for every token of it."""
    return model(
        [h.make_node("Gather", ["table", "ids"], ["e"], "embed"), h.make_node("Unsqueeze", ["mask", "two"], ["m"]), h.make_node("Mul", ["e", "m"], ["em"]),
         h.make_node("ReduceSum", ["em", "one"], ["s"], keepdims=0), h.make_node("Gemm", ["s", "wa", "ba"], ["age"], "fa"),
         h.make_node("Gemm", ["s", "wk", "bk"], ["kind"], "fk"), h.make_node("MatMul", ["e", "wt"], ["tags"], "ft"),
         h.make_node("ArgMax", ["kind"], ["guess"], axis=1, keepdims=0)],
        [value("ids", "N", 4, dtype=T.INT64), value("mask", "N", 4)],
        [value("guess", "N", dtype=T.INT64), value("age", "N", 1), value("kind", "N", 3), value("tags", "N", 4, 2)],
        [floats("table", 6, 5), floats("wa", 5, 1), floats("ba", 1), floats("wk", 5, 3), floats("bk", 3), floats("wt", 5, 2),
         nh.from_array(np.array([1]), "one"), nh.from_array(np.array([2]), "two")])


def main():
    for make in (mlp, typed, subgraphs, external, sparse, functions, multi):
        data = make().SerializeToString()
        (HERE / f"{make.__name__}.onnx").write_bytes(data)
        (CORPUS / "onnx" / f"{make.__name__}.onnx").write_bytes(data)
    (CORPUS / "onnx" / "truncated.onnx").write_bytes(mlp().SerializeToString()[:-40])
    for name, data in {
        "all_types": b"\x08\x96\x01\x11abcdefgh\x1a\x02\x08\x01\x25abcd", "group": b"\x0b\x08\x01\x0c", "field_zero": b"\x02\x00",
        "long_varint": b"\x08" + b"\xff" * 10 + b"\x01", "past_the_end": b"\x0a\x05ab", "packed": b"\x0a\x05\x01\x96\x01\x80\x01", "empty": b"",
    }.items():
        (CORPUS / "wire" / name).write_bytes(data)


if __name__ == "__main__":
    main()
