"""Writes tests/golden/sklearn/*.onnx and *.f32: linear models and a small net ("units") as scikit-learn's exporter writes them, and what ONNX Runtime makes of them.

A .f32 file holds the input of five rows, then every output, as float32 (labels, too, unless they are texts). Made with scikit-learn 1.9, skl2onnx 1.20, ONNX Runtime 1.32.0;
compared within 1e-5.   python3 tests/golden/sklearn_linear.py
"""
import os

import numpy as np
import onnxruntime as ort
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import LinearSVC

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sklearn")


def main():
    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    models = {
        "classes": (make_pipeline(StandardScaler(), LogisticRegression()), y),
        "names": (LogisticRegression(), np.array([3, 9, 7])[y]),
        "two": (make_pipeline(Normalizer(), LogisticRegression()), (y > 0).astype(int)),
        "margins": (LinearSVC(random_state=1), y),
        "one_target": (make_pipeline(StandardScaler(), LinearRegression()), y.astype(np.float32)),
        "targets": (Ridge(), np.stack([y, x[:, 0] - y, x[:, 1]], 1).astype(np.float32)),
        "units": (make_pipeline(StandardScaler(), MLPClassifier((8, 6), max_iter=1000, random_state=1)), load_iris().target_names[y]),
        "columns": (make_pipeline(ColumnTransformer([("a", make_pipeline(SimpleImputer(), StandardScaler()), [2, 0]), ("b", MinMaxScaler(), [3])]), Ridge()), y.astype(np.float32)),
        "scores": (Perceptron(), y),  # its scores leave as a list of dictionaries: there is no .f32
        "texts": (LogisticRegression(), np.array(["a", "b", "c"])[y]),
    }
    os.makedirs(OUT, exist_ok=True)
    for name, (model, labels) in models.items():
        onnx = to_onnx(model.fit(x, labels), x[:1], options={"zipmap": False} if hasattr(model, "predict_proba") else None)
        rows = x[::30].copy()
        if name == "columns":
            rows[1, 2] = rows[3, 0] = np.nan  # what is missing
        with open(f"{OUT}/{name}.onnx", "wb") as f:
            f.write(onnx.SerializeToString())
        if name == "scores":
            continue
        outputs = ort.InferenceSession(onnx.SerializeToString()).run(["probabilities"] if labels.dtype.kind == "U" else None, {"X": rows})
        np.concatenate([np.asarray(a, np.float32).ravel() for a in [rows, *outputs]]).tofile(f"{OUT}/{name}.f32")


main()
