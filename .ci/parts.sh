# shellcheck shell=bash
# The parts of a run, and lanes of parts that run side by side. Sourced by .ci/run, after common.sh.
#
# In a lane, the output of a part is held until the part ends and then printed whole: two lanes never
# mix. The first part that fails ends the run: its output is printed and the other lanes are stopped.
# Of what is stopped, the last lines are printed; the last line of all says what failed.

PARTS=$(mktemp -d) # times, failed, and NAME.log of each part that runs in a lane
LANES=()           # process groups
IN_LANE=
STOPPED=

# part NAME COMMAND…: run one part, and note how long it took.
part() {
    local name=$1 started=$SECONDS log=$PARTS/${1// /-}.log code=0
    shift
    if [ -z "$IN_LANE" ]; then
        say "$name: $*"
        "$@" || code=$?
    else
        say "$name starts"
        "$@" >"$log" 2>&1 </dev/null || code=$?
        [ -z "$STOPPED" ] || exit 1
        print_log "$name: $*" "$log"
    fi
    if [ "$code" != 0 ]; then
        echo "$name failed after $((SECONDS - started)) s: $*" >"$PARTS/failed"
        exit 1
    fi
    printf '%5d s  %s\n' $((SECONDS - started)) "$name" >>"$PARTS/times"
}

print_log() (
    flock 9
    say "$1"
    cat "$2"
    rm "$2"
) 9>"$PARTS/lock"

# lane FUNCTION: run the parts of a function beside what follows.
lane() {
    set -m # in a process group of its own, which can be stopped as a whole
    (
        IN_LANE=yes
        trap 'STOPPED=yes' INT
        "$1"
    ) &
    set +m
    LANES+=($!)
}

# Wait for all lanes; the first that fails ends the run.
join_lanes() {
    local _
    for _ in "${LANES[@]}"; do
        wait -n || exit 1
    done
    LANES=()
}

# Stop the lanes that still run. Tests get some time to stop the brokers that they started.
stop_lanes() {
    local group _
    for group in "${LANES[@]}"; do
        kill -INT -- "-$group" 2>/dev/null || continue
        for _ in {1..20}; do
            kill -0 -- "-$group" 2>/dev/null || break
            sleep 1
        done
        kill -KILL -- "-$group" 2>/dev/null || true
    done
    LANES=()
}

# The time of each part, in the order in which they ended.
part_times() {
    cat "$PARTS/times"
}

end_run() {
    local code=$? log
    stop_lanes
    for log in "$PARTS"/*.log; do
        [ -e "$log" ] || continue
        say "stopped: $(basename "$log" .log)"
        tail -n 20 "$log"
    done
    [ ! -e "$PARTS/failed" ] || printf '\n.ci: %s\n' "$(cat "$PARTS/failed")" >&2
    rm -rf "$PARTS"
    exit "$code"
}
trap end_run EXIT
trap 'exit 130' INT TERM
