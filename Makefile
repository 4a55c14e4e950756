# Front door only; Meson does the work. See README.md.
BUILD  ?= build
MESON  := meson
SETUP  := $(BUILD)/build.ninja

.PHONY: test-programs build deps test stress test-long demo check clean install

build: deps $(SETUP)
	ninja -C $(BUILD)

deps:
	scripts/install-deps

$(SETUP): | deps
	$(MESON) setup $(BUILD)

test: build
	scripts/run-tests $(BUILD)

# A million keys of Redis, a minute of stress-ng, ten minutes of failures: some twenty minutes.
test-long: build
	$(MESON) test -C $(BUILD) --benchmark --print-errorlogs --verbose

# Redis with part of its data in remote memory; see bench/demo.
demo: build
	bench/demo --build $(BUILD)

# Guards against everything else, for long.
STRESS_SECONDS ?= 900
stress: build
	$(BUILD)/tests/stress/guard-stress --seconds $(STRESS_SECONDS)
	tests/stress/run-mutants $(BUILD)/tests/stress/guard-mutants 30

check: deps
	scripts/check-house

clean:
	rm -rf $(BUILD) out

install: build
	$(MESON) install -C $(BUILD)

# zlib, lz4, pugixml and Redis from Debian's sources, built by kona-cc: their own tests with a tenth of
# their memory local. Some ten minutes.
test-programs: build
	tests/cc/debian-programs $(BUILD)
	tests/cc/redis-suite $(BUILD)
