# The pinned environment of `make env` and the project in it:
#   docker build --tag hyperreps .
#   docker run --rm --volume "$PWD/results:/hyperreps/results" hyperreps make demo
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /hyperreps
# pins first, so that an edit of the project does not install them again
COPY Makefile requirements.txt ./
RUN make env
ENV PATH=/hyperreps/.venv/bin:$PATH
COPY . .
# newer than its pins, which COPY has touched
RUN touch .venv/installed

CMD ["make", "demo"]
