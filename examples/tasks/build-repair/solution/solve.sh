#!/bin/bash
set -euo pipefail
cat >Makefile <<'MAKE'
CHAPTERS := $(sort $(wildcard chapters/*.md))
TEXTS := $(CHAPTERS:chapters/%.md=build/%.text)

.PHONY: all clean

all: dist/handbook.txt

dist/handbook.txt: build/toc.txt $(TEXTS) | dist
	cat build/toc.txt $(TEXTS) > $@

build/toc.txt: $(TEXTS) | build
	./toc.sh $(TEXTS) > $@

build/%.text: chapters/%.md | build
	./format.sh $< > $@

build dist:
	mkdir -p $@

clean:
	rm -rf build dist
MAKE
make -j8
