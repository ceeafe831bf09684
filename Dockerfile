# A static binary in an otherwise empty image: no shell, no package manager, not root.

FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY config config
COPY migrations migrations
# The console is a page that loads the client as it is published.
COPY clients/web/src clients/web/src
COPY src src
COPY crates crates
# Not built, but Cargo reads what all members of the workspace need.
COPY clients/rust clients/rust
COPY examples/resource-server examples/resource-server
# Cargo needs to know the target by name to link statically without doing the same to its own plug-ins.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=/claviger --remap-path-prefix=$CARGO_HOME=/cargo" \
    cargo build --release --locked --package claviger --target "$(rustc --print host-tuple)" \
    && cp target/*/release/claviger /claviger

FROM scratch
# To check the certificate of the database.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /claviger /claviger
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s CMD ["/claviger", "health"]
ENTRYPOINT ["/claviger"]
CMD ["serve"]
