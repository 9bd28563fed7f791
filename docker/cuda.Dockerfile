# A GPU image: docker build -f docker/cuda.Dockerfile -t latent-nerf-cuda .
#   mkdir -p runs && docker run --rm --gpus all -v "$PWD/runs:/app/runs" latent-nerf-cuda \
#       --config configs/latent-nerf-sd.yaml --prompt "an owl"
# torch's own wheels bring CUDA; gcc is what Triton compiles its launchers with.
FROM python:3.12.12-slim-trixie

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN apt-get update \
    && apt-get install -y --no-install-recommends 'gcc=4:14.*' 'libc6-dev=2.41-*' \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 artist && mkdir -p /app/runs && chown -R artist /app
WORKDIR /app
COPY requirements.txt requirements-live.txt ./
RUN pip install torch==2.13.0 && pip install -r requirements.txt -r requirements-live.txt
COPY --chown=artist . .
USER 1000
EXPOSE 8080
ENTRYPOINT ["python", "launch.py"]
CMD ["--help"]
