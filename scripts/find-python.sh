#!/bin/sh
# Print the path of a Python that can make the virtual environment: 3.11 or newer, with venv and pip.
set -eu

check='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
for name in python3.13 python3.12 python3.11 python3; do
    if command -v "$name" >/dev/null && "$name" -c "$check" 2>/dev/null; then
        command -v "$name"
        exit 0
    fi
done
echo "no Python 3.11 or newer with the modules venv and ensurepip is installed" >&2
exit 1
