"""The shell scripts that do our work inside a container, as the subagent's user. POSIX sh, its usual tools, and Git.

Each first reads a line of ours and says that it is there (see `attached`). What goes wrong is an exit code, or the last
words on standard error.
"""

from backends.sandboxes.environment import COMMAND_MARKER

WORKSPACE = "/workspace"
ROOT = f"{WORKSPACE}/work"
HOME = f"{WORKSPACE}/home"
TMP = f"{WORKSPACE}/tmp"  # noqa: S108 - in the container
MIRRORS = "/multitrack"
MIRROR = f"{MIRRORS}/mirror.git"

_BEGIN = "IFS= read -r end && printf . || exit 125"

PROGRAM = f'{_BEGIN}; exec "$@"'
"""Becomes the program that its arguments name."""

_OUT_OF_MEMORY = """
o=0
for f in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r "$f" ] && while read -r k v; do [ "$k" = oom_kill ] && o=$v; done <"$f"
done
"""
"""Puts into $o how many programs have been killed for memory in this container."""

MEMORY = f"""
{_BEGIN}
{_OUT_OF_MEMORY}
echo "$o"
"""
"""Says it."""

RUN = f"""
{_BEGIN}
exec 2>/dev/null
ulimit -c 0; ulimit -S -n 4096
p=/tmp/.multitrack-$2
mkfifo -m 600 "$p" || {{ p=$TMPDIR/.multitrack-$2; mkfifo -m 600 "$p" || p=; }}
if [ -n "$p" ]; then
    exec 7<>"$p" 5>"$p" 6<"$p" 7>&-
    rm -f "$p"
    cat <&6 5>&- 6<&- & r=$!
else
    exec 5>&1 6</dev/null
fi
if command -v bash >/dev/null; then s=bash; else s=sh; fi
sh -c '{{ echo 500 >/proc/self/oom_score_adj; }} 2>/dev/null; exec "$0" -c "$1" 2>&1' "$s" "$1" </dev/null >&5 5>&- 6<&-
c=$?
{_OUT_OF_MEMORY}
printf '%s %s %s\\n' "$end" "$c" "$o" >&5
[ -n "$p" ] || exit "$c"
IFS= read -r _
cat <&6 >/dev/null 5>&- 6<&- &
exec 5>&- 6<&-
kill "$r"
exit "$c"
"""
"""Runs the command $1, known by the token $2; the line that is read is a secret word, which ends the output together
with exit code and how often memory has run out. The output goes through a pipe of its own, so that what stays in the
background can go on printing when nobody reads it any more."""

KILL = f"""
{_BEGIN}
n=0 clean=0
while [ $clean -lt 2 ]; do
    n=$((n + 1)); [ $n -lt 300 ] || exit 1
    found=" "
    for f in $(grep -lszF "{COMMAND_MARKER}=$1" /proc/[0-9]*/environ); do
        f=${{f#/proc/}}
        found="$found${{f%/environ}} "
    done
    more=1
    while [ $more = 1 ] && [ "$found" != " " ]; do
        more=0
        for d in /proc/[0-9]*; do
            case $found in *" ${{d#/proc/}} "*) continue;; esac
            {{ IFS= read -r l <"$d/stat"; }} 2>/dev/null || continue
            set -- "$1" ${{l##*) }}
            case $found in *" ${{3:-0}} "*) [ "$2" = Z ] || {{ found="$found${{d#/proc/}} "; more=1; }};; esac
        done
    done
    if [ "$found" = " " ]; then clean=$((clean + 1)); else clean=0; kill -9 $found 2>/dev/null; fi
done
exit 0
"""
"""Kills all that has the token $1 in its environment, and their descendants, until nothing is found twice."""

INTERRUPT = f"""
{_BEGIN}
n=0
while :; do
    kill -9 -1 2>/dev/null
    left=
    for d in /proc/[0-9]*; do [ ! -O "$d" ] || [ "$d" = "/proc/$$" ] || left=1; done
    [ -n "$left" ] || exit 0
    n=$((n + 1))
    [ $n -lt 50 ] || sleep 1
    [ $n -lt 60 ] || exit 1
done
"""
"""Kills everything of the user's, in one blow each time, until nothing is left."""

_ENVIRONMENT = """
export LC_ALL=C GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
export GIT_OPTIONAL_LOCKS=0 XDG_CONFIG_HOME=/nonexistent HOME=/nonexistent
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
plain() { git -c safe.directory='*' -c core.fsmonitor=false -c core.logAllRefUpdates=false "$@"; }
"""

CLONE = f"""
{_BEGIN}
set -e
{_ENVIRONMENT}
plain -c advice.detachedHead=false clone --quiet --shared --no-checkout --template= --origin=mirror \
    --config gc.auto=0 --config maintenance.auto=false {MIRROR} {ROOT}
cd {ROOT}
plain -c advice.detachedHead=false checkout --quiet --force -B main "$1"
plain remote remove mirror
"""
"""Makes the clone at the revision $1, on the branch `main`, without remotes."""

