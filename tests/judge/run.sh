#!/bin/sh
# make judge: run.sh BUILD_DIR. Published models, then the nets of tests/golden/nets.py in their real size (which takes a
# Python with PyTorch to export: $PYTHON, or what scripts/install-deps.sh bench installs).
set -u
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pared
torch=${PYTHON:-$cache/bench-venv/bin/python}
cd "$(dirname "$0")/../.." || exit 2
RUN_MODEL=$1/tests/judge/run_model
export RUN_MODEL OPENBLAS_NUM_THREADS=1
. scripts/blas-core.sh
status=0

echo "== published models"
"$cache/venv/bin/python" tests/judge/published.py "$cache/models" || status=1
echo "== PyTorch's nets in their real size"
if "$torch" -c 'import torch, onnx' 2>/dev/null; then
	nets=$(mktemp -d)
	trap 'rm -rf "$nets"' EXIT
	"$torch" tests/golden/nets.py "$nets" real >/dev/null 2>&1 || status=1
	"$cache/venv/bin/python" tests/judge/nets.py "$nets"/*.onnx || status=1
else
	echo "not run: $torch has no torch and onnx"
	status=1
fi
exit $status
