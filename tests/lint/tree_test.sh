#!/bin/sh
exec /usr/bin/python3 -B tests/lint/lint.py --fast
