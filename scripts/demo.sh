#!/bin/sh
# The story of the README on real data, with curl alone: LeNet-300-100 from a description, MNIST, one job (train, prune
# gradually to 92 %, fine-tune), the event stream as a progress display, pruned ONNX and report.
# demo.sh BUILD_DIR
set -eu

b=$1
cd "$(dirname "$0")/.."
mnist=$(sh scripts/mnist.sh)
began=$(date +%s)
tmp=$(mktemp -d)
pared=
cleanup() {
	[ -z "$pared" ] || kill "$pared" 2>/dev/null || true
	[ -z "$pared" ] || wait "$pared" 2>/dev/null || true
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

say() { printf '\n%s\n' "$*"; }

say "starting pared on a free port, data in $tmp/data"
"$b/pared" --port 0 --data-dir "$tmp/data" --log-level warning >"$tmp/out" 2>"$tmp/log" &
pared=$!
until grep -q listening "$tmp/out"; do
	kill -0 "$pared" 2>/dev/null || { cat "$tmp/log" >&2; exit 1; }
	sleep 0.05
done
U=$(sed -n 's/.*listening on //p' "$tmp/out")
head -n 1 "$tmp/out"

say "a model, born from a description: LeNet-300-100"
M=$(curl -fsS "$U/v1/models" -H 'Content-Type: application/json' -d '{"name":"lenet-300-100",
  "architecture":{"type":"mlp","input":[784],"layers":[
    {"units":300,"activation":"relu","dropout":0.2},{"units":100,"activation":"relu","dropout":0.2},{"units":10}]}}' | jq -er .id)
echo "$M"

say "data: the four files of MNIST"
D=$(curl -fsS "$U/v1/datasets?name=mnist" -F "files=@$mnist/train-images-idx3-ubyte" -F "files=@$mnist/train-labels-idx1-ubyte" \
	-F "files=@$mnist/t10k-images-idx3-ubyte" -F "files=@$mnist/t10k-labels-idx1-ubyte" | jq -er .id)
echo "$D"

say "a job: train, prune gradually to 92 % of the weights, fine-tune"
J=$(curl -fsS "$U/v1/jobs" -H 'Content-Type: application/json' -H 'Idempotency-Key: first-try' -d '{
  "model":"'"$M"'", "dataset":"'"$D"'", "seed":1,
  "recipe":{"steps":[
    {"train":{"epochs":12,"batch_size":128,"optimizer":{"name":"adam","lr":0.001},"lr_schedule":"cosine","keep_best":true}},
    {"prune":{"criterion":"magnitude","scope":"global","sparsity":0.92,"schedule":{"name":"cubic","rounds":8},
              "recover":{"epochs":1,"batch_size":128,"optimizer":{"name":"adam","lr":0.001}}}},
    {"train":{"epochs":12,"batch_size":128,"optimizer":{"name":"adam","lr":0.001},"lr_schedule":"cosine","keep_best":true}}]}}' | jq -er .id)
echo "$J"

say "its events, as they happen"
curl -fsSN "$U/v1/jobs/$J/events" -H 'Accept: text/event-stream' | sed -un 's/^data: //p' | jq -r --unbuffered '
  def percent: . * 1000 | round / 10 | tostring + " %";
  if .type == "job.metrics" then
    (if .data.round or .data.epoch then " " else "  \(.data.kind)" end) + (if .data.round then " round \(.data.round)/\(.data.rounds)" else "" end)
    + (if .data.epoch then " epoch \(.data.epoch)/\(.data.epochs)" else "" end)
    + ": accuracy \(.data.validation_accuracy | percent) (held out), zeros \(.data.sparsity | percent)"
  elif .type == "job.phase" then "\(.data.phase)"
  elif .type == "job.progress" then empty
  else "\(.type)" end'

status=$(curl -fsS "$U/v1/jobs/$J" | jq -r .status)
if [ "$status" != succeeded ]; then
	curl -fsS "$U/v1/jobs/$J" | jq .error >&2
	echo "demo: the job ended as $status" >&2
	exit 1
fi
curl -fsS -o "$tmp/pruned.onnx" "$U/v1/jobs/$J/artifacts/model.onnx"
curl -fsS -o "$tmp/report.json" "$U/v1/jobs/$J/report"
sum=$(sha256sum "$tmp/pruned.onnx" | cut -d ' ' -f 1)
curl -fsSI "$U/v1/jobs/$J/artifacts/model.onnx" | grep -qi "^etag: .*$sum" || { echo "demo: the download does not match its ETag" >&2; exit 1; }

say "before and after, on the 10,000 test images"
curl -fsS "$U/v1/jobs/$J" | jq .result.summary >"$tmp/summary"
bytes=$(wc -c <"$tmp/pruned.onnx")
gzip -9 -k "$tmp/pruned.onnx"
jq -r '
  def cell: tostring | . + " " * (11 - length);
  def percent: . * 10000 | round / 100 | tostring + " %";
  def short: . * 10000 | round / 10000;
  def row($name; f): "  | \($name + " " * (26 - ($name | length))) | \(.dense | f | cell) | \(.final | f | cell) |";
  "  |                            | dense       | pruned      |",
  "  | -------------------------- | ----------- | ----------- |",
  row("accuracy"; .accuracy | percent), row("macro F1"; .macro_f1 | short), row("loss"; .loss | short),
  row("non-zero weights"; .n_nonzero_weights), row("multiplications not with 0"; .macs_nonzero),
  "  the drop is \(.drop.accuracy | percent), 95 % interval \(.drop.accuracy_low | percent) to \(.drop.accuracy_high | percent)"' "$tmp/report.json"
echo "  pruned.onnx: $bytes bytes, gzip $(wc -c <"$tmp/pruned.onnx.gz") bytes, sha256 $sum"

kill -TERM "$pared"
wait "$pared"
pared=
jq -r --arg bytes "$bytes" --arg seconds "$(($(date +%s) - began))" '
  "\ndemo: accuracy \(.before) -> \(.after), weights \(.n_weights_dense) -> \(.n_weights_nonzero) (\(.n_weights_dense / .n_weights_nonzero * 10 | round / 10) x), onnx \($bytes) bytes, \($seconds) seconds"' \
	"$tmp/summary" | sed 's/ seconds$/ s/'
