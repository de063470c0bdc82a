# The worker's image: command line, flows and scoring. The build needs network for pip; give TORCH_INDEX a CPU wheel index to
# keep CUDA packages out on machines without a GPU.
FROM python:3.11-slim

ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false

# letters of volcanoes' names that Matplotlib's own font lacks: Chinese, Japanese and Korean, emoji, other scripts
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fonts-noto-cjk fonts-noto-core fonts-symbola \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/insar-anomaly
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY insar_anomaly ./insar_anomaly
COPY flows ./flows
RUN python -m pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt ".[flows]"

RUN useradd --create-home --uid 10001 screening
USER screening
WORKDIR /work
ENTRYPOINT ["insar-anomaly"]
CMD ["--help"]
