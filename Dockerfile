# PyCloud in a container; docs/docker.md says how to run it. Any image of the Debian kind that has Python 3.11 or later
# with pip will do as the base: docker build --build-arg BASE=python:3.13-slim .
ARG BASE=python:3.11-slim

# Makes an environment that holds PyCloud and what it needs, and neither pip nor the build tools.
FROM ${BASE} AS build
WORKDIR /src
COPY setup.py pyproject.toml README.md ./
COPY bin bin
COPY pycloud pycloud
RUN python3 -m venv --without-pip /opt/pycloud \
    && python3 -m pip --python /opt/pycloud/bin/python3 install --no-cache-dir .

FROM ${BASE}
ARG VERSION=2.1.0
LABEL org.opencontainers.image.title="pycloud" \
      org.opencontainers.image.description="Starts a server when somebody asks for one: sessions over Redis" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"

# A user of its own, written down by hand: the programs that add users differ from base to base. The directory is made
# here, so that a new volume on it belongs to that user.
RUN echo "pycloud:x:10001:10001:PyCloud:/var/lib/pycloud:/bin/sh" >> /etc/passwd \
    && echo "pycloud:x:10001:" >> /etc/group \
    && mkdir -p /var/lib/pycloud && chmod 711 /var/lib/pycloud && chown 10001:10001 /var/lib/pycloud
COPY --from=build /opt/pycloud /opt/pycloud
# Even where the socket was forgotten, scripts are not run in here. A file, since a setting of yours wins over it.
RUN mkdir -p /etc/pycloud && echo 'runtime = "docker"' > /etc/pycloud/pycloud.toml

ENV PATH=/opt/pycloud/bin:${PATH} \
    PYCLOUD_DATA_DIR=/var/lib/pycloud

# Not root. What opens the engine's socket is its group: --group-add "$(stat -c %g /var/run/docker.sock)".
USER 10001:10001

# The cloud's id, and what it knows of its sessions. Give it a name (-v pycloud:/var/lib/pycloud): whoever comes after
# this container finds its sessions through it.
VOLUME /var/lib/pycloud

STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["python3", "-m", "pycloud.health"]
ENTRYPOINT ["pycloud"]
