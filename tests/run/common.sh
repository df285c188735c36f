# tests/run/common.sh
#
# What the scripts of tests/run share: messages, the private folder, the
# account that runs the servers, the build, and how an earlier run is ended.
# Sourced, never run.
#
# The clone is only read. Everything is built and run in one private folder per
# clone and account, /var/tmp/o365_msgtrace-XXXXXXXX (another place than
# /var/tmp: O365_MSGTRACE_PRIVATE). In it each kind of run has its own folder:
#
#   RUN/tree      a copy of the clone's files, where all is built
#   RUN/server    the server's programs, with this extension installed
#   RUN/certs     a certificate authority and localhost's certificate
#   RUN/...       clusters and what else the run needs
#
# so that a demo, a check and another clone's check do not meet. It belongs to
# the account that runs the servers: the caller's, or postgres when that is
# root, which PostgreSQL refuses; that is also why a clone under a home
# directory that is closed to postgres does no harm.
#
# shellcheck shell=bash

clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
if [ "$(id -u)" = 0 ]; then
	account=postgres
else
	account=$(id -un)
fi
private=${O365_MSGTRACE_PRIVATE:-/var/tmp}/o365_msgtrace-$(
	printf '%s %s' "$clone" "$(id -u)" | sha256sum | cut -c1-8
)

say() {
	printf '%s\n' "$*"
}

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# ---- the server ----------------------------------------------------------------

# Sets pg_major and pg_config: the server that PG_CONFIG names, else the
# distribution's own, else (the package lists may be empty) the newest installed
# one. Empty when none is known yet.
find_server() {
	pg_config=${PG_CONFIG:-}
	if [ -n "$pg_config" ]; then
		pg_config=$(command -v "$pg_config") || die "PG_CONFIG is $PG_CONFIG, which is no program"
		pg_major=$("$pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	else
		pg_major=$(LC_ALL=C apt-cache depends postgresql 2>/dev/null |
			sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1) || true
		if [ -z "$pg_major" ]; then
			pg_major=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -name '[0-9]*' \
				-printf '%f\n' 2>/dev/null | sort -n | tail -n 1) || true
		fi
		pg_config=/usr/lib/postgresql/$pg_major/bin/pg_config
	fi
}

# ---- the private folder ------------------------------------------------------

# /var/tmp is open to all: what is there under our name must be ours.
make_private_folder() {
	if mkdir -m 0700 "$private" 2>/dev/null && [ "$(id -u)" = 0 ]; then
		chown "$account": "$private"
	fi
	[ "$(stat -c '%F %U %a' "$private")" = "directory $account 700" ] ||
		die "$private exists, but is not a folder of $account's alone"
}

