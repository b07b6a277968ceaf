# docker build -t lingbot .                                  the CPU build of torch
# docker build -t lingbot --build-arg TORCH=cu130 .          for NVIDIA GPUs (docker run --gpus all)
# docker build -t lingbot --secret id=pip,src=pip.conf .     with your own index, as pip is configured for it
# docker run --rm -v "$PWD:/work" lingbot render samples/courtyard-day.png -t recipes/first-walk.yaml -o walk.mp4
ARG PYTHON=3.13
FROM python:$PYTHON-slim
# A C compiler, with which torch compiles the blocks on a GPU; fonts for overlays and contact sheets.
RUN apt-get update \
    && apt-get install -y --no-install-recommends fonts-dejavu-core gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/lingbot
COPY . .
ARG TORCH=cpu
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    UV_TORCH_BACKEND=$TORCH UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    python install.py -c constraints.txt . \
    && pip uninstall -q -y uv
# Models and measurements: -v lingbot-cache:/cache keeps them.
ENV LINGBOT_CACHE_DIR=/cache OMP_WAIT_POLICY=PASSIVE
RUN mkdir /cache && chmod 1777 /cache
WORKDIR /work
ENTRYPOINT ["lingbot"]
CMD ["--help"]
