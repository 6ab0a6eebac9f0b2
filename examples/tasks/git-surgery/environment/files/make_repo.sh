#!/bin/bash
# Makes the repository; run once when the image is built.
set -euo pipefail
git init -q -b main /work/repo
cd /work/repo
git config user.name Mara
git config user.email mara@example.org
git config gc.auto 0
number=0
commit() {
    number=$((number + 1))
    git add -A
    GIT_AUTHOR_NAME="$2" GIT_AUTHOR_EMAIL="$2@example.org" \
        GIT_AUTHOR_DATE="2026-02-0$number 10:00:00 +0000" \
        GIT_COMMITTER_DATE="2026-02-0$number 11:00:00 +0000" git commit -q -m "$1"
}
echo '# Catalogue' >README.md && commit "Begin" Mara
mkdir deploy && echo 'host: books.example.org' >deploy/hosts.txt && commit "Deploy: hosts" Igor
echo 's3cr3t-98c1' >deploy/token.txt && echo 'port: 443' >>deploy/hosts.txt && commit "Deploy: port" Igor
git switch -q -c search
printf 'def find(words):\n    return []\n' >search.py && commit "Search: a first version" Mara
printf 'def find(words):\n    return sorted(words, key=len)\n' >search.py && commit "Search: rank by title" Mara
git switch -q main
git branch -q -D search
echo 'A list of books.' >>README.md && commit "README: what this is" Nadia
git rm -q deploy/token.txt && commit "Deploy: no token in the repository" Igor
git tag v1
