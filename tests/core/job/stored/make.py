"""Writes the models of this directory: python make.py (onnx 1.19, numpy 2; seed 1). Nothing of it is needed to run the tests.

all.onnx        weights wherever a file can hold them: in both branches of an If, in a Constant, in a function's Constant, read by an operator
                of another domain, behind a Cast, as float16, bfloat16 and double, as raw bytes and as entries of typed fields
model.onnx      two MatMuls whose weights are external, in weights.bin"""
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

r = np.random.default_rng(1)
N, K = 8, 12


def w(dtype=np.float32):
    return r.standard_normal((N, K)).astype(dtype)


def branch(name, weight):
    return h.make_graph([h.make_node("MatMul", ["x", weight], [name + "_y"], name=name + "_mm")], name, [],
                        [h.make_tensor_value_info(name + "_y", T.FLOAT, None)], [nh.from_array(w(), weight)])


inits = [nh.from_array(w(np.float16), "half"), h.make_tensor("typed", T.FLOAT, [N, K], w().ravel().tolist()),
         h.make_tensor("typed_half", T.FLOAT16, [N, K], w().ravel().tolist()), h.make_tensor("brain", T.BFLOAT16, [N, K], w().ravel().tolist()),
         nh.from_array(w(np.float64), "double"), nh.from_array(r.standard_normal((1, K)).astype(np.float32), "bias"), nh.from_array(w(), "linear.weight")]
nodes = [h.make_node("If", ["c"], ["y0"], then_branch=branch("then", "then_w"), else_branch=branch("else", "else_w")),
         h.make_node("Constant", [], ["constant"], value=nh.from_array(w())), h.make_node("MatMul", ["x", "constant"], ["y1"])]
for i, name in enumerate(["half", "typed_half", "brain", "double"]):
    nodes += [h.make_node("Cast", [name], [name + "_f"], to=T.FLOAT), h.make_node("MatMul", ["x", name + "_f"], [f"y{2 + i}"], name=name + "_mm")]
nodes += [h.make_node("MatMul", ["x", "typed"], ["y6"]), h.make_node("MatMul", ["x", "linear.weight"], ["y7"]),
          h.make_node("Twice", ["x"], ["y8"], domain="local"), h.make_node("Sum", [f"y{i}" for i in range(9)], ["s"]), h.make_node("Add", ["s", "bias"], ["y"])]
twice = h.make_function("local", "Twice", ["a"], ["b"], [h.make_node("Constant", [], ["fw"], value=nh.from_array(w())), h.make_node("MatMul", ["a", "fw"], ["b"])],
                        [h.make_opsetid("", 17)])
g = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, ["n", N]), h.make_tensor_value_info("c", T.BOOL, [])],
                 [h.make_tensor_value_info("y", T.FLOAT, ["n", K])], inits)
m = h.make_model(g, functions=[twice], opset_imports=[h.make_opsetid("", 17), h.make_opsetid("local", 1)], ir_version=8)
onnx.checker.check_model(m)
onnx.save(m, "all.onnx")

g = h.make_graph([h.make_node("MatMul", ["x", "w"], ["t"]), h.make_node("MatMul", ["t", "w2"], ["y"])], "g", [h.make_tensor_value_info("x", T.FLOAT, ["n", N])],
                 [h.make_tensor_value_info("y", T.FLOAT, ["n", 5])], [nh.from_array(w(), "w"), nh.from_array(r.standard_normal((K, 5)).astype(np.float32), "w2")])
onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
