# The server with its pages. Data is in /data, which must be a volume.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
	&& apt-get install -y --no-install-recommends gcc libc6-dev make nodejs npm zlib1g-dev \
	&& rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What rust-toolchain.toml names, for the toolchain that the image brings.
RUN rustup target add wasm32-unknown-unknown && rustup component add rust-src
RUN (cd end2end && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --ignore-scripts --no-audit --no-fund) \
	&& cargo build --locked --release --package rly-server --package rly-build-web \
	&& target/release/rly-build-web \
	&& target/release/rly-server manifest --site target/site > target/served.json \
	&& mv target/served.json target/site/served.json

FROM debian:bookworm-slim
RUN apt-get update \
	&& apt-get install -y --no-install-recommends ca-certificates zlib1g \
	&& rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home rly && install -d -o rly -g rly -m 700 /data
COPY --from=build /src/target/release/rly-server /usr/local/bin/rly-server
COPY --from=build /src/target/site /usr/local/share/rly-chat/site
USER rly
VOLUME /data
EXPOSE 3000
ENV RLY_ADDR=0.0.0.0:3000 \
	RLY_ADMIN_ADDR=127.0.0.1:3001 \
	RLY_DATA_DIR=/data \
	RLY_SITE_DIR=/usr/local/share/rly-chat/site
# The image has no HTTP client; bash can open a connection.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["bash", "-c", \
	"exec 3<>/dev/tcp/127.0.0.1/3001 && printf 'GET /health/ready HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["rly-server"]
