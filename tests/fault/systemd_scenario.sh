#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs as a unit below the systemd of test_systemd.py: the units as they are installed, jobd killed, restarted, upgraded and stopped while
# jobs run, and a backup restored. Says `ok CLAIM` for each claim; ends at the first that does not hold.
set -eu
export JOBD_SOCKET=/run/jobd/socket

trap 'test $? = 0 || systemctl status --no-pager --full jobd jobd-runner || :' EXIT
trap 'exit 1' TERM              # it takes too long

say() { echo "ok $*"; }
fail() { echo "FAIL $*"; jobctl status || :; exit 1; }
pid_of() { systemctl show -P MainPID "$1"; }
is() { [ "$1" = "$2" ] || fail "$3: $1 instead of $2"; }
# field RUN/JOB NAME: what jobctl show says of it
field() { jobctl show --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["job"][sys.argv[1]])' "$2"; }
# Ends a process and returns when it is dead.
kill_hard() {
	python3 -c 'import os, select, signal, sys
fd = os.pidfd_open(int(sys.argv[1]))
signal.pidfd_send_signal(fd, signal.SIGKILL)
select.select([fd], [], [])' "$1"
}
# Until the runner has told what runs, a job that had begun is "starting".
goes_on() { case $(field "$1" state) in running | starting) ;; *) fail "the job goes on after $2" ;; esac; }
answers() { jobctl ping >/dev/null || fail "jobd answers after $1"; }
lives() { kill -0 "$1" 2>/dev/null || fail "the job lives after $2"; }

systemd-sysusers /usr/local/lib/sysusers.d/jobd.conf
systemctl start jobd-runner jobd.socket jobd
answers "its start"
runner=$(pid_of jobd-runner)
say "the units start"

mkfifo /tmp/went /tmp/end
chmod 666 /tmp/went /tmp/end
run=$(jobctl run --detach -n long -c 'echo $$ >/tmp/went; read x </tmp/end; exit 7')
read -r job </tmp/went
grep -q jobd-runner.service "/proc/$job/cgroup" || fail "the job is below the runner's unit"
jobctl show "$run/long" | grep -q "^containment .*control group" || fail "a control group holds the job"
grep -q "^NoNewPrivs:.0" "/proc/$job/status" || fail "a job may become who its user may (sudo)"
say "a job is held by a control group below the runner's unit (Delegate=yes)"

old=$(pid_of jobd)
kill_hard "$old"
answers "kill -9"               # nobody else started it
[ "$(pid_of jobd)" != "$old" ] || fail "another process serves"
lives "$job" "kill -9 of jobd"
goes_on "$run/long" "kill -9"
say "kill -9 of jobd: started again, the job runs on"

systemctl restart jobd
answers "a restart"
lives "$job" "a restart of jobd"
goes_on "$run/long" "a restart"
say "restart of jobd: the job runs on"

cp /usr/local/bin/jobd /usr/local/bin/jobd.new
mv /usr/local/bin/jobd.new /usr/local/bin/jobd
systemctl daemon-reload
systemctl restart jobd
is "$(stat -Lc %i "/proc/$(pid_of jobd)/exe")" "$(stat -c %i /usr/local/bin/jobd)" "the program that serves"
answers "an upgrade"
lives "$job" "an upgrade of jobd"
goes_on "$run/long" "an upgrade"
say "upgrade of jobd: the job runs on"

systemctl stop jobd.socket jobd
lives "$job" "a stop of jobd"
echo >/tmp/end                  # it ends while there is no jobd
systemctl start jobd.socket jobd
answers "a stop and a start"
status=0
jobctl wait --exit-code "$run/long" || status=$?
is "$status" 7 "the exit status of a job that ended without a jobd"
is "$(field "$run/long" attempts)" 1 "the attempts of that job"
is "$(pid_of jobd-runner)" "$runner" "the runner through all that"
say "stop of jobd: the job ran on, its status was kept, and it ran once"

first=$run
run=$(jobctl run --detach -n left -c 'setsid -f sh -c "echo \$\$ >/tmp/went; exec sleep 1000"; exec sleep 1000')
read -r left </tmp/went
systemctl stop jobd-runner
kill -0 "$left" 2>/dev/null && fail "something of the job lives after the runner's stop"
say "stop of the runner: nothing of its jobs is left"
systemctl start jobd-runner
read -r left </tmp/went         # its second attempt
lives "$left" "the start of a runner"
say "the next runner is found, and what was lost runs again"

systemctl stop jobd 2>/dev/null # its socket starts it again
copy=$(jobctl backup)
jobctl cancel "$run"
jobctl wait "$run" || :
is "$(field "$run/left" state)" cancelled "a job that was cancelled"
say "a call to its socket starts jobd"

restore() { runuser -u jobd -- jobd --state /var/lib/jobd --restore "$copy"; }
systemctl stop jobd.socket jobd
restore 2>/tmp/said && fail "a restore while the runner serves is refused"
grep -q "jobd-runner still serves /run/jobd-runner/socket" /tmp/said || { cat /tmp/said; fail "a restore says what serves"; }
systemctl stop jobd-runner
restore || fail "a backup is restored"
systemctl start jobd-runner jobd.socket jobd
is "$(field "$first/long" exit_code)" 7 "the exit status in the backup"
is "$(jobctl show --json "$run" | python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["run"]["state"])')" paused "the run that had not ended"
say "a backup is restored as jobd(8) says, and all is as it was in the backup"
