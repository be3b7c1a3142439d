#!/bin/sh
# All that is tested and measured on a machine with a GPU: `./dev gpu` puts
# this script into a folder with the programs and the libraries that they want,
# which can be carried to a machine that has a driver and a C library alone.
#
#   gpu [--json FILE] [--device N] [--host] [options of gpu_selftest]
#
# First gpu_selftest: conformance, and the kernels alone. Then gpu_bench:
# sessions from a daemon into the device's memory. With --json the figures go
# to FILE, those of the sessions beside it: out.json and out.sessions.json.
# --host is without a GPU, on the host executor: it shows that all is there,
# and says nothing of speed.
#
# Exit status: 0 all is well, 1 a test failed or the device did, 3 there is no
# device.
set -u
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH=$here${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

sessions=
before=
for argument in "$@"; do
  case $argument in
  --help | -h | --kernels) exec "$here/gpu_selftest" "$@" ;;
  --host) sessions="$sessions --host-device --quick" ;;
  --json=* | --device=*)
    echo "gpu: write ${argument%%=*} VALUE" >&2
    exit 2
    ;;
  esac
  case $before in
  --json) json=${argument%.json}.sessions.json ;;
  --device) sessions="$sessions --device $argument" ;;
  esac
  before=$argument
done

status=0
"$here/gpu_selftest" "$@" || status=$?
[ $status -ne 3 ] || exit 3
# Its options are words without blanks.
# shellcheck disable=SC2086
"$here/bench/gpu_bench" $sessions ${json:+--json "$json"} || {
  failed=$?
  [ $status -ne 0 ] || status=$failed
}
exit $status
