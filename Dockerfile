# pared in a container: an ordinary user, a read-only root, one volume. The last stage holds the two programs and the
# shared libraries that they load, and the certificate authorities that webhooks are checked against: no shell, no package manager.
#
#   docker build -t pared .
#   docker run --read-only -p 127.0.0.1:8080:8080 -v pared:/data -v ./keys:/keys:ro -e PARED_API_KEY_FILE=/keys pared
#
# Inside a container loopback is of no use, so pared listens on all addresses there; it refuses that without API keys.
# Tested without Docker by tests/e2e/image.sh.
FROM docker.io/library/debian:bookworm-slim AS build
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      gcc libc6-dev make pkg-config libmicrohttpd-dev libjansson-dev libsqlite3-dev libssl-dev \
      libopenblas-pthread-dev libseccomp-dev zlib1g-dev python3 python3-yaml libcurl4-openssl-dev ca-certificates >/dev/null
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" all && make install DESTDIR=/out PREFIX=/usr && strip /out/usr/bin/*
# what the programs load, links followed, under the names they are asked for by
RUN ldd /out/usr/bin/pared /out/usr/bin/pare-core | grep -o '/[^ ]*' | grep '\.so' | sort -u >/libs && \
    while read -r lib; do install -D "$lib" "/out$lib"; done </libs && \
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt && \
    mkdir -p /out/data /out/tmp /out/etc && chown 65532:65532 /out/data && \
    echo 'pared:x:65532:65532:pared:/data:/sbin/nologin' >/out/etc/passwd && \
    echo 'pared:x:65532:' >/out/etc/group && \
    mkdir -p /out/etc/ld.so.conf.d && cp -r /etc/ld.so.conf /etc/ld.so.conf.d /out/etc/ && ldconfig -r /out

FROM scratch
COPY --from=build /out /
ENV PARED_LISTEN=0.0.0.0 PARED_DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/usr/bin/pared", "--healthcheck"]
ENTRYPOINT ["/usr/bin/pared"]
