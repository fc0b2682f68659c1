# Sourced by the other scripts; they run in the checkout's root.
# shellcheck shell=bash
CALLED_FROM=$PWD
SCRIPT=$(realpath "$0")
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() { printf '\n== %s\n' "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Prints the comment at the head of the running script.
usage() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$SCRIPT"
  exit "${1:-0}"
}

# The value of an option, or an end with a message: VALUE=$(value "$@").
value() {
  [ $# -ge 2 ] || die "$1 needs a value"
  printf '%s' "$2"
}

# The same for --torch, whose path may be relative to where the user stands.
torch_value() {
  local given
  given=$(value "$@")
  case "$given" in
    apt | wheel | /*) printf '%s' "$given" ;;
    *) printf '%s' "$CALLED_FROM/$given" ;;
  esac
}

# Compilers to run at once: a processor each, but no more than memory holds (LibTorch's headers take 1.5 GB).
jobs_that_fit() {
  local cpus kib limit
  cpus=$(nproc)
  kib=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [ "$limit" != max ] && [ $((limit / 1024)) -lt "$kib" ]; then kib=$((limit / 1024)); fi
  local fit=$((kib / 1500000))
  [ "$fit" -ge 1 ] || fit=1
  if [ "$fit" -lt "$cpus" ]; then echo "$fit"; else echo "$cpus"; fi
}