# A socket's path has at most 107 bytes; a test's is the longest.
check_socket_length() {
	local socket=$run/socket/.s.PGSQL.5432
	if [ "$1" != demo ]; then
		socket=$run/t/030_exactness-1234567/n1/.s.PGSQL.5432
	fi
	[ ${#socket} -le 107 ] || die "$private is too long a path for unix sockets"
}

# Sets run, the folder of one kind of run, and holds its lock on descriptor 9
# until the script ends; whatever is started closes 9 (see as_server), so that
# nothing but a living script holds it. The second argument says what becomes of
# a script that does: "wait" for it or "replace" it.
enter_run() {
	local holder
	make_private_folder
	run=$private/$1
	check_socket_length "$1"
	as_server mkdir -p "$run"
	exec 9>>"$run.lock"
	if ! flock -n 9; then
		holder=$(cat "$run.lock")
		if [ "$2" = replace ]; then
			say "Ending the make $1 that still runs (process $holder) ..."
			if [ "$(readlink "/proc/$holder/fd/9")" = "$run.lock" ]; then
				kill "$holder" || true
			fi
			end_run
		else
			say "Waiting for the make $1 of this clone that still runs (process $holder) ..."
		fi
		flock 9
	fi
	printf '%s' $$ >"$run.lock"
}

# Runs a command as the account that runs the servers, in an environment that
# names no other server and carries the run's mark (see processes_of_run).
as_server() {
	local step_down=()
	if [ "$(id -u)" = 0 ]; then
		step_down=(setpriv --reuid "$account" --regid "$account" --init-groups)
	fi
	(
		cd "$private" && exec 9>&- "${step_down[@]}" env -i \
			PATH="$PATH" TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 TZ=UTC \
			HOME="$private" TMPDIR="$private" PG_CONFIG="$pg_config" \
			MSGTRACE_RUN="${run-}" "$@"
	)
}

# ---- ending what an earlier run left -----------------------------------------

# Prints the ids of the run's processes: those of the account's whose program
# lies in the run's folder (the servers) or that carry its mark. Names are not
# looked at, so nobody else's process is ever met.
processes_of_run() {
	local folder exe
	while read -r folder; do
		exe=$(readlink "$folder/exe" 2>/dev/null) || continue
		case $exe in
		"$run"/*) say "${folder#/proc/}" ;;
		*)
			if grep -qzxF "MSGTRACE_RUN=$run" "$folder/environ" 2>/dev/null; then
				say "${folder#/proc/}"
			fi
			;;
		esac
	done < <(find /proc -maxdepth 1 -name '[0-9]*' -user "$account" 2>/dev/null)
}

# Ends the run's processes: asks first, postmasters by SIGQUIT, which takes
# their children along; then insists.
end_run() {
	local signal pids i
	for signal in QUIT KILL; do
		pids=$(processes_of_run)
		[ -n "$pids" ] || break
		# shellcheck disable=SC2086 # several ids
		kill -"$signal" $pids 2>/dev/null || true
		for ((i = 0; i < 50; i++)); do
			[ -n "$(processes_of_run)" ] || break
			sleep 0.1
		done
	done
	[ -z "$(processes_of_run)" ] || die "processes of $run do not end"
	remove_shared_memory
}

# A postmaster that was killed leaves a few bytes of System V shared memory.
# The seventh line of its postmaster.pid says which.
remove_shared_memory() {
	local file key id
	while read -r file; do
		read -r key id < <(sed -n 7p "$file") || true
		if [ -n "${id-}" ] && awk -v key="$key" -v id="$id" \
			'$1 == key && $2 == id && $7 == 0 { found = 1 } END { exit !found }' \
			/proc/sysvipc/shm 2>/dev/null; then
			as_server ipcrm -m "$id" || true
		fi
	done < <(find "$run" -name postmaster.pid 2>/dev/null)
}

# ---- building ----------------------------------------------------------------

# Prints the clone's source files, without what a build in the clone made. (In a
# worktree of git, .git is a file.)
source_files() {
	(cd "$1" && find . \( -name .git -o -type d \( -name results -o -name tmp_check \) \) -prune -o \
		-type f ! -name '*.[od]' ! -name '*.so' ! -name '*.bc' ! -name '*.a' \
		! -name 'o365_msgtrace--*.sql' ! -name msgtrace-service ! -name 'regression.*' \
		-print | LC_ALL=C sort)
}

# Brings RUN/tree to the state of the clone. Times are kept, so that make only
# builds what changed; another server or compiler begins anew.
copy_tree() {
	local tree=$run/tree stamp
	stamp="$clone $("$pg_config" --version) $("$pg_config" --bindir) $(gcc -dumpfullversion)"
	if [ "$(cat "$run/built-with" 2>/dev/null)" != "$stamp" ]; then
		as_server rm -rf "$tree" "$run/server"
	fi
	as_server mkdir -p "$tree"
	comm -13 <(source_files "$clone") <(source_files "$tree") |
		sed "s|^|$tree/|" | as_server xargs -r -d '\n' rm -f
	source_files "$clone" | tar -C "$clone" -cf - -T - | as_server tar -C "$tree" -xof -
	printf '%s' "$stamp" | as_server tee "$run/built-with" >/dev/null
}

# Builds RUN/tree (arguments: more variables for make) and installs it into
# RUN/server.
build_extension() {
	local log=$run/build.log
	as_server sh -c "make -j$(nproc) -C '$run/tree' PG_CONFIG='$pg_config' $* >'$log' 2>&1" ||
		{ cat "$log" && die "the extension does not build"; }
	copy_server
	as_server sh -c "make -C '$run/tree' PG_CONFIG='$pg_config' \
		DESTDIR='$run/server' install >>'$log' 2>&1" ||
		{ cat "$log" && die "the extension cannot be installed"; }
}

# A PostgreSQL program finds its libraries and extensions relative to itself,
# so a copy of three programs beside links to everything else is a server into
# which an extension can be installed without touching the machine's.
copy_server() {
	local place
	bindir=$run/server$("$pg_config" --bindir)
	if [ -x "$bindir/pg_ctl" ] && [ -L "$bindir/pg_upgrade" ]; then
		return
	fi
	as_server mkdir -p "$bindir"
	as_server ln -sf "$("$pg_config" --bindir)"/{psql,pg_dump,pg_dumpall,pg_restore} \
		"$("$pg_config" --bindir)"/{pg_controldata,pg_resetwal,vacuumdb,pg_upgrade} "$bindir"
	for place in "$("$pg_config" --pkglibdir)" "$("$pg_config" --sharedir)" \
		"$("$pg_config" --sharedir)/extension"; do
		as_server mkdir -p "$run/server$place"
		find "$place" -mindepth 1 -maxdepth 1 ! -name 'o365_msgtrace*' ! -name extension |
			as_server xargs -r -d '\n' ln -sft "$run/server$place"
	done
	as_server cp "$("$pg_config" --bindir)"/{postgres,initdb,pg_ctl} "$bindir"
}

build_service() {
	as_server sh -c "make -j$(nproc) -C '$run/tree/tests/service' >'$run/service.log' 2>&1" ||
		{ cat "$run/service.log" && die "the simulated service does not build"; }
}

make_certificates() {
	if [ ! -s "$run/certs/server.pem" ]; then
		as_server bash "$run/tree/tests/run/certificates" "$run/certs"
	fi
}

# Everything from the packages to programs that can be started. Arguments: the
# two of enter_run, then variables for make.
prepare_run() {
	"$clone/tests/run/packages"
	find_server
	enter_run "$1" "$2"
	end_run
	say "Building the extension and the simulated service ..."
	copy_tree
	build_extension "${@:3}"
	build_service
	make_certificates
}