_INDEX = f"""
set -e
{_ENVIRONMENT}
cd {ROOT} 2>/dev/null || exit 77
t=$(mktemp -d /tmp/.multitrack-XXXXXX 2>/dev/null) || t=$(mktemp -d {TMP}/.multitrack-XXXXXX)
trap 'rm -rf "$t"' EXIT
mkdir "$t/objects"
[ -z "$2" ] || head -c "$2" >"$t/patch"
export GIT_DIR={MIRROR} GIT_WORK_TREE={ROOT} GIT_INDEX_FILE="$t/index" GIT_OBJECT_DIRECTORY="$t/objects"
export GIT_ALTERNATE_OBJECT_DIRECTORIES={MIRROR}/objects
plain read-tree "$1"
plain update-index -q --refresh >/dev/null || true
plain ls-files -z --others --modified --exclude-standard >"$t/listed"
: >"$t/replaced"; : >"$t/changed"; : >"$t/sized"
xargs -0 sh -c '
    t=$1; shift
    for p; do
        if [ -L "$p" ] || [ -f "$p" ]; then printf "%s\\0" "$p" >>"$t/changed"; printf "%s\\0" "$p" >>"$t/sized"
        elif [ ! -e "$p" ]; then printf "%s\\0" "$p" >>"$t/changed"
        elif [ ! -e "$p/.git" ] && [ ! -L "$p/.git" ]; then printf "%s\\0" "$p" >>"$t/replaced"
        fi
    done' sh "$t" <"$t/listed"
total=0
[ ! -s "$t/sized" ] || xargs -0 stat -c %s -- <"$t/sized" >"$t/sizes"
[ ! -s "$t/sized" ] || while read -r s; do total=$((total + s)); done <"$t/sizes"
if [ $total -gt "$3" ]; then
    echo "$total" >&2
    xargs -0 stat -c '%s %n' -- <"$t/sized" | sort -rn | head -n 3 >&2
    exit 65
fi
[ ! -s "$t/replaced" ] || plain update-index --force-remove -z --stdin <"$t/replaced"
[ ! -s "$t/changed" ] || plain update-index --add --remove --replace -z --stdin <"$t/changed"
"""
"""An index of our own with the files as they are now; the mirror is the Git folder, so that nothing counts that was
done to the clone's own. $1 is the revision, $2 the size of the patch on standard input, $3 the most bytes of changed
files. Exit code 65 is more than that: their sum, then the largest."""

PATCH = f"""
{_BEGIN}
{_INDEX}
plain diff-index --cached -p --binary --full-index --no-renames --no-ext-diff --no-textconv --no-color \
    --src-prefix=a/ --dst-prefix=b/ "$1" --
"""
"""Writes what differs from the revision $1."""

APPLY = f"""
{_BEGIN}
{_INDEX}
plain apply --index --whitespace=nowarn "$t/patch"
plain diff-files --name-only -z >"$t/differing"
[ ! -s "$t/differing" ] || {{ tr '\\0' '\\n' <"$t/differing" | head -n 5 >&2; exit 66; }}
"""
"""Applies the patch of $2 bytes. Exit code 66 names files that came out differently."""

_PLACE = f"""
up=$1 rest=
while [ ! -e "$up" ] && [ ! -L "$up" ]; do
    rest=/${{up##*/}}$rest
    case $up in */*) up=${{up%/*}}; [ -n "$up" ] || up=/;; *) up=.;; esac
done
t=$(readlink -f -- "$up" && echo x) || exit 71
t=${{t%?x}}$rest
case $t/ in */../*) exit 71;; esac
case $t/ in {ROOT}/*) ;; *) exit 70;; esac
"""
"""Where the path $1 leads from the clone, links followed, in $t. Exit code 70 is outside, 71 nowhere."""

READ = f"""
{_BEGIN}
cd {ROOT} || exit 77
{_PLACE}
[ ! -d "$t" ] || exit 72
[ -e "$t" ] || exit 73
[ -f "$t" ] || exit 74
[ -r "$t" ] || exit 75
s=$(wc -c <"$t") || exit 75
[ "$s" -le "$2" ] || {{ echo $s >&2; exit 76; }}
head -c "$2" <"$t"
"""
"""Writes the file $1 of at most $2 bytes. Exit codes: 72 a folder, 73 not there, 74 no ordinary file, 75 forbidden, 76
too large, 77 no clone."""

WRITE = f"""
{_BEGIN}
cd {ROOT} || exit 77
{_PLACE}
[ ! -d "$t" ] || exit 72
[ ! -e "$t" ] || [ -f "$t" ] || exit 74
mkdir -p -- "${{t%/*}}" || exit 75
[ ! -e "$t" ] || [ -w "$t" ] || exit 75
head -c "$2" >"$t"
"""
"""Fills the file $1 with $2 bytes of standard input, and makes the folders above it."""

PROBE = f"""
echo shell=yes
echo "git=$(git --version 2>/dev/null)"
l=
for t in cat grep head mkfifo mktemp readlink rm sleep sort stat tr wc xargs; do
    command -v $t >/dev/null || l="$l $t"
done
printf x | grep -qz x 2>/dev/null || l="$l grep-with-z"
echo "lacks=$l"
echo "free=$(df -Pk {WORKSPACE} 2>/dev/null | {{ read -r _; read -r _ _ _ f _; echo "$f"; }})"
"""
"""Says what is there, a name and a value a line. It waits for nothing."""
