# What the scripts of ops/ share. Sourced, never run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Everything fetched or generated outside the build directories.
CACHE=${DAICHO_CACHE:-$HOME/.cache/daicho}

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}

# stage TEXT COMMAND…: one line before, the time it took after; output only when it fails.
stage() {
  local text=$1 started=$EPOCHREALTIME log status=0
  shift
  log=$(mktemp)
  [ -t 2 ] && printf '  … %s\r' "$text" >&2
  "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    cat "$log" >&2
    rm -f "$log"
    say "  failed: $text"
    return "$status"
  fi
  rm -f "$log"
  printf '  %6.1f s  %s\n' "$(since "$started")" "$text" >&2
}

since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f", to - from }'; }

# Stops the process PID: asks, waits up to SECONDS, then kills it.
stop_pid() {
  local pid=$1 seconds=${2:-30} i
  kill -TERM "$pid" 2>/dev/null || return 0
  for ((i = 0; i < seconds * 10; i++)); do
    alive "$pid" || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

# Whether PID runs; one that has ended and that nobody has waited for does not.
alive() { grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; }

# fetch_jars FOLDER: prints a directory with the jars that FOLDER/pom.xml pins, each with the SHA-256 that
# FOLDER/jars.sha256 lists, and no others. Goes to the network only the first time.
fetch_jars() {
  local folder=$1 list dir
  list=$(sha256sum "$folder/jars.sha256")
  dir=$CACHE/jars/${list:0:16}
  mkdir -p "$CACHE/jars"
  (
    flock 9
    if ! jars_match "$folder" "$dir"; then
      rm -rf "$dir" "$dir.new"
      download_jars "$folder" "$dir.new" || die "cannot fetch the jars that ${folder#"$ROOT/"}/pom.xml names"
      jars_match "$folder" "$dir.new" || die "these jars are not those of ${folder#"$ROOT/"}/jars.sha256: $dir.new"
      mv "$dir.new" "$dir"
    fi
  ) 9>"$CACHE/jars/lock"
  echo "$dir"
}

# pin_jars FOLDER: writes FOLDER/jars.sha256 anew, after its pom.xml has changed.
pin_jars() {
  local dir
  dir=$(mktemp -d)
  download_jars "$1" "$dir"
  (cd "$dir" && sha256sum -- *.jar) >"$1/jars.sha256"
  rm -rf "$dir"
}

download_jars() {
  local output
  output=$(mvn --quiet --batch-mode --file "$1/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$2" -DincludeScope=runtime 2>&1) || {
    say "$output"
    return 1
  }
}

jars_match() {
  [ -d "$2" ] && diff -q <(cd "$2" && sha256sum -- *.jar) "$1/jars.sha256" >/dev/null
}
