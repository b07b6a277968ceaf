# docker build -t lingbot .                                  the CPU build of torch
# docker build -t lingbot --build-arg TORCH=cu130 .          for NVIDIA GPUs (docker run --gpus all)
# docker run --rm -v "$PWD:/work" lingbot render samples/courtyard-day.png -t recipes/first-walk.yaml -o walk.mp4
FROM python:3.13-slim
ARG TORCH=cpu
# A C compiler, with which torch compiles the blocks on a GPU; fonts for overlays and contact sheets.
RUN apt-get update \
    && apt-get install -y --no-install-recommends fonts-dejavu-core gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/lingbot
COPY . .
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --torch-backend "$TORCH" -c constraints.txt . \
    && pip uninstall -y uv
# Models and measurements: -v lingbot-cache:/cache keeps them.
ENV LINGBOT_CACHE_DIR=/cache OMP_WAIT_POLICY=PASSIVE
RUN mkdir /cache && chmod 1777 /cache
WORKDIR /work
ENTRYPOINT ["lingbot"]
CMD ["--help"]
