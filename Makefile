# unwindlab: everything from a fresh checkout. `make demo` shows the main job, `make test` passes the tests.

.DEFAULT_GOAL := build
MAKEFLAGS += --jobs=$(shell nproc)
.PHONY: build demo test bench guests test-guests engine images tools lint clean

UNWINDLAB := node dist/src/cli/main.js
REPORT := build/test-report.json
GUESTS_REPORT := build/guests-report.json

## build: packages, compiled TypeScript, guest images, the engine's library
build: node_modules/.installed dist/.compiled images engine

node_modules/.installed: package.json package-lock.json
	npm install --no-audit --no-fund --loglevel=error
	@touch $@

dist/.compiled: node_modules/.installed tsconfig.json tsconfig.build.json $(shell find emu src bench examples -name "*.ts" 2>/dev/null)
	rm -rf dist
	npx tsc -p tsconfig.build.json
	@touch $@

engine: dist/.compiled
	$(UNWINDLAB) setup

tools:
	@scripts/need-tools gcc:gcc as:binutils ld:binutils ar:binutils nm:binutils objdump:binutils

images: kernels user
kernel kernels user: | tools
include guest-kernel/build.mk
include guest-user/build.mk

## demo: samples of two processes on two CPUs, kernel frames over user frames, stitched by cookie
demo: build
	$(UNWINDLAB) stacks build/kernel.elf --module build/user/processes.elf --cpus 2 --append perf.period=60000

## test: lint, format, types, import rules, unused code, and the suite
test: build lint
	@mkdir -p build
	npx vitest run --reporter=default --reporter=json --outputFile.json=$(REPORT)

lint: node_modules/.installed
	npm run --silent lint
	npx tsc --noEmit
	npx tsc --noEmit -p src/explain/page
	npx knip

## bench: speed, as ratios measured side by side
bench: build
	node dist/bench/main.js

## guests: images that nobody here wrote, from Debian's packages
guests: user
	scripts/make-guests build/guests $(filter-out %/echo.elf,$(USER_IMAGES))

## test-guests: boots them, some ten seconds each
test-guests: build guests
	npx vitest run --config vitest.guests.config.ts --reporter=verbose --reporter=json --outputFile.json=$(GUESTS_REPORT)

clean:
	rm -rf build dist
