#!/bin/bash
# What the tests need beside the checkout: `prepare.sh` for all of them, `prepare.sh unit` for the fast part.
#
# Debian's packages are installed when something is missing and we are root; Python's go to .venv. On a machine
# that has everything it takes a fraction of a second.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${1:-all}

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ "$part" = all ]; then
  need mmdebstrap mmdebstrap      # builds the machines' file system
  need slirp4netns slirp4netns    # connects them
  need unshare util-linux
  need mkfs.ext4 e2fsprogs        # their disks
  need ps procps
  need ip iproute2
  need chromium chromium          # for the test in a real browser
  need chromedriver chromium-driver
fi
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "prepare.sh: missing: ${missing[*]}; as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${missing[@]}" >/dev/null
fi

[ -x .venv/bin/python ] || python3 -m venv .venv
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install -q uv
.venv/bin/uv pip install -q --python .venv/bin/python \
  -r installer/tljh/requirements/hub.txt -r integration-tests/requirements.txt
