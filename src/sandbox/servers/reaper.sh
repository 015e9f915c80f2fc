# The guard beside a private server: ends the server and removes its folder when the owner is gone, whatever ended the owner.
#
# Only the owner (and, for an instant, a server that it is starting) holds the other end of standard input, so its end of file
# is the owner's death. Lines that come before: `start PID SIGNAL` (this process must end, by this signal first), `stop PID`
# (it has ended; its number may be another's soon), `end` (the owner is done, clean up now).
# $1 is the folder. Plain POSIX plus fractions of a second for sleep; does not need ps.

trap '' HUP INT QUIT TERM PIPE
folder=$1
servers=

while read -r verb pid signal; do
    case $verb in
    start) servers="$servers $pid:$signal" ;;
    stop)
        others=
        for server in $servers; do
            [ "${server%%:*}" = "$pid" ] || others="$others $server"
        done
        servers=$others
        ;;
    end) break ;;
    esac
done

# A zombie counts as ended: not every container has a process 1 that collects them.
is_alive() {
    kill -0 "$1" 2>/dev/null || return 1
    [ -d /proc/self ] || return 0
    read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    case ${line##*) } in Z*) return 1 ;; esac
}

# Each server leads its own process group. A paused one must be woken to hear the signal.
for server in $servers; do
    kill -s "${server##*:}" -- "-${server%%:*}" 2>/dev/null
    kill -s CONT -- "-${server%%:*}" 2>/dev/null
done
# Ten seconds: Postgres itself kills children that do not obey after five.
left=500
for server in $servers; do
    while is_alive "${server%%:*}" && [ "$left" -gt 0 ]; do
        left=$((left - 1))
        sleep 0.02
    done
    is_alive "${server%%:*}" && kill -s KILL -- "-${server%%:*}" 2>/dev/null
done

# A Postgres that was killed leaves its pid file, and the shared memory segment whose number is on the seventh line.
for file in "$folder"/*/postmaster.pid; do
    [ -r "$file" ] || continue
    # shellcheck disable=SC2046 # two numbers, to be split
    set -- $(sed -n 7p "$file")
    [ -n "$2" ] && ipcrm -m "$2" 2>/dev/null
done

# Again and again, should a server that was not registered still be writing its last.
for pause in 0 0.1 0.5 2; do
    sleep "$pause"
    rm -rf -- "$folder" 2>/dev/null && break
done
[ ! -e "$folder" ]
