# A CPU image: docker build -f docker/cpu.Dockerfile -t latent-nerf .
#   mkdir -p runs && docker run --rm -v "$PWD/runs:/app/runs" latent-nerf --config configs/latent-nerf.yaml --prompt "a red mushroom"
FROM python:3.12.12-slim-trixie

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 artist && mkdir -p /app/runs && chown -R artist /app
WORKDIR /app
COPY requirements.txt requirements-live.txt ./
RUN pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu \
    && pip install -r requirements.txt -r requirements-live.txt
COPY --chown=artist . .
USER 1000
EXPOSE 8080
ENTRYPOINT ["python", "launch.py"]
CMD ["--help"]
