#!/bin/sh
# The executable of py_unittest.
exec /usr/bin/python3 -B build_defs/run_unittest.py "$@"
