#!/usr/bin/env python3
"""Writes the .npy and .npz files of this directory. Needs numpy (made with 2.x); seed and layout fixed, so that the files
can be made again: python3 tests/data/make_npz.py"""
import os
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(here, name)


rng = np.random.default_rng(7)
x = np.arange(24, dtype=np.float32).reshape(6, 4) / 4
y = np.array([0, 1, 2, 0, 1, 2])

np.save(path("x_c_f4.npy"), x)
np.save(path("x_fortran_f4.npy"), np.asfortranarray(x))
np.save(path("x_fortran_big_f8.npy"), np.asfortranarray(x.astype(">f8")))
for code in ("<f4", "<f8", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "|b1", ">f4", ">f8", ">u2", ">i2", ">u4", ">i4", ">u8", ">i8"):
    values = np.arange(24).reshape(6, 4) % 2 if code == "|b1" else np.arange(24).reshape(6, 4)
    np.savez(path("type_%s_%s.npz" % ("big" if code[0] == ">" else "little", code[1:])), x=values.astype(code), y=y)
np.save(path("object.npy"), np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
np.savez(path("stored.npz"), x_train=x, y_train=y, x_test=x[:3] + 100, y_test=y[:3])
np.savez_compressed(path("deflated.npz"), x_train=x, y_train=y, x_test=x[:3] + 100, y_test=y[:3])
with open(path("streamed.npz"), "wb") as f:  # a stream that cannot seek gets sizes and checksums behind the data

    class Stream:
        def write(self, b):
            return f.write(b)

        def flush(self):
            f.flush()

        def read(self, *a):
            raise OSError

    np.savez(Stream(), x_train=x, y_train=y, x_test=x[:3] + 100, y_test=y[:3])
np.savez_compressed(path("images.npz"), train_images=rng.integers(0, 256, (20, 5, 5), dtype=np.uint8), train_labels=(np.arange(20) % 4).astype(np.uint8))
np.savez(path("regress.npz"), x=x, y=np.stack([x.sum(1) + 0.5, x[:, 0] * 0.1], 1))
np.savez(path("object.npz"), x=x, y=np.array(["a", "b", None] * 2, dtype=object))
