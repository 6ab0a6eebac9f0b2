#!/bin/sh
# format.sh CHAPTER: the chapter as plain text.
echo "formatted $1" >>format.log
sed -e 's/^# \(.*\)/== \1 ==/' "$1"
echo
