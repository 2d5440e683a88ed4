#!/bin/sh
# make judge-http: run.sh BUILD_DIR. A daemon with keys and with something in it, judged by others: schemathesis against
# the document that the daemon serves (all checks, all phases, links followed), Spectral on that document, promtool on its metrics;
# then whether times of answers tell anything (timing.py), and thousands of broken files (malformed.py).
# SCHEMATHESIS_EXAMPLES (30): how many cases an operation gets; SCHEMATHESIS_SEED (1); MALFORMED_FILES (5000); TIMING_REQUESTS (100000).
set -eu
build=$(cd "${1:?usage: run.sh BUILD_DIR}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
judges=${XDG_CACHE_HOME:-$HOME/.cache}/pared/http-venv/bin
work=$(mktemp -d)
daemon=
cleanup() {
	[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

key=pare_judge_0123456789abcdefghijklmnopqrstuvwxyzABCDEF
other=pare_other_9876543210zyxwvutsrqponmlkjihgfedcbaZYXWVU
{
	echo "$key scopes=models:rw,datasets:rw,jobs:rw,webhooks:rw,metrics:r,admin"
	echo "$other scopes=models:r,jobs:r owner=other"
} >"$work/keys"
chmod 600 "$work/keys"
: >"$work/out" # there before it is read
"$build/pared" --port 0 --data-dir "$work/data" --core "$build/pare-core" --api-key-file "$work/keys" \
	--webhook-deny "0.0.0.0/0, ::/0" --webhook-retry-seconds 0 >"$work/out" 2>&1 &
daemon=$!
tries=0
until url=$(sed -n 's|.*listening on \(http://[^ ]*\).*|\1|p' "$work/out" | head -n 1) && [ -n "$url" ]; do
	tries=$((tries + 1))
	if [ "$tries" -gt 100 ] || ! kill -0 "$daemon" 2>/dev/null; then
		echo "the daemon did not start:" >&2
		cat "$work/out" >&2
		exit 1
	fi
	sleep 0.1
done
url=${url%/}

# something to find
api() { # PATH CURL_ARGUMENTS...
	path=$1
	shift
	curl -fsS "$url$path" -H "Authorization: Bearer $key" "$@"
}
model=$(api /v1/models -H 'Content-Type: application/json' \
	-d '{"name":"iris","architecture":{"type":"mlp","input":[4],"layers":[{"units":8,"activation":"relu"},{"units":3}]}}' | jq -r .id)
data=$(api "/v1/datasets?name=iris" -F "files=@$here/../../data/iris.csv" | jq -r .id)
job=$(api /v1/jobs -H 'Content-Type: application/json' -H 'Prefer: wait=30' \
	-d "{\"model\":\"$model\",\"dataset\":\"$data\",\"recipe\":{\"steps\":[{\"train\":{\"epochs\":2}},{\"prune\":{\"sparsity\":0.5}}]}}" | jq -r '.id + " " + .status')
[ "${job#* }" = succeeded ] || { echo "the job has not succeeded: $job" >&2 && exit 1; }

status=0
echo 'extends: ["spectral:oas"]' >"$work/spectral.yaml"
"$judges/../../http-node/node_modules/.bin/spectral" lint --fail-severity=warn -r "$work/spectral.yaml" "$here/../../../openapi.yaml" || status=1
api /openapi.yaml >"$work/openapi.yaml"
cd "$work" # it leaves a cache where it runs
# drain is left out: behind it every other request is refused, as it should be
SCHEMATHESIS_HOOKS="$here/hooks.py" "$judges/schemathesis" --config-file "$here/schemathesis.toml" run "$work/openapi.yaml" --url "$url" -H "Authorization: Bearer $key" \
	--exclude-operation-id drain \
	--checks all --phases examples,coverage,fuzzing,stateful -n "${SCHEMATHESIS_EXAMPLES:-30}" --seed "${SCHEMATHESIS_SEED:-1}" \
	--request-timeout 70 --suppress-health-check all --report-dir "$work/report" || status=1
kill -0 "$daemon" || { echo "the daemon has ended" >&2 && status=1; }
api /metrics | promtool check metrics || status=1
python3 "$here/timing.py" "$url" "$key" "$other" "$model" "${job% *}" || status=1
PARED_BIN=$build PARED_SRC=$here/../../.. python3 "$here/malformed.py" "${MALFORMED_FILES:-5000}" || status=1
exit $status
