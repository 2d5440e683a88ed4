#!/usr/bin/env python3
"""Writes tests/golden/keras/*.onnx: recurrent layers as Keras exports them, GRU and SimpleRNN as a Loop (LSTM is one of ONNX's own by then),
and *.f32 beside each: 4 rows, then what ONNX Runtime makes of them, floats in host order. All weights are random, biases, too.

Made with Keras 3.15.1, TensorFlow 2.21.0, tf2onnx 1.17.0 and ONNX Runtime; tolerance 1e-5 absolute.

    pip install tensorflow-cpu tf2onnx onnxruntime && python3 keras_loops.py DIR
"""
import sys

import keras
import numpy as np
import onnxruntime
from keras import layers as L

keras.utils.set_random_seed(20)
T, F, H, ROWS = 6, 3, 5, 4
NETS = {
    "gru": lambda x: L.Dense(2)(L.GRU(H)(x)),
    "gru_before": lambda x: L.Dense(2)(L.GRU(H, reset_after=False)(x)),
    "gru_no_bias": lambda x: L.Dense(2)(L.GRU(H, use_bias=False)(x)),
    "gru_relu": lambda x: L.Dense(2)(L.GRU(H, activation="relu")(x)),
    "gru_stacked": lambda x: L.Dense(2)(L.GRU(4)(L.GRU(H, return_sequences=True)(x))),
    "gru_open": lambda x: L.Dense(2)(L.GRU(H)(x)),
    "gru_backwards": lambda x: L.Dense(2)(L.GRU(H, go_backwards=True)(x)),
    "gru_state": lambda x: L.Dense(2)(L.GRU(H)(x, initial_state=L.Dense(H)(x[:, 0]))),
    "gru_both": lambda x: L.Dense(2)(L.Bidirectional(L.GRU(H, return_sequences=True))(x)),
    "rnn": lambda x: L.Dense(2)(L.SimpleRNN(H)(x)),
    "rnn_relu": lambda x: L.Dense(2)(L.SimpleRNN(H, activation="relu", return_sequences=True)(x)),
    "masked": lambda x: L.Dense(2)(L.GRU(H)(L.Masking()(x))),
    "linear": lambda x: L.Dense(2)(L.GRU(H, activation=None)(x)),
}

for name, net in NETS.items():
    x = keras.Input((None if name == "gru_open" else T, F))
    model = keras.Model(x, net(x))
    for v in model.weights:
        v.assign(np.random.uniform(-0.8, 0.8, v.shape).astype("f"))
    rows = np.random.randn(ROWS, T, F).astype("f")
    model(rows)
    path = f"{sys.argv[1]}/{name}"
    model.export(path + ".onnx", format="onnx", verbose=False)
    s = onnxruntime.InferenceSession(path + ".onnx")
    y = s.run(None, {s.get_inputs()[0].name: rows})[0]
    assert np.abs(y - model.predict(rows, verbose=0)).max() < 1e-5, name
    np.concatenate([rows.ravel(), y.ravel()]).tofile(path + ".f32")
