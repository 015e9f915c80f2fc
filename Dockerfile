# walpost in a small image: one binary, certificates, no shell, no root.

FROM rust:1.95-bookworm AS build
WORKDIR /src
# Only what the binary is made of. The list of benches is part of Cargo.toml, so its file must be there.
COPY Cargo.toml Cargo.lock ./
COPY benches ./benches
COPY sql ./sql
COPY src ./src
RUN cargo build --release --locked --bin walpost && strip target/release/walpost

# The C library, libgcc and the certificates of authorities, and nothing to run but walpost; its user is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/walpost /usr/local/bin/walpost
COPY LICENSE /usr/share/doc/walpost/LICENSE
USER 65532:65532
WORKDIR /etc/walpost
# Inside a container the admin port is of use only if it listens beyond the loopback.
ENV WALPOST_ADMIN_LISTEN=0.0.0.0:9464 WALPOST_LOG_FORMAT=json
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/walpost"]
CMD ["run"]
