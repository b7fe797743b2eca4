#!/bin/sh
# GoogleTest and Google Benchmark for the C++ tests, SIMDe to run the AVX-512 kernels on machines without AVX-512,
# cpp-httplib for examples/serving, a browser for the pages of reports.
packages="libgtest-dev libbenchmark-dev libsimde-dev libcpp-httplib-dev chromium-headless-shell"
missing=""
for package in $packages; do
  dpkg -s "$package" > /dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "qnative: missing Debian packages:$missing (run as root: apt-get install$missing)" >&2
  exit 1
fi
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
