#!/bin/sh
# Builds the container image without a Docker engine and runs the README's story against the daemon in it: a Debian base made by
# mmdebstrap stands in for the one that the Dockerfile's FROM names, buildah builds and runs with chroot isolation.
# Fails when the image is larger than 120 MB. Needs root (chroot), buildah, mmdebstrap, curl, jq.
set -eu

cd "$(dirname "$0")/../.."
limit=120000000
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pared
base=$cache/debian-bookworm-slim.tar
mnist=$(sh scripts/mnist.sh)
tmp=$(mktemp -d)
pid=
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs

b() { buildah --root "$tmp/root" --runroot "$tmp/run" "$@"; }
cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	[ -z "$pid" ] || wait "$pid" 2>/dev/null || true
	b rm --all >/dev/null 2>&1 || true
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

if [ ! -s "$base" ]; then
	echo "image: making the base image (once)"
	mkdir -p "$cache"
	# package archives are often snapshots, whose dates are old by design
	mmdebstrap --quiet --variant=minbase --include=ca-certificates --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' \
		bookworm "$base.part"
	mv "$base.part" "$base"
fi
from=$(b from scratch)
b add --quiet "$from" "$base" / >/dev/null
b commit --quiet --rm "$from" docker.io/library/debian:bookworm-slim >/dev/null

echo "image: building"
b bud --quiet --pull-never --format docker --isolation chroot -t pared . >"$tmp/log" 2>&1 || { tail -n 40 "$tmp/log" >&2; exit 1; }

c=$(b from --pull-never localhost/pared)
root=$(b mount "$c")
bytes=$(du -sb --apparent-size "$root" | cut -f 1)
user=$(b inspect --type image --format '{{.Docker.Config.User}}' localhost/pared)
health=$(b inspect --type image --format '{{.Docker.Config.Healthcheck}}' localhost/pared)
echo "image: $bytes bytes uncompressed, user $user, health check $health"
[ "$bytes" -le $limit ] || { echo "image: larger than $limit bytes" >&2; exit 1; }
[ "$user" = 65532:65532 ] || exit 1
case $health in *--healthcheck*) ;; *) exit 1 ;; esac
[ ! -e "$root/bin/sh" ] && [ ! -e "$root/usr/bin/sh" ] || { echo "image: there is a shell in it" >&2; exit 1; }

[ -s "$root/etc/ssl/certs/ca-certificates.crt" ] || { echo "image: no certificate authorities in it, webhooks could not use https" >&2; exit 1; }

# everywhere means keys: without them it refuses to start
if b run --isolation chroot "$c" -- /usr/bin/pared --port 0 >"$tmp/out" 2>&1; then exit 1; fi
grep -q api-key-file "$tmp/out" || { cat "$tmp/out" >&2; exit 1; }

b run --isolation chroot "$c" -- /usr/bin/pared --listen 127.0.0.1 --port 0 --min-free-bytes 1M >"$tmp/out" 2>"$tmp/daemon" &
pid=$!
for _ in $(seq 200); do
	grep -q listening "$tmp/out" && break
	kill -0 "$pid" 2>/dev/null || { cat "$tmp/daemon" >&2; exit 1; }
	sleep 0.05
done
U=$(sed -n 's/.*listening on //p' "$tmp/out")
[ -n "$U" ] || { cat "$tmp/daemon" >&2; exit 1; }
b run --isolation chroot "$c" -- /usr/bin/pared --healthcheck --listen 127.0.0.1 --port "${U##*:}"
daemon_pid=$(pgrep -f -- "^/usr/bin/pared --listen 127.0.0.1 --port 0" | tail -n 1)
[ "$(awk '/^Uid/ {print $2}' "/proc/$daemon_pid/status")" = 65532 ] || { echo "image: the daemon runs as root" >&2; exit 1; }
echo "image: the daemon answers on $U as user 65532, $(awk '/^VmRSS/ {print $2}' "/proc/$daemon_pid/status") kB resident"

# the README's own lines, with fewer epochs
mkdir "$tmp/story"
M=$(curl -fsS "$U/v1/models" -H 'Content-Type: application/json' -d '{"architecture":{"type":"mlp","input":[4],"layers":[{"units":3}]}}' | jq -r .id)
curl -fsS -o "$tmp/story/lenet.onnx" "$U/v1/models/$M/content"
{
	echo 'set -eu'
	awk '/^## /{in_story = /^## The story in curl/} in_story && /^```/{code = /^```sh/; next} in_story && code' README.md |
		sed -e "s|http://127.0.0.1:8080|$U|" -e "s|=@|=@$mnist/|g" -e 's/"epochs":[0-9]*/"epochs":1/g' -e 's/"rounds":[0-9]*/"rounds":2/g'
	echo 'curl -fsS "$U/v1/jobs/$J" | jq -r ".status, .result.summary.after"'
} >"$tmp/story.sh"
(cd "$tmp/story" && sh "$tmp/story.sh") >"$tmp/story.out" 2>&1 || { tail -n 40 "$tmp/story.out" "$tmp/daemon" >&2; exit 1; }
[ "$(tail -n 2 "$tmp/story.out" | head -n 1)" = succeeded ] || { tail -n 40 "$tmp/story.out" >&2; exit 1; }

kill -TERM "$daemon_pid"
wait "$pid"
pid=
echo "image: $bytes bytes, the story in curl succeeded with accuracy $(tail -n 1 "$tmp/story.out"), stopped in order"
