#!/bin/sh
# toc.sh TEXT...: one line for each formatted chapter.
number=0
for text in "$@"; do
    number=$((number + 1))
    sed -n "s/^== \(.*\) ==/$number. \1/p" "$text"
done
echo
