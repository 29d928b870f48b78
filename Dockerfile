# bark serve in a container. Written and linted (hadolint), but not built where it was written.
#   docker build -t bark .                                  torch as pip finds it (CUDA, runs on a CPU too)
#   docker build -t bark --build-arg TORCH_INDEX=URL .      torch from the index that pytorch.org names for
#                                                           a CPU (2 GB less) or for your CUDA
#   docker run -e BARK_API_KEY=secret -p 127.0.0.1:8000:8000 -v bark:/data bark --model nano
FROM python:3.12-slim

ARG TORCH_INDEX=
WORKDIR /app
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY bark ./bark
COPY bark_hubert_quantizer ./bark_hubert_quantizer
COPY hubert ./hubert
COPY booth ./booth
COPY training ./training
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
    && pip install --no-cache-dir -c constraints.txt ".[serve]" \
    && useradd --system --uid 10001 bark \
    && mkdir /data \
    && chown bark /data

# models, voices and long jobs outlive the container
ENV HF_HOME=/data/models XDG_CACHE_HOME=/data/cache XDG_DATA_HOME=/data BARK_VOICES=/data/voices
VOLUME /data
USER 10001
EXPOSE 8000
HEALTHCHECK --start-period=10m --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["bark", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--model", "large"]
