#!/bin/sh
#
# service.sh
#    How many rows per second the simulated service gives, so that what a
#    benchmark measures is the extension and not the service.
#
# Fetches 200 pages of 5000 rows over one connection, plain and over TLS, and
# prints rows per second of time passed and of the service's processor time.
# The second figure is what one core of it can do.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=${MSGTRACE_SERVICE:-$here/../service/msgtrace-service}
pages=${PAGES:-200}
work=$(mktemp -d)
service=

finish()
{
	[ -z "$service" ] || kill "$service" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT

start_service()
{
	"$binary" --now 2026-11-20T12:00:00Z --quota 0 --rows-per-day 10000000 "$@" > "$work/ready" &
	service=$!
	until grep -qs listening "$work/ready"; do
		kill -0 "$service"
		sleep 0.05
	done
	port=$(sed -n 's/^listening //p' "$work/ready")
}

sign_in()
{
	curl -sk --data-urlencode grant_type=client_credentials \
		--data-urlencode client_id=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee \
		--data-urlencode client_secret=demo~secret.of-the-simulated-service \
		--data-urlencode scope=https://graph.microsoft.com/.default \
		"$1/contoso.onmicrosoft.com/oauth2/v2.0/token" | sed 's/.*"access_token":"\([^"]*\)".*/\1/'
}

# one page of each of `pages` windows of ten minutes, in one run of curl
write_requests()
{
	token=$(sign_in "$1")
	n=0
	while [ "$n" -lt "$pages" ]; do
		from=$(date -u -d "@$((1794960000 + n * 600))" +%Y-%m-%dT%H:%M:%SZ)
		to=$(date -u -d "@$((1794960000 + n * 600 + 599))" +%Y-%m-%dT%H:%M:%SZ)
		[ "$n" -eq 0 ] || echo next
		echo "url = \"$1/v1.0/admin/exchange/tracing/messageTraces?\$top=5000&\$filter=receivedDateTime%20ge%20$from%20and%20receivedDateTime%20le%20$to\""
		echo "header = \"Authorization: Bearer $token\""
		echo "output = /dev/null"
		echo "silent"
		echo "insecure"
		echo "fail"
		n=$((n + 1))
	done > "$work/requests"
}

# user and system time of the service in hundredths of a second
cpu_time()
{
	awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$service/stat"
}

measure()
{
	label=$1
	root=$2
	write_requests "$root"
	curl -K "$work/requests" 2>/dev/null			# once to warm up
	cpu=$(cpu_time)
	begin=$(date +%s%N)
	curl -K "$work/requests"
	end=$(date +%s%N)
	cpu=$(($(cpu_time) - cpu))
	curl -sk "$root/control/log" | grep -o '"rows":[0-9]*' | tail -n "$pages" |
		awk -F: -v label="$label" -v ns="$((end - begin))" -v cpu="$cpu" \
			'{ rows += $2 }
			END { printf "%-6s %9d rows  %9.0f rows/s passed  %9.0f rows/s of one core\n",
				label, rows, rows / ns * 1e9, rows / (cpu ? cpu : 1) * 100 }'
}

start_service
measure plain "http://localhost:$port"
kill "$service"
wait "$service" || true

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
	-keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
start_service --tls-cert "$work/cert.pem" --tls-key "$work/key.pem"
measure TLS "https://localhost:$port"
