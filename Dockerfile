# One image for every service: orchestrator, appliances, the servers of the bus (`--entrypoint nats-server`), and the
# simulated estate. It takes BuildKit. docs/compose.md says how it is used.
#
#   docker build -t keymuster .                                        as it is
#   docker build -t keymuster --build-arg BASE_IMAGE=debian-python .   on another base: Debian's kin, Python >= 3.11 with venv
#   docker build -t keymuster --secret id=pip_ca,src=ca.pem .          behind a proxy with an authority of its own
#   docker build -t keymuster-lab --target lab .                       with `ip`, for the addresses of a simulated estate
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python3 -m venv /opt/keymuster
COPY requirements-build.lock requirements-postgres.lock ./
# pip's settings and authorities are there for this one step, in memory: nothing of them is in a layer.
RUN --mount=type=secret,id=pip_ca --mount=type=secret,id=pip_conf \
    if [ -s /run/secrets/pip_ca ]; then export PIP_CERT=/run/secrets/pip_ca; fi; \
    if [ -s /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi; \
    /opt/keymuster/bin/pip install --no-build-isolation --require-hashes -r requirements-build.lock && \
    /opt/keymuster/bin/pip install --no-build-isolation --require-hashes -r requirements-postgres.lock
COPY pyproject.toml README.md LICENSE ./
COPY appliance appliance
COPY orchestrator orchestrator
COPY targets targets
RUN /opt/keymuster/bin/pip install --no-build-isolation --no-deps --no-index . && \
    /opt/keymuster/bin/python -m compileall -q /opt/keymuster/lib && \
    /opt/keymuster/bin/pip uninstall --quiet --yes pip

FROM ${BASE_IMAGE} AS product
# /state is for whoever runs, and /shared for volumes that several containers have: a new volume takes over their owner.
RUN groupadd --gid 10001 keymuster && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /state --shell /usr/sbin/nologin keymuster && \
    install -d -o 10001 -g 10001 -m 0700 /state /shared
# Root's, so that nobody who runs in here can change it.
COPY --from=builder /opt/keymuster /opt/keymuster
ENV PATH=/opt/keymuster/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    KEYMUSTER_STATE=/state
WORKDIR /state
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["keymuster"]
CMD ["--help"]
LABEL org.opencontainers.image.title="Keymuster" \
    org.opencontainers.image.description="Authenticated-scan campaigns over SSH and SMB, with credentials from Secret Server" \
    org.opencontainers.image.licenses="Apache-2.0"

FROM product AS lab
USER root
RUN command -v ip >/dev/null || { \
    apt-get update -qq && apt-get install -y -qq --no-install-recommends iproute2 && rm -rf /var/lib/apt/lists/*; }
USER 10001:10001

FROM product AS runtime
