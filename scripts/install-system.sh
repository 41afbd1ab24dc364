#!/bin/sh
# Install what vascodb needs from the distribution, if it is missing: PostgreSQL 15 or newer with Q3C,
# SExtractor, PSFEx, and Python's venv. Arguments: further packages to install; N in them stands for
# the major version of PostgreSQL (postgresql-N-pgtap).
set -eu
cd "$(dirname "$0")/.."

minimum_major=15

say() { echo "install: $*" >&2; }

# The majors of the installed servers, newest first.
installed_majors() {
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        major=${initdb#/usr/lib/postgresql/}
        if [ -x "$initdb" ]; then echo "${major%%/*}"; fi
    done | sort -rn
}

# The majors for which the distribution has Q3C, newest first.
packaged_majors() {
    apt-cache pkgnames postgresql- | sed -n 's/^postgresql-\([0-9]*\)-q3c$/\1/p' | sort -rn
}

# The installed server that has Q3C, or the one the user names; nothing if there is none.
complete_major() {
    if [ -n "${VASCODB_PGBIN:-}" ]; then
        "$VASCODB_PGBIN/postgres" --version | sed 's/.*(PostgreSQL) \([0-9]*\).*/\1/'
        return
    fi
    for major in $(installed_majors); do
        if [ "$major" -ge "$minimum_major" ] && [ -e "/usr/share/postgresql/$major/extension/q3c.control" ]; then
            echo "$major"
            return
        fi
    done
}

# The major to install: of an installed server if the distribution has Q3C for it, else the newest.
choose_major() {
    packaged=$(packaged_majors)
    for major in $(installed_majors) $packaged; do
        if [ "$major" -ge "$minimum_major" ] && echo "$packaged" | grep -qx "$major" &&
            apt-cache show "postgresql-$major" >/dev/null 2>&1; then
            echo "$major"
            return
        fi
    done
}

# Whether one of the commands is there.
have() {
    for name in "$@"; do
        if command -v "$name" >/dev/null; then return 0; fi
    done
    return 1
}

# Whether the Debian package is installed.
have_package() {
    dpkg-query --show --showformat='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        say "with sudo: $*"
        sudo "$@"
    else
        say "run this as root, then try again: $*"
        exit 1
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"
}

# Debian makes and starts a cluster for each server it installs; vascodb makes its own. An existing
# configuration is the administrator's, and stays.
without_main_cluster() {
    configuration=/etc/postgresql-common/createcluster.conf
    if [ ! -e "$configuration" ]; then
        say "telling Debian in $configuration not to start a server of its own"
        as_root mkdir -p "${configuration%/*}"
        echo "create_main_cluster = false" | as_root tee "$configuration" >/dev/null
    fi
}

major=$(complete_major)
missing=""
if ! have source-extractor sex sextractor; then missing="$missing source-extractor"; fi
if ! have psfex; then missing="$missing psfex"; fi
if ! scripts/find-python.sh >/dev/null 2>&1; then missing="$missing python3-venv"; fi
for package in "$@"; do
    numbered=$(echo "$package" | sed "s/-N-/-${major:-N}-/")
    if ! have_package "$numbered"; then missing="$missing $package"; fi
done

if [ -n "$major" ] && [ -z "$missing" ]; then exit 0; fi

if ! have apt-get; then
    if [ -z "$major" ]; then missing="$missing, PostgreSQL $minimum_major or newer with the extension Q3C"; fi
    say "this is neither Debian nor Ubuntu; install by hand:$missing"
    exit 1
fi

apt_get -qq update
if [ -z "$major" ]; then
    major=$(choose_major)
    if [ -z "$major" ]; then
        say "apt knows no PostgreSQL $minimum_major or newer with Q3C; on Ubuntu, enable the component universe"
        exit 1
    fi
    missing="postgresql-$major postgresql-$major-q3c$missing"
    if [ ! -x "/usr/lib/postgresql/$major/bin/initdb" ]; then without_main_cluster; fi
fi
missing=$(echo "$missing" | sed "s/-N-/-$major-/g")
say "installing: $missing"
# shellcheck disable=SC2086  # a list of package names
apt_get -qq -y --no-install-recommends install $missing >&2
if ! scripts/find-python.sh >/dev/null; then
    say "vascodb needs Python 3.11 or newer: install one (with its venv module) and try again"
    exit 1
fi
