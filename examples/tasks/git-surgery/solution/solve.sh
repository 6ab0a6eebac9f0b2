#!/bin/bash
set -euo pipefail
cd /work/repo
lost=$(git reflog --all --format='%H %gs' | grep 'Search: rank by title' | head -n 1 | cut -d ' ' -f 1)
git branch search "$lost"
export FILTER_BRANCH_SQUELCH_WARNING=1
git filter-branch -f --index-filter 'git rm -q --cached --ignore-unmatch deploy/token.txt' \
    --tag-name-filter cat -- main search v1 >/dev/null
git for-each-ref --format='%(refname)' refs/original | xargs -r -n 1 git update-ref -d
git switch -q main
git reset -q --hard
