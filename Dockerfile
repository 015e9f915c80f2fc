# walpost in a small image: one binary, certificates, no root.

FROM rust:1.95-bookworm AS build
WORKDIR /src
# Only what the binary is made of. The list of benches is part of Cargo.toml, so its file must be there.
COPY Cargo.toml Cargo.lock ./
COPY benches ./benches
COPY sql ./sql
COPY src ./src
RUN cargo build --release --locked --bin walpost && strip target/release/walpost

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin walpost
COPY --from=build /src/target/release/walpost /usr/local/bin/walpost
COPY LICENSE /usr/share/doc/walpost/LICENSE
USER 10001
WORKDIR /etc/walpost
# Inside a container the admin port is of use only if it listens beyond the loopback.
ENV WALPOST_ADMIN_LISTEN=0.0.0.0:9464 WALPOST_LOG_FORMAT=json
EXPOSE 9464
ENTRYPOINT ["walpost"]
CMD ["run"]
