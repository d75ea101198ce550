# syntax=docker/dockerfile:1
# One image for every process of the production profile; docker-compose.yml says which command each runs.

FROM python:3.11-slim-bookworm AS dependencies
WORKDIR /app
COPY requirements.txt deploy/provision.py ./
# A package index of one's own: `docker build --secret id=pip,src=pip.conf .`
RUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=pip,target=/etc/pip.conf \
    mkdir deploy && mv provision.py deploy/ && UV_LINK_MODE=copy python deploy/provision.py --runtime


FROM python:3.11-slim-bookworm
# git: mirrors and local forges. bubblewrap: the wargames' sandbox. ca-certificates: forges over https.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends bubblewrap ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home --home-dir /home/immune immune \
    && install -d -o immune -g immune /var/lib/immune
WORKDIR /app
COPY --from=dependencies /app/.venv .venv
COPY . .
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WORK_DIR=/var/lib/immune \
    LOG_FORMAT=json \
    HOST=0.0.0.0 \
    WEB_HOST=0.0.0.0 \
    WEB_PORT=8003 \
    LIVE_HOST=0.0.0.0 \
    LIVE_PORT=8003
USER immune
VOLUME /var/lib/immune
EXPOSE 8003
# Right for web and live; docker-compose.yml gives the workers another.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["python", "deploy/healthy.py", "http://127.0.0.1:8003/hitl/health/live"]
CMD ["gunicorn", "--config", "deploy/gunicorn.conf.py", "config.wsgi:application"]
